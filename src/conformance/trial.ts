/** One run of the kit: the sender, the receiver, and the sender's ordinary way, which the checks measure by. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../model/app-error.ts";
import { status } from "./answers.ts";
import { inSeconds } from "./in-seconds.ts";
import type { Answer, Attempt, Receiver, ReceivingEndpoint } from "./receiver.ts";
import type { RegisteredEndpoint, Sender } from "./sender.ts";

export interface TrialOptions {
  /** A webhook, or the next attempt of one, comes within this. */
  readonly retryWithinMs: number;
  /** The longest attempt. */
  readonly deadlineMs: number;
  /** Host names that lead to private addresses. */
  readonly privateNames: readonly string[];
  /** The sender reaches the receiver at another address than the receiver has. */
  readonly isForwarded: boolean;
  readonly signal: AbortSignal;
}

/** An endpoint of the receiver that is registered with the sender. */
export interface TestEndpoint extends ReceivingEndpoint, RegisteredEndpoint {
  /** Triggers an event that is like no other. */
  send(): Promise<void>;
  /** Waits for the nth attempt. @throws Error if it doesn't come */
  attempt(nth: number, extraMs?: number): Promise<Attempt>;
  /** Waits for attempts of so many events. @returns whether they came */
  gotEvents(count: number): Promise<boolean>;
}

/** A delivery that failed for two seconds and then didn't. */
export interface Baseline {
  readonly endpoint: TestEndpoint;
  /** None if it didn't come. */
  readonly attempts: readonly Attempt[];
  /** Between the first two attempts; null: there was one. */
  readonly retryMs: number | null;
}

export interface Trial extends TrialOptions {
  readonly receiver: Receiver;
  readonly baseline: Baseline;
  /** Registers a URL until the run ends. @throws whatever the sender does */
  register(url: string): Promise<RegisteredEndpoint>;
  send(id: string): Promise<void>;
  /** Registers an endpoint of the receiver. */
  open(answer: Answer): Promise<TestEndpoint>;
  /** Opens an endpoint, triggers an event for it, and waits for the first attempt. */
  deliver(answer: Answer): Promise<TestEndpoint>;
  /** Waits for as long as an unwanted attempt would take to come. */
  untilQuiet(): Promise<void>;
  /** Removes what was registered. @returns what could not be */
  end(): Promise<readonly string[]>;
}

const EVENT_TYPE = "conformance.checked";
const CALL_TIMEOUT_MS = 30_000;
/** Timestamps are whole seconds: attempts that are this far apart have different ones. */
export const APART_MS = 2_000;
/** Text whose bytes and characters differ in number. */
const TEXT = "Zürich 東京 🙂 \u2028 </script>";

export async function startTrial(sender: Sender, receiver: Receiver, options: TrialOptions): Promise<Trial> {
  const { retryWithinMs, signal } = options;
  const registered: RegisteredEndpoint[] = [];
  let last: Promise<unknown> = Promise.resolve();
  /** One call after the other: a sender's API may limit them, and an adapter need not expect several at once. */
  const inTurn = <T>(name: string, call: () => Promise<T>): Promise<T> => {
    const turn = last.then(() => Promise.race([call(), late(name)]));
    last = turn.catch(() => {});
    return turn;
  };

  const register = (url: string): Promise<RegisteredEndpoint> =>
    inTurn("register", async () => {
      signal.throwIfAborted();
      const endpoint = await sender.register({ url });
      if (typeof endpoint?.id !== "string" || typeof endpoint.secret !== "string")
        throw new Error("the sender's register returned no { id, secret } of two strings");
      registered.push(endpoint);
      return endpoint;
    });
  const send = (id: string): Promise<void> =>
    inTurn("send", () => sender.send({ id, type: EVENT_TYPE, data: { nonce: randomUUID(), text: TEXT, number: 1.5, list: [] } }));

  const open = async (answer: Answer): Promise<TestEndpoint> => {
    let isSent = false;
    const receiving = receiver.open(answer, () => isSent);
    const { id, secret } = await register(receiving.url);
    return {
      ...{ ...receiving, id, secret },
      send() {
        isSent = true;
        return send(id);
      },
      async attempt(nth, extraMs = 0) {
        const withinMs = retryWithinMs + extraMs;
        await receiving.waitUntil(() => receiving.attempts.length >= nth, withinMs);
        const attempt = receiving.attempts[nth - 1];
        if (attempt === undefined) throw new Error(`attempt ${nth} did not come within ${inSeconds(withinMs)}`);
        return attempt;
      },
      gotEvents: (count) => receiving.waitUntil(() => new Set(receiving.attempts.map(eventOf)).size >= count, retryWithinMs),
    };
  };
  const end = async (): Promise<readonly string[]> => {
    const left: string[] = [];
    for (const { id } of registered)
      await inTurn("remove", async () => sender.remove?.({ id })).catch((error: unknown) => left.push(`${id}: ${messageOf(error)}`));
    return left;
  };

  try {
    const baseline = await observeBaseline(open, retryWithinMs);
    const quietMs = Math.min(retryWithinMs, 2 * (baseline.retryMs ?? retryWithinMs) + 1_000);
    return {
      ...{ ...options, receiver, baseline, register, send, open, end },
      async deliver(answer) {
        const endpoint = await open(answer);
        await endpoint.send();
        await endpoint.attempt(1);
        return endpoint;
      },
      async untilQuiet() {
        await baseline.endpoint.waitUntil(() => false, quietMs);
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function late(call: string): Promise<never> {
  await sleep(CALL_TIMEOUT_MS, undefined, { ref: false });
  throw new Error(`the sender's ${call} took more than ${inSeconds(CALL_TIMEOUT_MS)}`);
}

/** Distinguishes events, by their id where they have one. */
export function eventOf(attempt: Attempt): string {
  return attempt.values("webhook-id")[0] ?? attempt.body.toString("latin1");
}

async function observeBaseline(open: Trial["open"], retryWithinMs: number): Promise<Baseline> {
  const endpoint = await open((exchange) => status(isOver() ? 204 : 500)(exchange));
  const { attempts } = endpoint;
  const isOver = (): boolean => (attempts.at(-1)?.at ?? 0) - (attempts[0]?.at ?? 0) >= APART_MS;
  await endpoint.send();
  // Every attempt has the time that a retry may take.
  for (let seen = -1; seen < attempts.length && !isOver(); ) {
    seen = attempts.length;
    await endpoint.waitUntil(() => attempts.length > seen, retryWithinMs);
  }
  const [first, second] = attempts;
  return { endpoint, attempts: [...attempts], retryMs: first === undefined || second === undefined ? null : second.at - first.at };
}

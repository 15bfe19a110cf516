/**
 * Resends one delivery, whatever its state, from its event in the stream. A resend is a run of its own: its id keeps JetStream
 * deduplication and dedup keys from swallowing it, and it counts for neither health nor circuit. One that fails becomes another dead
 * letter.
 *
 * RESEND-1  The resend of a dead letter is the run of its replay (REPLAY-1) and takes its place: however often both are asked for, it is
 *           delivered once. So a resend that is asked for again while that run has yet to be attempted, or a moment after it delivered, is
 *           the same one.
 * RESEND-2  Redis may not know of a dead letter whose process died, nor yet where a delivery went: then the dead letters are searched,
 *           and Redis is asked once more.
 */
import { randomUUID } from "node:crypto";
import type { Tracing } from "../delivery/tracing-ports.ts";
import type { StoredEvents } from "../jetstream/stored-events.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { type Delivery, newDelivery } from "../model/delivery.ts";
import type { DeliveryHistory, LocatedDelivery } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { sleep } from "../model/periodic.ts";
import { replayedSequence, resendRun } from "../model/replay.ts";
import type { DeliveryLookup } from "../storage/delivery-lookup.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { DeadLetter } from "./read-dead-letter.ts";
import { replayOf } from "./replay.ts";
import type { StoreAgain } from "./store-again.ts";

/** @throws AppError NOT_FOUND, REDIS_UNREACHABLE, STREAM_REFUSED @returns the resend's id */
export type Resend = (deliveryId: string) => Promise<string>;

export interface ResendDependencies {
  readonly events: StoredEvents;
  readonly storeAgain: StoreAgain;
  readonly find: DeliveryLookup["find"];
  /** The delivery's message; null: none is found. */
  readonly locate: (deliveryId: string, history: DeliveryHistory) => Promise<LocatedDelivery | null>;
  /** Among the newest dead letters of the app. */
  readonly searchDeadLetters: (deliveryId: string, app: string) => Promise<LocatedDelivery[]>;
  readonly deadLetters: Pick<DeadLetters, "get" | "remove">;
  readonly names: Subjects;
  readonly tracing: Tracing;
  readonly clock: Clock;
}

interface Known {
  readonly history: DeliveryHistory;
  readonly located: LocatedDelivery | null;
}

/** Longer than it takes until Redis has what was stored. */
const RECORDED_WITHIN_MS = 250;
const A_MOMENT_MS = 10_000;

export function createResend(dependencies: ResendDependencies): Resend {
  const { events, storeAgain, find, locate, searchDeadLetters, deadLetters, names, tracing, clock } = dependencies;

  const lookUp = async (deliveryId: string): Promise<Known> => {
    const [history] = await find([deliveryId]);
    if (history == null)
      throw new AppError("NOT_FOUND", `nothing is known about delivery ${deliveryId}; it becomes known when its first attempt ends`);
    return { history, located: await locate(deliveryId, history) };
  };

  /** @throws AppError NOT_FOUND */
  const deliveryOf = async (deliveryId: string, { eventSequence, app, installationUuid }: DeliveryHistory): Promise<Delivery> => {
    if (eventSequence === null) throw new AppError("NOT_FOUND", `delivery ${deliveryId} was a test call, which has no event in the stream`);
    const stored = await events.at(eventSequence);
    if (stored?.event === null) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} can't be read: ${stored.problem}`);
    const delivery = stored && newDelivery(stored.event, app, installationUuid, stored.sequence);
    if (delivery?.id !== deliveryId) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
    return delivery;
  };

  /** The dead letters that the resend takes the place of: the delivery's own, and those whose run is made already but that are still there. */
  const deadLettersOf = async (deliveryId: string, { history, located }: Known): Promise<DeadLetter[]> => {
    const isWaiting = located !== null && located.stream !== "dead-letters";
    const own = isWaiting ? await searchDeadLetters(deliveryId, history.app) : [located];
    const ofOwn = own.flatMap((one) => (one?.stream === "dead-letters" ? [{ run: null, sequence: one.sequence }] : []));
    const runs = [located?.delivery.replay ?? null, ...history.runs.map(({ replay }) => replay)];
    const ofRuns = runs.map((run) => ({ run, sequence: replayedSequence(run) }));
    const found = new Map<number, DeadLetter>();
    for (const { run, sequence } of [...ofOwn.reverse(), ...ofRuns]) {
      if (sequence === null || found.has(sequence)) continue;
      const deadLetter = await deadLetters.get(sequence).catch(nullIfGone);
      if (deadLetter !== null && (run === null || replayOf(deadLetter, names).run === run)) found.set(sequence, deadLetter);
    }
    return [...found.values()];
  };

  /** The run of a dead letter that is the same resend (RESEND-1); null: none. */
  const sameResend = ({ history, located }: Known): string | null => {
    const waiting = located?.delivery.attemptsMade === 0 ? located.delivery.replay : null;
    const { replay = null, delivered = false, last } = history.runs.at(-1) ?? {};
    const isRecent = delivered && (last?.endedAt ?? 0) > clock.now() - A_MOMENT_MS;
    return [waiting, isRecent ? replay : null].find((run) => replayedSequence(run) !== null) ?? null;
  };

  const known = async (deliveryId: string): Promise<Known> => {
    const first = await lookUp(deliveryId);
    const { history, located } = first;
    if (history.location?.stream !== "dead-letters" || history.location.sequence === located?.sequence) return first;
    await sleep(clock, RECORDED_WITHIN_MS);
    return lookUp(deliveryId);
  };

  return async (deliveryId) => {
    const found = await known(deliveryId);
    const delivery = await deliveryOf(deliveryId, found.history);
    const replaced = await deadLettersOf(deliveryId, found);
    const same = replaced.length === 0 ? sameResend(found) : null;
    if (same !== null) return same;
    const { run, source } = replaced[0] === undefined ? ofItsOwn(found.history, clock.now()) : replayOf(replaced[0], names);
    const again = { ...delivery, event: inFirstTrace(delivery.event, found.history), replay: run, counted: false };
    await tracing.batch("resend", (batch) => storeAgain(again, source, batch, "resent"));
    for (const { sequence } of replaced) await deadLetters.remove(sequence);
    return run;
  };
}

/** A delivery that was delivered is sent again in any case, any other one until it is delivered (REPLAY-9). */
function ofItsOwn({ runs }: DeliveryHistory, nowMs: number) {
  const run = runs.some(({ delivered }) => delivered) ? randomUUID() : resendRun(nowMs, randomUUID());
  return { run, source: { stream: run, sequence: 0 } };
}

/** Replayed or deleted since it was found. */
function nullIfGone(error: unknown): null {
  if (error instanceof AppError && error.code === "NOT_FOUND") return null;
  throw error;
}

/** An event published without a trace got one when it was first handled; the resend continues it. */
function inFirstTrace(event: Event, { runs }: DeliveryHistory): Event {
  const traceparent = event.traceparent ?? runs[0]?.last?.traceparent;
  return traceparent ? { ...event, traceparent } : event;
}

/**
 * Resends one delivery, whatever its state, from its event in the stream. A resend is a run of its own: its id keeps JetStream
 * deduplication and dedup keys from swallowing it, and it counts for neither health nor circuit. The resend of a dead letter is the run
 * of its replay (REPLAY-1) and takes its place: however often both are asked for, it is delivered once. One that fails becomes another
 * dead letter.
 */
import { randomUUID } from "node:crypto";
import type { Tracing } from "../delivery/tracing-ports.ts";
import type { StoredEvents } from "../jetstream/stored-events.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError } from "../model/app-error.ts";
import { newDelivery } from "../model/delivery.ts";
import type { DeliveryHistory, LocatedDelivery } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import type { DeliveryLookup } from "../storage/delivery-lookup.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { DeadLetter } from "./read-dead-letter.ts";
import { replayedSequence, replayOf } from "./replay.ts";
import type { StoreAgain } from "./store-again.ts";

/** @throws AppError NOT_FOUND, REDIS_UNREACHABLE, STREAM_REFUSED @returns the resend's id */
export type Resend = (deliveryId: string) => Promise<string>;

export interface ResendDependencies {
  readonly events: StoredEvents;
  readonly storeAgain: StoreAgain;
  readonly find: DeliveryLookup["find"];
  /** The delivery's message; null: none is found. @param history null: Redis does not know the delivery */
  readonly locate: (deliveryId: string, history: DeliveryHistory | null) => Promise<LocatedDelivery | null>;
  readonly deadLetters: Pick<DeadLetters, "get" | "remove">;
  readonly names: Subjects;
  readonly tracing: Tracing;
}

export function createResend({ events, storeAgain, find, locate, deadLetters, names, tracing }: ResendDependencies): Resend {
  /** The dead letters that the resend takes the place of: the delivery's own, and those whose run is made already but that are still there. */
  const deadLettersOf = async (located: LocatedDelivery | null, history: DeliveryHistory | null): Promise<DeadLetter[]> => {
    const runs = [located?.delivery.replay, ...(history?.runs ?? []).map(({ replay }) => replay)];
    const ofRuns = runs.map((run) => ({ run, sequence: replayedSequence(run ?? "") }));
    const own = located?.stream === "dead-letters" ? [{ run: null, sequence: located.sequence }] : [];
    const found = new Map<number, DeadLetter>();
    for (const { run, sequence } of [...own, ...ofRuns]) {
      if (sequence === null || found.has(sequence)) continue;
      const deadLetter = await deadLetters.get(sequence).catch(nullIfGone);
      if (deadLetter !== null && (run === null || replayOf(deadLetter, names).run === run)) found.set(sequence, deadLetter);
    }
    return [...found.values()];
  };

  return async (deliveryId) => {
    const [history = null] = await find([deliveryId]);
    const located = await locate(deliveryId, history);
    // A dead letter can be listed before Redis knows the delivery.
    const found = history ?? located?.delivery;
    if (found === undefined)
      throw new AppError("NOT_FOUND", `nothing is known about delivery ${deliveryId}; it becomes known when its first attempt ends`);
    if (found.eventSequence === null)
      throw new AppError("NOT_FOUND", `delivery ${deliveryId} was a test call, which has no event in the stream`);
    const stored = await events.at(found.eventSequence);
    if (stored?.event === null) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} can't be read: ${stored.problem}`);
    const delivery = stored && newDelivery(stored.event, found.app, found.installationUuid, stored.sequence);
    if (delivery?.id !== deliveryId) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
    const replaced = await deadLettersOf(located, history);
    const { run, source } = replaced[0] === undefined ? ofItsOwn() : replayOf(replaced[0], names);
    const again = { ...delivery, event: inFirstTrace(delivery.event, history), replay: run, counted: false };
    await tracing.batch("resend", (batch) => storeAgain(again, source, batch, "resent"));
    for (const { sequence } of replaced) await deadLetters.remove(sequence);
    return run;
  };
}

function ofItsOwn() {
  const run = randomUUID();
  return { run, source: { stream: run, sequence: 0 } };
}

/** Replayed or deleted since it was found. */
function nullIfGone(error: unknown): null {
  if (error instanceof AppError && error.code === "NOT_FOUND") return null;
  throw error;
}

/** An event published without a trace got one when it was first handled; the resend continues it. */
function inFirstTrace(event: Event, history: DeliveryHistory | null): Event {
  const traceparent = event.traceparent ?? history?.runs[0]?.last?.traceparent;
  return traceparent ? { ...event, traceparent } : event;
}

/**
 * Resends one delivery, whatever its state, from its event in the stream. A resend is a run of its own: its id keeps JetStream
 * deduplication and dedup keys from swallowing it, and it counts for neither health nor circuit. Its dead letter is removed, as by a
 * replay, because a later replay would deliver it twice: a resend that fails becomes another one.
 */
import { randomUUID } from "node:crypto";
import type { Tracing } from "../delivery/tracing-ports.ts";
import type { StoredEvents } from "../jetstream/stored-events.ts";
import { AppError } from "../model/app-error.ts";
import { newDelivery } from "../model/delivery.ts";
import type { DeliveryHistory, LocatedDelivery, StreamLocation } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import type { DeliveryLookup } from "../storage/delivery-lookup.ts";
import type { StoreAgain } from "./store-again.ts";

/** @throws AppError NOT_FOUND, REDIS_UNREACHABLE, STREAM_REFUSED @returns the resend's id */
export type Resend = (deliveryId: string) => Promise<string>;

export interface ResendDependencies {
  readonly events: StoredEvents;
  readonly storeAgain: StoreAgain;
  readonly find: DeliveryLookup["find"];
  /** Null: the message is no longer there. */
  readonly at: (deliveryId: string, location: StreamLocation) => Promise<LocatedDelivery | null>;
  readonly removeDeadLetter: (sequence: number) => Promise<void>;
  readonly tracing: Tracing;
}

export function createResend({ events, storeAgain, find, at, removeDeadLetter, tracing }: ResendDependencies): Resend {
  return async (deliveryId) => {
    const [found] = await find([deliveryId]);
    if (found == null)
      throw new AppError("NOT_FOUND", `nothing is known about delivery ${deliveryId}; it becomes known when its first attempt ends`);
    if (found.eventSequence === null)
      throw new AppError("NOT_FOUND", `delivery ${deliveryId} was a test call, which has no event in the stream`);
    const stored = await events.at(found.eventSequence);
    if (stored?.event === null) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} can't be read: ${stored.problem}`);
    const delivery = stored && newDelivery(stored.event, found.app, found.installationUuid, stored.sequence);
    if (delivery?.id !== deliveryId) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
    const resendId = randomUUID();
    const again = { ...delivery, event: inFirstTrace(delivery.event, found), replay: resendId, counted: false };
    const located = found.location && (await at(deliveryId, found.location));
    await tracing.batch("resend", (batch) => storeAgain(again, { stream: resendId, sequence: 0 }, batch, "resent"));
    if (located?.stream === "dead-letters") await removeDeadLetter(located.sequence);
    return resendId;
  };
}

/** An event published without a trace got one when it was first handled; the resend continues it. */
function inFirstTrace(event: Event, { runs }: DeliveryHistory): Event {
  const traceparent = event.traceparent ?? runs[0]?.last?.traceparent;
  return traceparent ? { ...event, traceparent } : event;
}

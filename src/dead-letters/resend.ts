/**
 * Sends one delivery again, whatever became of it, from its event in the stream. It is a run of its own: its own id keeps
 * deduplication and delivered marks from swallowing it, and it counts for neither health nor circuit.
 */
import { randomUUID } from "node:crypto";
import type { Tracing } from "../delivery/tracing-ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import type { StoredEvents } from "../jetstream/stored-events.ts";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { newDelivery } from "../model/delivery.ts";
import type { DeliveryHistory } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";

/** What is remembered of a delivery, in the order of the ids. storage/delivery-lookup.ts knows. */
export type FindDeliveries = (deliveryIds: readonly string[]) => Promise<Array<DeliveryHistory | null>>;

/** @throws AppError NOT_FOUND, REDIS_UNREACHABLE @returns the resend's id. */
export type Resend = (deliveryId: string) => Promise<string>;

export interface ResendDependencies {
  readonly events: StoredEvents;
  readonly streams: DeliveryStreamWriter;
  readonly find: FindDeliveries;
  readonly tracing: Tracing;
  readonly clock: Clock;
}

export function createResend({ events, streams, find, tracing, clock }: ResendDependencies): Resend {
  return async (deliveryId) => {
    const [found] = await find([deliveryId]);
    if (found == null) throw new AppError("NOT_FOUND", `no delivery ${deliveryId} in the last days`);
    if (found.eventSequence === null) throw new AppError("NOT_FOUND", `delivery ${deliveryId} was a test, it has no event in the stream`);
    const stored = await events.at(found.eventSequence);
    if (stored?.event === null) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} can't be read: ${stored.problem}`);
    const delivery = stored && newDelivery(stored.event, found.app, found.installationUuid, stored.sequence);
    if (delivery?.id !== deliveryId) throw new AppError("NOT_FOUND", `the event of delivery ${deliveryId} is not in the stream any more`);
    const resendId = randomUUID();
    const again = { ...delivery, event: inFirstTrace(delivery.event, found), replay: resendId, counted: false };
    const now = { dueAt: clock.now(), delayMs: 0, notBefore: false };
    await tracing.batch("resend", (batch) =>
      batch.store("retries", again, "resent", (trace) => streams.retry(again, now, { stream: resendId, sequence: 0 }, trace)),
    );
    return resendId;
  };
}

/** An event that came without a trace got one when it was handled first: the resend goes on with that. */
function inFirstTrace(event: Event, { runs }: DeliveryHistory): Event {
  const traceparent = event.traceparent ?? runs[0]?.last?.traceparent;
  return traceparent ? { ...event, traceparent } : event;
}

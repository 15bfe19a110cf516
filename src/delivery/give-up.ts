/**
 * Gives a delivery up. Nothing else writes dead letters.
 *
 * GIVEUP-1  Each dead letter is counted and logged once, however often its source is handled again. Each that holds a delivery has
 *           its status event, or is counted among those that are suppressed.
 * GIVEUP-2  The call resolves when the dead letter and the status event are stored. The source may then be acknowledged.
 * GIVEUP-3  A poison message is stored before it is decoded. After further deliveries it is not decoded at all: decoding it may be
 *           what kills the process.
 */
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import type { DeadLetterObserver, DeadLetterWriter, MessageRef, RawDeadLetterReason, UnhandledMessage } from "./ports.ts";
import { requireLease } from "./source-lease.ts";
import type { Tracing } from "./tracing-ports.ts";

/** A delivery that will not be attempted again, and why. */
export interface GivenUp {
  readonly delivery: Delivery;
  readonly reason: DeadLetterReason;
  /** Description of the last failure. */
  readonly error: string | null;
}

export interface GiveUp {
  /**
   * @returns the dead letter's sequence
   * @throws AppError STREAM_REFUSED
   */
  delivery(givenUp: GivenUp, source: MessageRef, trace?: TraceHeaders): Promise<number>;
  /**
   * Gives up a raw message, with its bytes unchanged.
   * @param app null when the message is not a delivery's
   * @throws AppError STREAM_REFUSED
   */
  message(message: UnhandledMessage, reason: RawDeadLetterReason, error: string, app: string | null): Promise<void>;
}

export interface GiveUpDependencies {
  readonly deadLetters: DeadLetterWriter;
  readonly observer: DeadLetterObserver;
  readonly tracing: Pick<Tracing, "store">;
  /** Resolves when the event is stored or counted. */
  readonly publish: (givenUp: GivenUp) => Promise<void>;
  /** Records the location of the delivery in a raw dead letter. */
  readonly recordLocation: (delivery: Delivery, location: StreamLocation) => void;
}

/** Messages are poison after 10 redeliveries. After this many deliveries they are no longer decoded (GIVEUP-3). */
const MAX_DELIVERIES_READ = 15;

export function createGiveUp({ deadLetters, observer, tracing, publish, recordLocation }: GiveUpDependencies): GiveUp {
  return {
    async delivery(givenUp, source, trace = givenUp.delivery.event) {
      const { delivery, reason, error } = givenUp;
      requireLease(source);
      const { sequence, isDuplicate } = await tracing.store(trace, "dead-letters", delivery, reason, (at) =>
        deadLetters.deadLetter(delivery, reason, error, source, at),
      );
      if (!isDuplicate) observer.deadLettered(reason, delivery, source);
      await publish(givenUp);
      return sequence;
    },

    async message(message, reason, error, app) {
      const { sequence, isDuplicate } = await deadLetters.deadLetterRaw(message, reason, error, app);
      const delivery = app === null || message.deliveries > MAX_DELIVERIES_READ ? null : deliveryIn(message);
      if (!isDuplicate) observer.deadLettered(reason, delivery, message);
      if (delivery === null) return;
      recordLocation(delivery, { stream: "dead-letters", sequence });
      await publish({ delivery, reason, error });
    },
  };
}

function deliveryIn({ data }: UnhandledMessage): Delivery | null {
  try {
    return decodeDeliveryMessage(Buffer.from(data).toString("utf8")).delivery;
  } catch {
    return null;
  }
}

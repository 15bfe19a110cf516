/**
 * Gives a delivery up: the one way into dead letters.
 *
 * X1  Each dead letter counts, is logged and is noted once, however often its source is handled again; each that holds a
 *     delivery has its status event.
 * X2  The call resolves when the dead letter and the status event are stored. The source may be acknowledged then.
 * X3  A poison message is stored before anything of it is read. One that was handed out yet more often is not read at all:
 *     reading it may be what kills the process.
 */
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type {
  DeadLetterObserver,
  DeadLetterWriter,
  MessageRef,
  RawDeadLetterReason,
  TraceHeaders,
  Tracing,
  UnhandledMessage,
} from "./ports.ts";
import { requireLease } from "./source-lease.ts";

/** A delivery that will not be attempted again, and why. */
export interface GivenUp {
  readonly delivery: Delivery;
  readonly reason: DeadLetterReason;
  /** In words. */
  readonly error: string | null;
}

export interface GiveUp {
  /** @returns the dead letter's sequence @throws AppError STREAM_REFUSED */
  delivery(givenUp: GivenUp, source: MessageRef, trace?: TraceHeaders): Promise<number>;
  /**
   * Gives up a message as it is, bytes and all.
   * @param app null for one that is no delivery's
   * @throws AppError STREAM_REFUSED
   */
  message(message: UnhandledMessage, reason: RawDeadLetterReason, error: string, app: string | null): Promise<void>;
}

export interface GiveUpDependencies {
  readonly deadLetters: DeadLetterWriter;
  readonly observer: DeadLetterObserver;
  readonly tracing: Pick<Tracing, "store">;
  /** Resolves when the status stream has the event. */
  readonly publish: (givenUp: GivenUp) => Promise<void>;
  /** Remembers where the delivery of a raw dead letter rests. */
  readonly note: (delivery: Delivery, place: StreamLocation) => void;
}

/** A message is given up after 10 redeliveries; these many later it is not read any more (X3). */
const MAX_DELIVERIES_READ = 15;

export function createGiveUp({ deadLetters, observer, tracing, publish, note }: GiveUpDependencies): GiveUp {
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
      note(delivery, { stream: "dead-letters", sequence });
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

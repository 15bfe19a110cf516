/** Stores the entries of an ordered app: where they wait for their turn, for a retry, or in dead letters. */

import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { DeadLetterDisposition, RetryDisposition } from "../../delivery/disposition.ts";
import type { DeliveryObserver, MessageRef, ParkedQueue } from "../../delivery/ports.ts";
import type { DeliveryStreamWriter } from "../../jetstream/delivery-streams.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import type { Entry } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";

export interface EntryStore {
  /** The message that stands for the entry now. */
  sourceOf(entry: Entry): MessageRef;
  /** Stores the entry in the app's own queue, where it keeps its turn. @param blockedBy the dead letter that stops its key */
  store(entry: Entry, delivery: Delivery, dueAt: number | null, blockedBy?: number): Promise<void>;
  /** @param onDeadLetter the dead letter is stored, but not its status event yet @returns its sequence; null: there is none */
  apply(entry: Entry, disposition: RetryDisposition | DeadLetterDisposition, onDeadLetter?: () => void): Promise<number | null>;
}

export interface EntryStoreDependencies {
  readonly app: string;
  readonly index: OrderIndex;
  readonly dispatcher: Pick<Dispatcher, "apply">;
  readonly streams: Pick<DeliveryStreamWriter, "park">;
  readonly observer: Pick<DeliveryObserver, "stored">;
  readonly clock: Clock;
  readonly isOwner: () => boolean;
  /** The owner's token (parked/fence.ts). */
  readonly token: number;
  /** The name of the stream of parked deliveries. */
  readonly stream: string;
}

export function createEntryStore(dependencies: EntryStoreDependencies): EntryStore {
  const { app, index, dispatcher, streams, observer, clock, isOwner, token: fence, stream } = dependencies;
  const own: ParkedQueue = { app, installationUuid: null };

  const sourceOf = ({ event, sequences }: Entry): MessageRef =>
    event === null
      ? { stream, sequence: sequences.at(-1) ?? 0, isOurs: isOwner, fence }
      : { stream: event.message.stream, sequence: event.message.sequence, isOurs: () => isOwner() && event.message.isOurs(), fence };

  return {
    sourceOf,
    async store(entry, delivery, dueAt, blockedBy) {
      const { sequence } = await streams.park(delivery, own, dueAt, sourceOf(entry), delivery.event, blockedBy);
      observer.stored("parked", delivery, "ordered");
      const parkedAt = delivery.firstParkedAt ?? clock.now();
      index.stored(entry, { ...delivery, stores: delivery.stores + 1, firstParkedAt: parkedAt }, sequence);
    },
    apply: (entry, disposition, onDeadLetter) => dispatcher.apply(disposition, sourceOf(entry), disposition.delivery.event, onDeadLetter),
  };
}

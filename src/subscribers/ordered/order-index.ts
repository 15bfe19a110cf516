/**
 * The deliveries of one ordered app that its owner knows, each once, by key: those of events that are not done, and those that are
 * stored in the app's queues.
 */
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createEntrySet, type Entries } from "./entry-set.ts";
import { createEntry, type Entry, NEVER } from "./order-entry.ts";
import { orderKeyOf } from "./order-key.ts";
import type { HeldEvent } from "./order-reader.ts";

export interface OrderIndex extends Entries {
  orderBy(): OrderBy;
  /** A delivery of an event. One that is known already (ORDER-6) is not waited for by its event. */
  accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean, dueAt: number): void;
  /** A message that was found in a queue. @param installationUuid whose queue it is; null: the app's own */
  found(parked: ParkedDelivery, installationUuid: string | null): void;
  /** Forgets all that is stored, and gives what is left its key. Nothing is started then. */
  rekey(orderBy: OrderBy): void;
}

export interface OrderIndexDependencies {
  readonly remove: Backlog["remove"];
  readonly monotonicNow: () => number;
  /** A message of another event with the same key became one with the delivery. @param kept the event message that stands for it */
  readonly onMerged: (delivery: Delivery, kept: number | null) => void;
}

export function createOrderIndex({ remove, monotonicNow, onMerged }: OrderIndexDependencies, initial: OrderBy): OrderIndex {
  let orderBy = initial;
  const set = createEntrySet(remove);

  const merge = (delivery: Delivery, dropped: number | null, kept: number | null): void => {
    if (dropped !== kept) onMerged({ ...delivery, eventSequence: dropped }, kept);
  };

  /** The count of the newer one stands, or the record of it would make the other pass for done. */
  const attach = (twin: Entry, sequence: number, delivery: Delivery): void => {
    merge(delivery, delivery.eventSequence, twin.eventSequence);
    twin.sequences.unshift(sequence);
    twin.stores = Math.max(twin.stores, delivery.stores);
    if (twin.delivery !== null) twin.delivery = { ...twin.delivery, stores: twin.stores };
  };

  const addStored = ({ delivery, message, dueAt, blockedBy }: ParkedDelivery, sequences: number[]): void => {
    const isKept = set.keep(delivery);
    const blocker = delivery.replay === null ? undefined : set.blockerOf(delivery.id);
    const entry = createEntry(delivery, orderBy, monotonicNow(), {
      ...(blocker === undefined ? {} : { position: blocker.position }),
      delivery: isKept ? delivery : null,
      message: isKept ? message : null,
      sequences,
      // Without an order it waits for its retry where all others do.
      dueAt: blockedBy !== undefined ? NEVER : orderBy === "none" ? 0 : (dueAt ?? 0),
      retryAt: dueAt,
      blockedBy,
    });
    if (blocker !== undefined) set.leave(blocker);
    set.add(entry);
  };

  return {
    ...set,
    orderBy: () => orderBy,
    // Without an order nothing waits for its retry here.
    makeDue: () => (orderBy === "none" ? 0 : set.makeDue()),

    accept(delivery, event, mayBeDone, dueAt) {
      const twin = set.withMark(dedupKeyOf(delivery));
      if (twin === undefined) return set.add(createEntry(delivery, orderBy, monotonicNow(), { event, mayBeDone, dueAt }));
      merge(delivery, delivery.eventSequence, twin.eventSequence);
      event.done();
    },

    found(parked, installationUuid) {
      const { delivery, source } = parked;
      if (!set.noteMessage(source.sequence, installationUuid)) return;
      const twin = set.withMark(dedupKeyOf(delivery));
      if (twin === undefined) return addStored(parked, [source.sequence]);
      const isNewer = twin.event !== null || twin.stores < delivery.stores;
      if (!isNewer || set.started().has(twin) || twin.isBeingStored) return attach(twin, source.sequence, delivery);
      // The newer one knows more: the attempts made, and when the next is due.
      merge(delivery, twin.eventSequence, delivery.eventSequence);
      set.drop(twin);
      addStored(parked, [...twin.sequences, source.sequence]);
    },

    rekey(wanted) {
      orderBy = wanted;
      for (const entry of set.clear()) {
        if (entry.delivery !== null) set.add({ ...entry, key: orderKeyOf(entry.delivery, orderBy), sequences: [] });
      }
    },
  };
}

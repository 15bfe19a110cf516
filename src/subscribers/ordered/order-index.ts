/**
 * The deliveries of one ordered app that its owner knows, each once, by key: those of events that are not done, and those that are
 * stored in the app's queues. Of stored deliveries, so many are kept in memory; others are read when their turn comes.
 */
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import { deliveryMessageSize } from "../../model/delivery-message.ts";
import { STOPS } from "../../model/key-stop.ts";
import { orderKeyOf } from "../../model/order-key.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createKeyedQueue } from "./keyed-queue.ts";
import { createEntry, type Entry, isStopping, NEVER, type StoppingEntry, stopOf } from "./order-entry.ts";
import type { HeldEvent } from "./order-reader.ts";

export type OrderIndex = ReturnType<typeof createOrderIndex>;

export interface OrderIndexDependencies {
  readonly remove: Backlog["remove"];
  readonly monotonicNow: () => number;
  /** A message of another event with the same key became one with the delivery. @param kept the event message that stands for it */
  readonly onMerged: (delivery: Delivery, kept: number | null) => void;
}

const MOST_KEPT_CHARACTERS = 4 * 1024 * 1024;

export function createOrderIndex({ remove, monotonicNow, onMerged }: OrderIndexDependencies, initial: OrderBy) {
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

  const addStored = ({ delivery, message, storedAt, dueAt, blockedBy }: ParkedDelivery, sequences: number[]): void => {
    const isKept = set.hasRoom();
    const entry = createEntry(delivery, orderBy, monotonicNow(), {
      delivery: isKept ? delivery : null,
      message: isKept ? message : null,
      sequences,
      // Without an order it waits for its retry where all others do.
      dueAt: orderBy === "none" ? 0 : (dueAt ?? 0),
      retryAt: dueAt,
      stop: blockedBy === undefined ? null : stopOf(delivery, { ...blockedBy, since: blockedBy.since ?? storedAt }),
    });
    set.add(entry);
    set.stopKey(entry);
  };

  return {
    ...set,
    orderBy: () => orderBy,
    /** Entries that wait for their retry may start. Without an order none waits here. @returns how many */
    makeDue: (isWanted?: (entry: Entry) => boolean): number => (orderBy === "none" ? 0 : set.makeDue(NEVER, isWanted)),

    /** A delivery of an event. One that is known already (ORDER-6) is not waited for by its event. */
    accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean, dueAt: number): void {
      const twin = set.withMark(dedupKeyOf(delivery));
      if (twin === undefined) return set.add(createEntry(delivery, orderBy, monotonicNow(), { event, mayBeDone, dueAt }));
      merge(delivery, delivery.eventSequence, twin.eventSequence);
      event.done();
    },

    /** A message that was found in a queue. @param installationUuid whose queue it is; null: the app's own; STOPS: what stops its keys */
    found(parked: ParkedDelivery, installationUuid: string | null): void {
      const { delivery, source } = parked;
      if (!set.noteMessage(source.sequence, installationUuid)) return;
      const twin = set.withMark(dedupKeyOf(delivery));
      if (twin === undefined) return addStored(parked, [source.sequence]);
      const isNewer = twin.event !== null || twin.stores < delivery.stores;
      if (!isNewer || set.started.has(twin) || twin.isBeingStored) return attach(twin, source.sequence, delivery);
      // The newer one knows more: the attempts made, and when the next is due.
      merge(delivery, twin.eventSequence, delivery.eventSequence);
      set.drop(twin);
      addStored(parked, [...twin.sequences, source.sequence]);
    },

    /** Forgets all that is stored, and gives what is left its key. Nothing is started then. */
    rekey(wanted: OrderBy): void {
      orderBy = wanted;
      for (const entry of set.clear()) {
        if (entry.delivery !== null) set.add({ ...entry, key: orderKeyOf(entry.delivery, orderBy), sequences: [] });
      }
    },
  };
}

/** The entries in the order of their keys, with their messages. */
function createEntrySet(remove: Backlog["remove"]) {
  const queue = createKeyedQueue<Entry>();
  const entries = new Map<string, Entry>();
  const stopping = new Set<StoppingEntry>();
  const messages = createKnownMessages(remove);
  let keptCharacters = 0;

  const hasRoom = (): boolean => keptCharacters < MOST_KEPT_CHARACTERS;
  /** The body of a stored one is kept in memory from now on, or not any more. */
  const count = ({ event, delivery }: Entry, sign: 1 | -1): void => {
    if (event === null && delivery !== null) keptCharacters += sign * deliveryMessageSize(delivery);
  };

  /** A removed entry may still be held by its run, or by a pending lookup. */
  const has = (entry: Entry): boolean => entries.get(entry.mark) === entry;

  const drop = (entry: Entry): void => {
    queue.leave(entry);
    if (isStopping(entry)) stopping.delete(entry);
    entries.delete(entry.mark);
    count(entry, -1);
    entry.event?.done();
  };

  return {
    ...queue,
    add(entry: Entry): void {
      entries.set(entry.mark, entry);
      queue.add(entry);
      count(entry, 1);
    },
    /** A started one starts again when it is due. The run of an entry ends with this or with `leave`. */
    later(entry: Entry, dueAt: number): void {
      entry.dueAt = dueAt;
      queue.retry(entry);
    },
    /** Leaves, but its messages stay. */
    drop,
    /** Done, or somewhere else: its messages are removed. */
    leave(entry: Entry): void {
      if (!has(entry)) return;
      drop(entry);
      messages.remove(entry.sequences);
    },
    /** It is stored now, and stays where it is; what has left meanwhile is not needed. */
    stored(entry: Entry, delivery: Delivery, sequence: number): void {
      if (!has(entry)) return messages.remove([sequence]);
      const before = entry.sequences.filter((one) => one !== sequence);
      count(entry, -1);
      entry.event?.done();
      messages.add(sequence, entry.stop === null ? null : STOPS);
      const { stores, firstParkedAt } = delivery;
      const kept = { delivery: hasRoom() ? delivery : null, stores, firstParkedAt };
      Object.assign(entry, { event: null, message: null, sequences: [sequence], ...kept });
      count(entry, 1);
      messages.remove(before);
    },
    /** Its body was read; null: the message that stood for it is gone. */
    loaded(entry: Entry, parked: ParkedDelivery | null): void {
      if (parked === null) return messages.forget(entry.sequences.pop() ?? 0);
      Object.assign(entry, { delivery: { ...parked.delivery, stores: entry.stores }, message: parked.message });
      count(entry, 1);
    },
    /** Nothing behind it starts until it leaves. Its own event, sent again, comes before it. */
    stopKey(entry: Entry): void {
      if (!has(entry) || !isStopping(entry)) return;
      queue.leave(entry);
      entry.position += 0.5;
      entry.dueAt = NEVER;
      queue.add(entry);
      stopping.add(entry);
    },
    stopping: stopping as ReadonlySet<StoppingEntry>,
    has,
    hasRoom,
    withMark: (mark: string) => entries.get(mark),
    /** Those of events that have waited since before, are due, and can be stored. */
    waitingSince: (before: number, nowMs: number) =>
      [...queue.waiting()].filter(
        ({ event, dueAt, isBeingStored, acceptedAt }) => event !== null && dueAt <= nowMs && !isBeingStored && acceptedAt < before,
      ),
    /** Whether there is one of an event up to that one. */
    holdsEvent: (last: number) => [...entries.values()].some(({ event, eventSequence }) => event !== null && (eventSequence ?? 0) <= last),
    noteMessage: messages.add,
    /** Messages of each queue that are known, until they are removed. Installation (null: the app's own queue; STOPS) → messages. */
    counts: messages.counts,
    /** Tries again to remove what could not be removed. */
    removeLeftovers: messages.removeLeftovers,
    /** Forgets everything. @returns the entries of events */
    clear(): Entry[] {
      const ofEvents = [...entries.values()].filter(({ event }) => event !== null);
      queue.clear();
      stopping.clear();
      entries.clear();
      messages.clear();
      keptCharacters = 0;
      return ofEvents;
    },
  };
}

/** The messages that are known, until they are removed from the stream. */
function createKnownMessages(removeFromStream: Backlog["remove"]) {
  /** Sequence → the queue's installation (null: the app's own queue; STOPS: what stops its keys). */
  const queues = new Map<number, string | null>();
  /** Those that are done and may still be there. */
  const leftovers = new Set<number>();

  const forget = (sequence: number): void => {
    leftovers.delete(sequence);
    queues.delete(sequence);
  };

  const remove = (sequences: Iterable<number>): void => {
    for (const sequence of sequences) {
      leftovers.add(sequence);
      removeFromStream({ source: { sequence } }).then(
        () => forget(sequence),
        () => {},
      );
    }
  };

  return {
    /** @returns whether the message is new */
    add(sequence: number, installationUuid: string | null): boolean {
      const isNew = !queues.has(sequence);
      if (isNew) queues.set(sequence, installationUuid);
      return isNew;
    },
    forget,
    remove,
    removeLeftovers: () => remove([...leftovers]),
    counts() {
      const counts = new Map<string | null, number>();
      for (const uuid of queues.values()) counts.set(uuid, (counts.get(uuid) ?? 0) + 1);
      return counts;
    },
    /** Forgets all but those that are being removed. */
    clear(): void {
      for (const sequence of queues.keys()) if (!leftovers.has(sequence)) queues.delete(sequence);
    },
  };
}

/**
 * The deliveries of one ordered app that its owner knows, each once, by key: those of events that are not done, and those that are
 * stored in the app's queues.
 */
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createKeyedQueue, type KeyedQueue } from "./keyed-queue.ts";
import { createKnownMessages } from "./known-messages.ts";
import { createBodyBudget, createEntry, type Entry, NEVER } from "./order-entry.ts";
import { orderKeyOf } from "./order-key.ts";
import type { HeldEvent } from "./order-reader.ts";

export interface OrderIndex {
  orderBy(): OrderBy;
  /** The next one that may start. */
  start(nowMs: number): Entry | null;
  /** Whether nothing of its key is before it, also now that it has started. */
  isOldest(entry: Entry): boolean;
  /** A run of it has ended, with `later` or `leave`. */
  ended(entry: Entry): void;
  started(): ReadonlySet<Entry>;
  nextDueAt(): number | null;
  /** A delivery of an event. One that is known already (ORDER-6) is not waited for by its event. */
  accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean, dueAt: number): void;
  /** A message that was found in a queue. @param installationUuid whose queue it is; null: the app's own */
  found(parked: ParkedDelivery, installationUuid: string | null): void;
  /** A started one starts again when it is due. */
  later(entry: Entry, dueAt: number): void;
  /** Done, or somewhere else: its messages are removed. */
  leave(entry: Entry): void;
  /** It is stored now, and stays where it is. */
  stored(entry: Entry, delivery: Delivery, sequence: number): void;
  /** Its body was read. */
  loaded(entry: Entry, parked: ParkedDelivery): void;
  /** The message that stood for it is gone. */
  lost(entry: Entry): void;
  has(entry: Entry): boolean;
  /** Those of events that have waited since before, and can be stored. */
  waitingSince(before: number): Entry[];
  blocked(): Entry[];
  /** Messages of the queue that are known. */
  count(installationUuid: string | null): number;
  /** Tries again to remove what could not be removed. */
  removeLeftovers(): void;
  /** Forgets all that is stored, and gives what is left its key. Nothing is started then. */
  rekey(orderBy: OrderBy): void;
}

export interface OrderIndexDependencies {
  readonly remove: Backlog["remove"];
  readonly monotonicNow: () => number;
  /** A message of another event with the same key became one with the delivery. @param kept the event message that stands for it */
  readonly onMerged: (delivery: Delivery, kept: number | null) => void;
}

/** Of an app's stored deliveries; others are read when their turn comes. */
const MOST_KEPT_CHARACTERS = 4 * 1024 * 1024;

export function createOrderIndex({ remove, monotonicNow, onMerged }: OrderIndexDependencies, initial: OrderBy): OrderIndex {
  let orderBy = initial;
  let queue: KeyedQueue<Entry> = createKeyedQueue();
  const entries = new Map<string, Entry>();
  const started = new Set<Entry>();
  const messages = createKnownMessages(remove);
  const bodies = createBodyBudget(MOST_KEPT_CHARACTERS);

  const add = (entry: Entry): void => {
    entries.set(entry.mark, entry);
    queue.add(entry);
  };

  const drop = (entry: Entry): void => {
    if (started.has(entry)) queue.end(entry);
    else queue.remove(entry);
    entries.delete(entry.mark);
    bodies.release(entry);
    entry.event?.done();
  };

  const leave = (entry: Entry): void => {
    drop(entry);
    messages.remove(entry.sequences);
  };

  const merge = (delivery: Delivery, dropped: number | null, kept: number | null): void => {
    if (dropped !== kept) onMerged({ ...delivery, eventSequence: dropped }, kept);
  };

  /** The count of the newer one stands, or what is noted of it would make the other pass for done. */
  const attach = (twin: Entry, sequence: number, delivery: Delivery): void => {
    merge(delivery, delivery.eventSequence, twin.eventSequence);
    twin.sequences.unshift(sequence);
    twin.stores = Math.max(twin.stores, delivery.stores);
    if (twin.delivery !== null) twin.delivery = { ...twin.delivery, stores: twin.stores };
  };

  const blockerOf = ({ id, replay }: Delivery): Entry | undefined =>
    replay === null ? undefined : [...entries.values()].find(({ blockedBy, mark }) => blockedBy !== undefined && mark.split(":")[0] === id);

  const addStored = ({ delivery, message, dueAt, blockedBy }: ParkedDelivery, sequences: number[]): void => {
    const isKept = bodies.hasRoom();
    if (isKept) bodies.add(delivery);
    const blocker = blockerOf(delivery);
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
    if (blocker !== undefined) leave(blocker);
    add(entry);
  };

  return {
    orderBy: () => orderBy,
    start(nowMs) {
      const entry = queue.start(nowMs);
      if (entry !== null) started.add(entry);
      return entry;
    },
    isOldest: (entry) => queue.isOldest(entry),
    ended: (entry) => void started.delete(entry),
    started: () => started,
    nextDueAt: () => queue.nextDueAt(),

    accept(delivery, event, mayBeDone, dueAt) {
      const twin = entries.get(dedupKeyOf(delivery));
      if (twin === undefined) return add(createEntry(delivery, orderBy, monotonicNow(), { event, mayBeDone, dueAt }));
      merge(delivery, delivery.eventSequence, twin.eventSequence);
      event.done();
    },

    found(parked, installationUuid) {
      const { delivery, source } = parked;
      if (messages.has(source.sequence)) return;
      messages.add(source.sequence, installationUuid);
      const twin = entries.get(dedupKeyOf(delivery));
      if (twin === undefined) return addStored(parked, [source.sequence]);
      const isNewer = twin.event !== null || twin.stores < delivery.stores;
      if (!isNewer || started.has(twin) || twin.isBeingStored) return attach(twin, source.sequence, delivery);
      // The newer one knows more: the attempts made, and when the next is due.
      merge(delivery, twin.eventSequence, delivery.eventSequence);
      drop(twin);
      addStored(parked, [...twin.sequences, source.sequence]);
    },

    later(entry, dueAt) {
      entry.dueAt = dueAt;
      queue.retry(entry);
    },
    leave,

    stored(entry, delivery, sequence) {
      const before = entry.sequences.filter((one) => one !== sequence);
      bodies.release(entry);
      entry.event?.done();
      messages.add(sequence, null);
      const isKept = bodies.hasRoom();
      if (isKept) bodies.add(delivery);
      const { stores } = delivery;
      Object.assign(entry, { event: null, message: null, sequences: [sequence], stores, delivery: isKept ? delivery : null });
      messages.remove(before);
    },

    loaded(entry, { delivery, message }) {
      bodies.add(delivery);
      Object.assign(entry, { delivery, message });
    },

    lost(entry) {
      const sequence = entry.sequences.pop();
      if (sequence !== undefined) messages.forget(sequence);
    },

    has: ({ mark }) => entries.has(mark),

    waitingSince(before) {
      const late: Entry[] = [];
      for (const entry of queue.waiting()) {
        if (entry.event !== null && entry.dueAt === 0 && !entry.isBeingStored && entry.acceptedAt < before) late.push(entry);
      }
      return late;
    },

    blocked: () => [...entries.values()].filter((entry) => entry.blockedBy !== undefined && !started.has(entry)),
    count: messages.count,
    removeLeftovers: messages.removeLeftovers,

    rekey(wanted) {
      orderBy = wanted;
      const direct = [...entries.values()].filter(({ event }) => event !== null);
      queue = createKeyedQueue();
      entries.clear();
      messages.clear();
      bodies.clear();
      for (const entry of direct) if (entry.delivery !== null) add({ ...entry, key: orderKeyOf(entry.delivery, orderBy), sequences: [] });
    },
  };
}

/**
 * The deliveries of one ordered app that its owner knows, each once, by key: those of events that are not done, and those that are
 * stored in the app's queues.
 */
import type { HandledMessage } from "../../delivery/ports.ts";
import type { OrderBy } from "../../model/app.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import { deliveryMessageSize } from "../../model/delivery-message.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createKeyedQueue, type KeyedItem, type KeyedQueue } from "./keyed-queue.ts";
import { orderKeyOf } from "./order-key.ts";
import type { HeldEvent } from "./order-reader.ts";

export interface Entry extends KeyedItem {
  readonly mark: string;
  /** Null: it is read when its turn comes. */
  delivery: Delivery | null;
  message: HandledMessage | null;
  /** Null: it is stored. */
  event: HeldEvent | null;
  /** Its messages in the parked stream; the last one stands for it. */
  sequences: number[];
  /** Monotonic, milliseconds. */
  readonly acceptedAt: number;
  readonly mayBeDone: boolean;
  /** When the next attempt of a stored one is due. */
  readonly retryAt: number | null;
  /** The dead letter that stops the key. */
  blockedBy: number | undefined;
  /** Since when that is not there any more; milliseconds since the epoch. */
  unblockedAt: number | null;
  isBeingStored: boolean;
}

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
  /** A delivery of an event. @returns false when it is known: it is stored, or another event of the same identity is before it. */
  accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean, dueAt: number): boolean;
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

/** Of the stored deliveries of an app that are kept in memory, in characters; others are read when their turn comes. */
const MOST_KEPT = 4 * 1024 * 1024;
export const NEVER = Number.MAX_SAFE_INTEGER;

export function createOrderIndex(remove: Backlog["remove"], monotonicNow: () => number, initial: OrderBy): OrderIndex {
  let orderBy = initial;
  let queue: KeyedQueue<Entry> = createKeyedQueue();
  const entries = new Map<string, Entry>();
  const started = new Set<Entry>();
  const bySequence = new Map<number, Entry>();
  /** Messages of installations' queues, with the installation. */
  const ofInstallation = new Map<number, string>();
  /** Messages that are done and could not be removed yet. */
  const leftovers = new Set<number>();
  let kept = 0;

  const positionOf = ({ eventSequence, replay }: Delivery): number => (replay === null ? (eventSequence ?? NEVER) : NEVER);

  const entryOf = (delivery: Delivery, members: Partial<Entry>): Entry => ({
    key: orderKeyOf(delivery, orderBy),
    position: positionOf(delivery),
    dueAt: 0,
    mark: dedupKeyOf(delivery),
    delivery,
    message: null,
    event: null,
    sequences: [],
    acceptedAt: monotonicNow(),
    mayBeDone: true,
    retryAt: null,
    blockedBy: undefined,
    unblockedAt: null,
    isBeingStored: false,
    ...members,
  });

  const add = (entry: Entry): void => {
    entries.set(entry.mark, entry);
    for (const sequence of entry.sequences) bySequence.set(sequence, entry);
    queue.add(entry);
  };

  const keep = (delivery: Delivery): boolean => {
    const isKept = kept < MOST_KEPT;
    if (isKept) kept += deliveryMessageSize(delivery);
    return isKept;
  };

  const letGo = ({ event, delivery }: Entry): void => {
    if (event === null && delivery !== null) kept -= deliveryMessageSize(delivery);
  };

  const forgetSequences = (sequences: readonly number[]): void => {
    for (const sequence of sequences) {
      bySequence.delete(sequence);
      ofInstallation.delete(sequence);
    }
  };

  const forget = (entry: Entry): void => {
    entries.delete(entry.mark);
    forgetSequences(entry.sequences);
    letGo(entry);
  };

  const removeStored = (sequences: Iterable<number>): void => {
    for (const sequence of sequences) {
      leftovers.add(sequence);
      remove({ source: { sequence } }).then(
        () => leftovers.delete(sequence),
        () => {},
      );
    }
  };

  const leave = (entry: Entry): void => {
    if (started.has(entry)) queue.end(entry);
    else queue.remove(entry);
    forget(entry);
    removeStored(entry.sequences);
    entry.event?.done();
  };

  /** ORDER-6. What was noted of the one must not make the other one pass for done. */
  const attach = (twin: Entry, sequence: number, { stores }: Delivery): void => {
    twin.sequences.unshift(sequence);
    if (twin.delivery !== null) twin.delivery = { ...twin.delivery, stores: Math.max(twin.delivery.stores, stores) };
    bySequence.set(sequence, twin);
  };

  const blockerOf = ({ id }: Delivery): Entry | undefined =>
    [...entries.values()].find(({ blockedBy, mark }) => blockedBy !== undefined && mark.split(":")[0] === id);

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
      if (entries.has(dedupKeyOf(delivery))) return false;
      add(entryOf(delivery, { event, mayBeDone, dueAt }));
      return true;
    },

    found({ delivery, source: { sequence }, message, dueAt, blockedBy }, installationUuid) {
      if (bySequence.has(sequence) || leftovers.has(sequence)) return;
      if (installationUuid !== null) ofInstallation.set(sequence, installationUuid);
      const twin = entries.get(dedupKeyOf(delivery));
      if (twin !== undefined) {
        if (twin.event === null || started.has(twin) || twin.isBeingStored) return attach(twin, sequence, delivery);
        // What is stored knows more: the attempts made, and when the next is due.
        queue.remove(twin);
        forget(twin);
        twin.event.done();
      }
      const isKept = keep(delivery);
      const blocker = delivery.replay === null ? undefined : blockerOf(delivery);
      const entry = entryOf(delivery, {
        ...(blocker === undefined ? {} : { position: blocker.position }),
        delivery: isKept ? delivery : null,
        message: isKept ? message : null,
        sequences: [sequence],
        // Without an order it waits for its retry where all others do.
        dueAt: blockedBy !== undefined ? NEVER : orderBy === "none" ? 0 : (dueAt ?? 0),
        retryAt: dueAt,
        blockedBy,
      });
      if (blocker !== undefined) leave(blocker);
      add(entry);
    },

    later(entry, dueAt) {
      entry.dueAt = dueAt;
      queue.retry(entry);
    },
    leave,

    stored(entry, delivery, sequence) {
      const before = entry.sequences;
      forgetSequences(before);
      letGo(entry);
      entry.event?.done();
      entry.event = null;
      entry.sequences = [sequence];
      bySequence.set(sequence, entry);
      entry.delivery = keep(delivery) ? delivery : null;
      removeStored(before.filter((one) => one !== sequence));
    },

    loaded(entry, { delivery, message }) {
      kept += deliveryMessageSize(delivery);
      entry.delivery = delivery;
      entry.message = message;
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

    count(uuid) {
      if (uuid === null) return bySequence.size + leftovers.size - ofInstallation.size;
      let count = 0;
      for (const one of ofInstallation.values()) if (one === uuid) count++;
      return count;
    },

    removeLeftovers: () => removeStored([...leftovers]),

    rekey(wanted) {
      orderBy = wanted;
      const direct = [...entries.values()].filter(({ event }) => event !== null);
      queue = createKeyedQueue();
      for (const known of [entries, bySequence, ofInstallation]) known.clear();
      kept = 0;
      for (const entry of direct) if (entry.delivery !== null) add({ ...entry, key: orderKeyOf(entry.delivery, orderBy), sequences: [] });
    },
  };
}

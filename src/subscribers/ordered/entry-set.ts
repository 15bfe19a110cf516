/**
 * The entries of an ordered app in the order of their keys, with their messages in the parked stream. Of stored deliveries, so many are
 * kept in memory; others are read when their turn comes.
 */
import type { Delivery } from "../../model/delivery.ts";
import { deliveryMessageSize } from "../../model/delivery-message.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createKeyedQueue, type KeyedQueue } from "./keyed-queue.ts";
import { createKnownMessages } from "./known-messages.ts";
import { type Entry, NEVER } from "./order-entry.ts";

/** The part of the set that the ordered app uses. */
export interface Entries {
  /** The next one that may start. */
  start(nowMs: number): Entry | null;
  /** Whether nothing of its key is before it, also now that it has started. */
  isOldest(entry: Entry): boolean;
  /** A run of it has ended, with `later` or `leave`. */
  ended(entry: Entry): void;
  started(): ReadonlySet<Entry>;
  nextDueAt(): number | null;
  /** Entries that wait for their retry may start. @returns how many */
  makeDue(): number;
  /** A started one starts again when it is due. */
  later(entry: Entry, dueAt: number): void;
  /** The next one of its key may start; `leave` follows. */
  passTurn(entry: Entry): void;
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
  /** Messages of the queue that are known. @param installationUuid null: the app's own queue */
  count(installationUuid: string | null): number;
  /** Tries again to remove what could not be removed. */
  removeLeftovers(): void;
}

/** The part that the index uses, too. */
export interface EntrySet extends Entries {
  add(entry: Entry): void;
  withMark(mark: string): Entry | undefined;
  /** The entry whose key its dead letter stops. */
  blockerOf(deliveryId: string): Entry | undefined;
  /** Leaves, but its messages stay. */
  drop(entry: Entry): void;
  /** @returns whether the message is new */
  noteMessage(sequence: number, installationUuid: string | null): boolean;
  /** Whether a stored delivery is kept in memory. */
  keep(delivery: Delivery): boolean;
  /** Forgets everything. @returns the entries of events */
  clear(): Entry[];
}

const MOST_KEPT_CHARACTERS = 4 * 1024 * 1024;

export function createEntrySet(removeFromStream: Backlog["remove"]): EntrySet {
  let queue: KeyedQueue<Entry> = createKeyedQueue();
  const entries = new Map<string, Entry>();
  const started = new Set<Entry>();
  const messages = createKnownMessages(removeFromStream);
  let keptCharacters = 0;

  const keep = (delivery: Delivery): boolean => {
    const isKept = keptCharacters < MOST_KEPT_CHARACTERS;
    if (isKept) keptCharacters += deliveryMessageSize(delivery);
    return isKept;
  };

  const release = ({ event, delivery }: Entry): void => {
    if (event === null && delivery !== null) keptCharacters -= deliveryMessageSize(delivery);
  };

  const drop = (entry: Entry): void => {
    if (started.has(entry)) queue.end(entry);
    else queue.remove(entry);
    if (entries.get(entry.mark) === entry) entries.delete(entry.mark);
    release(entry);
    entry.event?.done();
  };

  return {
    start(nowMs) {
      const entry = queue.start(nowMs);
      if (entry !== null) started.add(entry);
      return entry;
    },
    isOldest: (entry) => queue.isOldest(entry),
    ended: (entry) => void started.delete(entry),
    started: () => started,
    nextDueAt: () => queue.nextDueAt(),
    makeDue: () => queue.makeDue(NEVER),
    add(entry) {
      entries.set(entry.mark, entry);
      queue.add(entry);
    },
    withMark: (mark) => entries.get(mark),
    drop,
    keep,
    later(entry, dueAt) {
      entry.dueAt = dueAt;
      queue.retry(entry);
    },
    passTurn(entry) {
      queue.end(entry);
      started.delete(entry);
    },
    leave(entry) {
      drop(entry);
      messages.remove(entry.sequences);
    },
    stored(entry, delivery, sequence) {
      const before = entry.sequences.filter((one) => one !== sequence);
      release(entry);
      entry.event?.done();
      messages.add(sequence, null);
      const { stores } = delivery;
      Object.assign(entry, { event: null, message: null, sequences: [sequence], stores, delivery: keep(delivery) ? delivery : null });
      messages.remove(before);
    },
    loaded(entry, { delivery, message }) {
      keptCharacters += deliveryMessageSize(delivery);
      Object.assign(entry, { delivery, message });
    },
    lost(entry) {
      const sequence = entry.sequences.pop();
      if (sequence !== undefined) messages.forget(sequence);
    },
    has: ({ mark }) => entries.has(mark),
    waitingSince: (before) =>
      [...queue.waiting()].filter(
        ({ event, dueAt, isBeingStored, acceptedAt }) => event !== null && dueAt === 0 && !isBeingStored && acceptedAt < before,
      ),
    blocked: () => [...entries.values()].filter((entry) => entry.blockedBy !== undefined && !started.has(entry)),
    blockerOf: (id) => [...entries.values()].find(({ blockedBy, mark }) => blockedBy !== undefined && mark.split(":")[0] === id),
    noteMessage: messages.add,
    count: messages.count,
    removeLeftovers: messages.removeLeftovers,
    clear() {
      const ofEvents = [...entries.values()].filter(({ event }) => event !== null);
      queue = createKeyedQueue();
      entries.clear();
      messages.clear();
      keptCharacters = 0;
      return ofEvents;
    },
  };
}

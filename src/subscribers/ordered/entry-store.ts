/** Stores the entries of an ordered app: where they wait for their turn, for a retry, or in dead letters. */
import { type DeadLetterDisposition, givenUp, type RetryDisposition } from "../../delivery/disposition.ts";
import type { MessageRef, ParkedQueue } from "../../delivery/ports.ts";
import { isRefusedForNow, isTooLarge, messageOf, unlessTooLarge } from "../../model/app-error.ts";
import type { Delivery } from "../../model/delivery.ts";
import { STOPS } from "../../model/key-stop.ts";
import type { KeyStops } from "./key-stops.ts";
import { type Entry, isStopping, stopOf } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";
import type { OrderedPorts } from "./ordered-ports.ts";

export type EntryStore = ReturnType<typeof createEntryStore>;

export interface EntryStoreDependencies
  extends Pick<
    OrderedPorts,
    | "dispatcher"
    | "streams"
    | "observer"
    | "clock"
    | "monotonicNow"
    | "isOwner"
    | "fence"
    | "takeRoom"
    | "skipDelivered"
    | "parkedStream"
    | "logger"
  > {
  readonly app: string;
  readonly index: OrderIndex;
  readonly keyStops: Pick<KeyStops, "isWanted" | "deadLetterOf">;
  /** Everything stored is known. Before that, an entry with fewer attempts could replace one that is just being read. */
  readonly mayStore: () => boolean;
}

/** A delivery that waits longer than this is stored. */
const STORE_AFTER_MS = 2_000;
const STORES_AT_ONCE = 64;

export function createEntryStore(dependencies: EntryStoreDependencies) {
  const { app, index, dispatcher, streams, observer, clock, monotonicNow, isOwner, takeRoom, parkedStream } = dependencies;
  const { mayStore, skipDelivered, keyStops, logger } = dependencies;
  const fence = dependencies.fence.token;
  const { alone, storing } = createAlone();
  /** The stream refused the last store. */
  let isRefused = false;

  /** The message that stands for the entry now. */
  const sourceOf = ({ event, sequences }: Entry): MessageRef =>
    event === null
      ? { stream: parkedStream, sequence: sequences.at(-1) ?? 0, isOurs: isOwner, fence }
      : { stream: event.message.stream, sequence: event.message.sequence, isOurs: () => isOwner() && event.message.isOurs(), fence };

  /** Stores the entry in the app's own queue, where it keeps its turn, or stops its key. */
  const store = async (entry: Entry, delivery: Delivery, dueAt: number | null): Promise<void> => {
    const queue: ParkedQueue = { app, installationUuid: entry.stop === null ? null : STOPS };
    const { sequence } = await streams.park(delivery, queue, dueAt, sourceOf(entry), delivery.event, entry.stop ?? undefined);
    observer.stored("parked", delivery, "ordered");
    const parkedAt = delivery.firstParkedAt ?? clock.now();
    index.stored(entry, { ...delivery, stores: delivery.stores + 1, firstParkedAt: parkedAt }, sequence);
  };

  /** An entry that is too large for the stream becomes a dead letter. @returns whether it is stored */
  const storeOrGiveUp = async (entry: Entry, delivery: Delivery, dueAt: number | null): Promise<boolean> => {
    try {
      await store(entry, delivery, dueAt);
      return true;
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      await apply(entry, givenUp(delivery, "overflow", messageOf(error)));
      index.leave(entry);
      return false;
    }
  };

  /** @returns the sequence of the dead letter; null: there is none */
  const apply = (entry: Entry, disposition: RetryDisposition | DeadLetterDisposition): Promise<number | null> =>
    dispatcher.apply(disposition, sourceOf(entry), disposition.delivery.event);

  /** Its dead letter is stored. Until the entry is stored with it, only that is repeated, not the attempt. */
  const stopKey = async (entry: Entry, delivery: Delivery): Promise<void> => {
    if (!isStopping(entry) || !keyStops.isWanted(entry)) return index.leave(entry);
    const isStored = await unlessTooLarge(store(entry, { ...delivery, stores: delivery.stores + 1 }, null));
    logger.warn(
      { app, delivery_id: delivery.id, dead_letter: entry.stop.deadLetter },
      isStored ? "a key stops until its dead letter is replayed, resent or deleted" : "a dead letter is too large to stop its key",
    );
    return isStored ? index.stopKey(entry) : index.leave(entry);
  };

  /** @param deadLetter its sequence; null: it stops no key */
  const giveUp = async (entry: Entry, delivery: Delivery, deadLetter: number | null): Promise<void> => {
    if (deadLetter === null) return index.leave(entry);
    entry.stop = stopOf(delivery, { deadLetter, orderBy: index.orderBy(), since: clock.now() });
    await stopKey(entry, delivery);
  };

  /** It was done before, perhaps by an owner that died before it stopped the key (STOP-3). */
  const skip = async (entry: Entry, delivery: Delivery): Promise<void> => {
    const deadLetter = await keyStops.deadLetterOf(delivery);
    // A message with a higher count that was found meanwhile is not done by that.
    if (entry.stores > delivery.stores) return index.later(entry, 0);
    await giveUp(entry, delivery, deadLetter);
  };

  const storeOne = async (entry: Entry): Promise<void> => {
    const { delivery } = entry;
    if (entry.event === null || delivery === null || index.started.has(entry) || !index.has(entry)) return;
    const giveBack = entry.stop === null ? takeRoom(delivery) : null;
    const storeIt = async (): Promise<void> => {
      // The stream refused it when it became a dead letter.
      if (entry.stop !== null) return stopKey(entry, delivery);
      const isDone = entry.mayBeDone && (await skipDelivered(delivery));
      // A message with a higher count was found meanwhile, which the answer is not about.
      if (entry.stores > delivery.stores) return;
      if (isDone) return skip(entry, delivery);
      // One that is too large waits for its turn as an event.
      if (giveBack !== null) return store(entry, delivery, null);
      await apply(entry, givenUp(delivery, "overflow", "the app has used up its share of the parked stream"));
      index.leave(entry);
    };
    await alone(entry, storeIt).finally(() => giveBack?.());
  };

  return {
    ...{ sourceOf, storeOrGiveUp, apply, stopKey, giveUp, skip, alone },
    /** Stores the deliveries of events that have waited for their turn, so that their events are done (ORDER-5). */
    async storeWaiting(): Promise<void> {
      const late = index.waitingSince(monotonicNow() - STORE_AFTER_MS, clock.now());
      // Entries that are being stored can't be attempted, and only attempts make room in a full store: while it refuses, one is tried for all.
      if (isRefused) late.splice(0, late.length - 1);
      const failures = await storeAll(late, storeOne, mayStore);
      isRefused = failures.some(isRefusedForNow);
      if (failures.length > 0) throw failures[0];
    },
    /** Entries that are being stored although they have not started. */
    storing,
  };
}

/**
 * Stores them until the stream refuses one. One whose event was handed out to somebody else keeps back no other.
 * @returns the faults
 */
async function storeAll(entries: readonly Entry[], store: (entry: Entry) => Promise<void>, mayStore: () => boolean): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (let from = 0; from < entries.length && mayStore() && !failures.some(isRefusedForNow); from += STORES_AT_ONCE) {
    const stores = await Promise.allSettled(entries.slice(from, from + STORES_AT_ONCE).map(store));
    failures.push(...stores.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : [])));
  }
  return failures;
}

function createAlone() {
  let running = 0;
  return {
    storing: () => running,
    /** Nobody else does anything with the entry meanwhile. */
    async alone<T>(entry: Entry, work: () => Promise<T>): Promise<T> {
      entry.isBeingStored = true;
      running++;
      try {
        return await work();
      } finally {
        entry.isBeingStored = false;
        running--;
      }
    },
  };
}

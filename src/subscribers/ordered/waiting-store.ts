/** Stores the deliveries of events that wait for their turn, so that their events are done (ORDER-5). */
import { givenUp } from "../../delivery/disposition.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import type { Logger } from "../../model/logger.ts";
import type { EntryStore } from "./entry-store.ts";
import type { Entry } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";

export interface WaitingStore {
  start(): void;
  stop(): void;
  /** Entries that are being stored. */
  storing(): number;
}

export interface WaitingStoreDependencies {
  readonly app: string;
  readonly index: OrderIndex;
  readonly entryStore: EntryStore;
  readonly clock: Clock;
  readonly monotonicNow: () => number;
  readonly logger: Logger;
  readonly isActive: () => boolean;
  /** Deliveries may start (ORDER-4). */
  readonly isPrepared: () => boolean;
  /** Takes room for a delivery in the parked stream. @returns gives it back; null: its app has none left */
  readonly takeRoom: (delivery: Delivery) => (() => void) | null;
}

/** A delivery that waits longer than this is stored. */
const STORE_AFTER_MS = 2_000;
const TICK_MS = 500;
const STORES_AT_ONCE = 64;

export function createWaitingStore(dependencies: WaitingStoreDependencies): WaitingStore {
  const { app, index, entryStore, clock, monotonicNow, logger, isActive, isPrepared, takeRoom } = dependencies;
  let storing = 0;
  let cancel = (): void => {};

  const storeOne = async (entry: Entry): Promise<void> => {
    const { delivery } = entry;
    if (entry.event === null || delivery === null || index.started().has(entry) || !index.has(entry)) return;
    entry.isBeingStored = true;
    storing++;
    const giveBack = takeRoom(delivery);
    try {
      if (giveBack !== null) return await entryStore.store(entry, delivery, null);
      await entryStore.apply(entry, givenUp(delivery, "overflow", "the app has used up its share of the parked stream"));
      index.leave(entry);
    } finally {
      giveBack?.();
      entry.isBeingStored = false;
      storing--;
    }
  };

  const storeLate = async (): Promise<void> => {
    const late = index.waitingSince(monotonicNow() - STORE_AFTER_MS);
    for (let from = 0; from < late.length && isPrepared() && isActive(); from += STORES_AT_ONCE) {
      await Promise.all(late.slice(from, from + STORES_AT_ONCE).map(storeOne));
    }
  };

  const tick = (): void => {
    storeLate()
      .catch((error: unknown) => logger.debug({ app, error: messageOf(error) }, "waiting ordered deliveries are not stored yet"))
      .finally(() => {
        if (isActive()) cancel = clock.after(TICK_MS, tick);
      });
  };

  return { start: tick, stop: () => cancel(), storing: () => storing };
}

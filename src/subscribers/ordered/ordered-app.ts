/**
 * The deliveries of one ordered app, in the hands of the owner of the queues: those of events that it reads, straight from the event,
 * and those that are stored in the app's queues. Each key's deliveries start one at a time, in the order of the events.
 *
 * ORDER-4  Nothing starts before everything that is stored for it is known: the app's own queue, and its installation's as soon as that
 *          may flow; nor before the events that are older than its own are read. So it does not matter in which order deliveries are stored.
 * ORDER-5  A delivery that waits is stored after a moment, and its event is done. A failed one is stored with its attempts and the time
 *          of the next before it leaves the place where it was.
 * ORDER-6  A delivery that is there twice (an event and a message of the queue, or two messages) is one entry. A second event with the
 *          same key is skipped, which the log and the delivery's history show.
 */
import type { PlacesInOrder } from "../../delivery/next-in-order.ts";
import { LeaseOver } from "../../delivery/source-lease.ts";
import type { OrderBy } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Delivery } from "../../model/delivery.ts";
import { oneAtATime } from "../../model/one-at-a-time.ts";
import { every, sleep } from "../../model/periodic.ts";
import { createEntryRun } from "./entry-run.ts";
import { createEntryStore } from "./entry-store.ts";
import { createExpireEntries } from "./expire-entries.ts";
import { createKeyStops, type KeyStops } from "./key-stops.ts";
import { type Entry, NEVER } from "./order-entry.ts";
import { createOrderIndex, type OrderIndex } from "./order-index.ts";
import type { HeldEvent } from "./order-reader.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import { createStoredQueues, type StoredQueues } from "./stored-queues.ts";

export type OrderedApp = ReturnType<typeof createOrderedApp>;

const ASK_AGAIN_MS = 1_000;
const READ_AGAIN_MS = 50;
/** Replicas that know that an app is not ordered any more have parked its delivery by then. */
const OTHERS_PARK_MS = 5_000;
/** How often deliveries that wait are stored. */
const STORE_WAITING_MS = 500;

export function createOrderedApp(ports: OrderedPorts, app: string) {
  const { registry, clock, logger, isOwner } = ports;
  let isStopped = false;
  const isActive = (): boolean => !isStopped && isOwner();
  const orderByNow = () => registry.app(app)?.orderBy ?? "none";
  const index = indexOf(ports, orderByNow());
  const shared = { ...ports, app, index, isActive };
  const queues = createStoredQueues({ ...shared, onRead: () => pump.start() });
  const keyStops = createKeyStops({ ...shared, queues });
  const entryStore = createEntryStore({ ...shared, keyStops, mayStore: () => isActive() && (pump.isOpen() || index.started.size > 0) });
  const isRunning = (): boolean => pump.isOpen() && isActive();
  const run = createEntryRun({ ...shared, queues, entryStore, isRunning, onCircuitOpen: () => pump.pauseFor(ASK_AGAIN_MS) });
  const pump = createPump(shared, run);

  const storingWaiting = every(clock, STORE_WAITING_MS, entryStore.storeWaiting, (error) =>
    logger.debug({ app, error: messageOf(error) }, "waiting ordered deliveries are not stored yet"),
  );

  /** Starts nothing any more. Attempts in flight continue. */
  const stop = (): void => {
    isStopped = true;
    pump.close();
    storingWaiting.stop();
  };

  const isBusy = (): boolean => index.started.size + entryStore.storing() > 0;
  const takeInHand = createTaking({ ...shared, queues, keyStops, pump, isBusy, orderByNow });

  /** Looks for what others stored, and for what stops a key. */
  const refresh = oneAtATime(async () => {
    if (!isRunning()) return;
    index.removeLeftovers();
    await keyStops.readNew();
    queues.readFlowing();
    pump.start();
  });

  return {
    /** Resolves when all that is stored is known, and deliveries start. */
    async prepare(): Promise<void> {
      await takeInHand();
      if (isActive()) storingWaiting.startLater();
      refresh().catch(() => {});
    },

    accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean): void {
      // When the order ends, replicas that know it park; what others left to the owner is taken after a while.
      const isEnding = orderByNow() === "none";
      index.accept(delivery, event, mayBeDone || isEnding, isEnding ? clock.now() + OTHERS_PARK_MS : 0);
      pump.start();
    },

    /** Something that decides what may start has changed. */
    wake(): void {
      if (pump.isOpen() && orderByNow() !== index.orderBy()) void takeInHand();
      if (keyStops.isAnyUnwanted()) refresh().catch(() => {});
      queues.readFlowing();
      pump.pauseFor(0);
      pump.start();
    },

    /** Deliveries that wait for their retry may start now. @returns how many */
    retryNow(): number {
      const count = index.makeDue();
      pump.start();
      return count;
    },

    /** Something was stored in the queue of an installation. */
    stored: queues.noteUnread,

    refresh,

    deadLettersRemoved: (sequences: ReadonlySet<number>) => void (keyStops.noteRemoved(sequences) && refresh().catch(() => {})),

    ...{ stop, isStopped: () => isStopped, isKnown: pump.isOpen, stops: keyStops },
    expire: createExpireEntries({ ...shared, entryStore, isRunning }),

    /**
     * Stops once nothing is held of what replicas may have left to the owner; what came later they park, as they know the order has ended.
     * @param leftUpTo the last event that they may have left
     * @returns whether nothing is in hand any more
     */
    giveBack(leftUpTo: number): boolean {
      if (!isStopped && index.holdsEvent(leftUpTo)) return false;
      stop();
      if (isBusy()) return false;
      for (const { event } of index.clear()) event?.done();
      return true;
    },

    firstInOrder: (asked: PlacesInOrder) => firstInOrder({ ...shared, isRunning, pump }, asked),

    inFlight: (): number => index.started.size,
    /** Sequences in the parked stream that are being attempted. */
    *sequencesInFlight(): Iterable<number> {
      for (const { sequences } of index.started) yield* sequences;
    },
  };
}

function indexOf({ backlog, observer, log, monotonicNow, isOwner, parkedStream }: OrderedPorts, orderBy: OrderBy): OrderIndex {
  return createOrderIndex(
    {
      monotonicNow,
      // A message that a later owner has read is its to remove (FENCE-2).
      remove: (parked) => (isOwner() ? backlog.remove(parked) : Promise.reject(new LeaseOver({ stream: parkedStream, ...parked.source }))),
      onMerged(delivery, kept) {
        const waiting = { eventSequence: kept, isWaiting: true };
        log.skipped(delivery, waiting);
        observer.skipped(delivery, waiting);
      },
    },
    orderBy,
  );
}

interface FirstInOrderDependencies extends Pick<OrderedPorts, "isReadBefore"> {
  readonly index: OrderIndex;
  readonly pump: Pick<Pump, "start">;
  readonly isRunning: () => boolean;
}

/**
 * The first of the deliveries of a broken installation before which nothing is in hand, by its index; null: none. Older ones of it that
 * wait for their retry are moved to the installation's queue.
 */
async function firstInOrder(
  { index, pump, isReadBefore, isRunning }: FirstInOrderDependencies,
  { orderBy, installationUuid, places }: PlacesInOrder,
): Promise<number | null> {
  for (const [at, { key, eventSequence }] of places.entries()) {
    if (!(await isReadBefore(eventSequence ?? 0)) || !isRunning() || index.orderBy() !== orderBy) break;
    if (index.isFirst(key, eventSequence ?? NEVER)) return at;
  }
  const keys = new Set(places.map(({ key }) => key));
  // Every other key is of one installation.
  const isOfInstallation = ({ key, delivery }: Entry): boolean => key !== "" || delivery?.installationUuid === installationUuid;
  if (index.orderBy() === orderBy && index.makeDue((entry) => keys.has(entry.key) && isOfInstallation(entry)) > 0) pump.start();
  return null;
}

interface TakingDependencies extends Pick<OrderedPorts, "clock" | "logger"> {
  readonly app: string;
  readonly index: OrderIndex;
  readonly queues: StoredQueues;
  readonly keyStops: KeyStops;
  readonly pump: Pump;
  readonly isActive: () => boolean;
  /** Something has started, or is being stored. */
  readonly isBusy: () => boolean;
  readonly orderByNow: () => OrderBy;
}

/** Opens the pump once everything stored is known under the app's present key. Nothing else opens it, and two calls never overlap. */
function createTaking({ app, index, queues, keyStops, pump, clock, logger, isActive, isBusy, orderByNow }: TakingDependencies) {
  /** @returns after how long it is to be tried again; null: all is known, by the key of the index */
  const readAll = async (): Promise<number | null> => {
    // An attempt in flight ends as what it is.
    if (isBusy()) return READ_AGAIN_MS;
    index.rekey(orderByNow());
    try {
      await queues.readAll();
    } catch (error) {
      logger.warn({ app, error: messageOf(error) }, "an ordered queue can't be read yet");
      return ASK_AGAIN_MS;
    }
    return null;
  };

  return async (): Promise<void> => {
    pump.close();
    for (;;) {
      const againMs = await readAll();
      if (!isActive()) return;
      // No await between this look at the key and the opening: a later change finds the pump open.
      if (againMs === null && orderByNow() === index.orderBy()) break;
      await sleep(clock, againMs ?? READ_AGAIN_MS);
    }
    keyStops.freeUnwanted();
    queues.readFlowing();
    pump.open();
  };
}

type Pump = ReturnType<typeof createPump>;

interface PumpDependencies extends Pick<OrderedPorts, "clock" | "maxInFlightOf"> {
  readonly app: string;
  readonly index: OrderIndex;
  readonly isActive: () => boolean;
}

/** Starts what may start, as many at once as the app may have in flight. */
function createPump({ app, clock, maxInFlightOf, index, isActive }: PumpDependencies, run: (entry: Entry) => Promise<void>) {
  let isOpen = false;
  /** Milliseconds since the epoch. */
  let pausedUntil = 0;
  let cancel = (): void => {};
  const hasSlot = (): boolean => index.started.size < maxInFlightOf(app);

  const start = (): void => {
    cancel();
    if (!isOpen || !isActive()) return;
    const nowMs = clock.now();
    const isPaused = pausedUntil > nowMs;
    while (!isPaused && hasSlot()) {
      const entry = index.start(nowMs);
      if (entry === null) break;
      void run(entry).finally(start);
    }
    const dueAt = isPaused ? pausedUntil : index.nextDueAt();
    if (dueAt !== null && dueAt < NEVER && hasSlot()) cancel = clock.after(Math.max(1, dueAt - nowMs), start);
  };

  return {
    start,
    /** All that is stored has been read. */
    isOpen: () => isOpen,
    open(): void {
      isOpen = true;
      start();
    },
    close(): void {
      isOpen = false;
      cancel();
    },
    pauseFor(ms: number): void {
      pausedUntil = clock.now() + ms;
    },
  };
}

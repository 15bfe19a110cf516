/**
 * The deliveries of one ordered app, in the hands of the owner of the queues: those of events that it reads, straight from the event,
 * and those that are stored in the app's queues. Each key's deliveries start one at a time, in the order of the events.
 *
 * ORDER-4  Nothing starts before everything that is stored for it is known: the app's own queue, and its installation's as soon as that
 *          may flow. So it does not matter in which order deliveries are stored.
 * ORDER-5  A delivery that waits is stored after a moment, and its event is done. A failed one is stored with its attempts and the time
 *          of the next before it leaves the place where it was.
 * ORDER-6  A delivery that is there twice (an event and a message of the queue, or two messages) is one entry. A second event with the
 *          same key is skipped, which the log and the delivery's history show.
 */
import { isLeaseOver, LeaseOver } from "../../delivery/source-lease.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Delivery } from "../../model/delivery.ts";
import { every } from "../../model/periodic.ts";
import { createEntryRun, type EntryRun } from "./entry-run.ts";
import { createEntryStore } from "./entry-store.ts";
import { type Entry, NEVER } from "./order-entry.ts";
import { createOrderIndex, type OrderIndex } from "./order-index.ts";
import type { HeldEvent } from "./order-reader.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import { createStoredQueues } from "./stored-queues.ts";

export interface OrderedApp {
  /** Resolves when all that is stored is known, and deliveries start. */
  prepare(): Promise<void>;
  accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean): void;
  /** Something that decides what may start has changed. */
  wake(): void;
  /** Deliveries that wait for their retry may start now. @returns how many */
  retryNow(): number;
  /** Something was stored in the queue of an installation. */
  stored(installationUuid: string): void;
  /** Looks for what others stored, and for what stops a key. */
  refresh(): Promise<void>;
  /** Starts nothing any more. Attempts in flight continue. */
  stop(): void;
  inFlight(): number;
  /** Sequences in the parked stream that are being attempted. */
  sequencesInFlight(): Iterable<number>;
}

const ASK_AGAIN_MS = 1_000;
const REKEY_AGAIN_MS = 50;
/** A replay of what stopped a key comes within this time after its dead letter is gone. */
const REPLAY_MS = 5_000;
/** Replicas that know that an app is not ordered any more have parked its delivery by then. */
const OTHERS_PARK_MS = 5_000;

/** How often deliveries that wait are stored. */
const STORE_WAITING_MS = 500;

interface State {
  isPrepared: boolean;
  isStopped: boolean;
  /** The circuit is open until then; milliseconds since the epoch. */
  pausedUntil: number;
  cancelPump: () => void;
}

export function createOrderedApp(ports: OrderedPorts, app: string): OrderedApp {
  const { registry, clock, logger, isOwner } = ports;
  const state: State = { isPrepared: false, isStopped: false, pausedUntil: 0, cancelPump() {} };
  const isActive = (): boolean => !state.isStopped && isOwner();
  const orderByNow = () => registry.app(app)?.orderBy ?? "none";
  const { index, queues, entryStore, pump } = partsOf(ports, { app, state, isActive });

  const storingWaiting = every(clock, STORE_WAITING_MS, entryStore.storeWaiting, (error) =>
    logger.debug({ app, error: messageOf(error) }, "waiting ordered deliveries are not stored yet"),
  );

  const prepare = async (): Promise<void> => {
    await queues.readAll();
    if (!isActive()) return;
    queues.readFlowing();
    state.isPrepared = true;
    pump();
  };

  const prepareAgain = (): void => {
    prepare().catch((error: unknown) => {
      logger.warn({ app, error: messageOf(error) }, "an ordered queue can't be read yet");
      if (isActive()) clock.after(ASK_AGAIN_MS, prepareAgain);
    });
  };

  /** The app's record has another key: what has started ends as what it is, and all that is stored is read again. */
  const rekey = (): void => {
    if (orderByNow() === index.orderBy() || !isActive()) return;
    state.isPrepared = false;
    if (index.started().size + entryStore.storing() > 0) return void clock.after(REKEY_AGAIN_MS, rekey);
    index.rekey(orderByNow());
    prepareAgain();
  };

  const unblock = async (): Promise<void> => {
    for (const entry of index.blocked()) {
      if (entry.unblockedAt === null) entry.unblockedAt = (await ports.isDeadLetter(entry.blockedBy ?? 0)) ? null : clock.now();
      else if (clock.now() - entry.unblockedAt > REPLAY_MS) index.leave(entry);
    }
  };

  return {
    async prepare() {
      await prepare();
      if (isActive()) storingWaiting.startLater();
    },

    accept(delivery, event, mayBeDone) {
      // When the order ends, replicas that know it park; what others left to the owner is taken after a while.
      const isEnding = index.orderBy() === "none";
      index.accept(delivery, event, mayBeDone || isEnding, isEnding ? clock.now() + OTHERS_PARK_MS : 0);
      pump();
    },

    wake() {
      state.pausedUntil = 0;
      rekey();
      queues.readFlowing();
      pump();
    },

    retryNow() {
      const count = index.makeDue();
      pump();
      return count;
    },

    stored: queues.noteUnread,

    async refresh() {
      if (!state.isPrepared || !isActive()) return;
      index.removeLeftovers();
      await queues.readNew();
      queues.readFlowing();
      await unblock();
      pump();
    },

    stop() {
      state.isStopped = true;
      state.cancelPump();
      storingWaiting.stop();
    },
    inFlight: () => index.started().size,
    *sequencesInFlight() {
      for (const { sequences } of index.started()) yield* sequences;
    },
  };
}

interface Given {
  readonly app: string;
  readonly state: State;
  readonly isActive: () => boolean;
}

function partsOf(ports: OrderedPorts, given: Given) {
  const { app, state, isActive } = given;
  const { backlog, observer, log, registry, clock, isOwner, parkedStream } = ports;
  const index = createOrderIndex(
    {
      ...ports,
      // A message that a later owner has read is its to remove (FENCE-2).
      remove: (parked) => (isOwner() ? backlog.remove(parked) : Promise.reject(new LeaseOver({ stream: parkedStream, ...parked.source }))),
      onMerged(delivery, kept) {
        const waiting = { eventSequence: kept, isWaiting: true };
        log.skipped(delivery, waiting);
        observer.skipped(delivery, waiting);
      },
    },
    registry.app(app)?.orderBy ?? "none",
  );
  const shared = { ...ports, app, index, isActive };
  const queues = createStoredQueues({ ...shared, onRead: () => pump() });
  const entryStore = createEntryStore({ ...shared, isRunning: () => state.isPrepared && isActive() });
  const onCircuitOpen = (): void => {
    state.pausedUntil = clock.now() + ASK_AGAIN_MS;
  };
  const entryRun = createEntryRun({ ...shared, queues, entryStore, onCircuitOpen });
  const pump = createPump(ports, given, index, entryRun);
  return { index, queues, entryStore, pump };
}

/** @returns starts what may start */
function createPump(ports: OrderedPorts, { app, state, isActive }: Given, index: OrderIndex, entryRun: EntryRun): () => void {
  const { registry, clock, logger, isOwner, appMaxInFlight } = ports;
  const hasSlot = (): boolean => index.started().size < (registry.app(app)?.maxInFlight ?? appMaxInFlight);

  const fail = (entry: Entry, error: unknown): void => {
    // The term is over (HOLDER-3), and this with it.
    if (!isOwner()) return;
    if (!isLeaseOver(error)) {
      const fault = { app, delivery_id: entry.delivery?.id, error: messageOf(error) };
      logger.warn(fault, "an ordered delivery is handled again");
    }
    index.later(entry, clock.now() + ASK_AGAIN_MS);
  };

  const run = (entry: Entry): void => {
    entryRun(entry)
      .catch((error: unknown) => fail(entry, error))
      .finally(pump);
  };

  const pump = (): void => {
    state.cancelPump();
    if (!state.isPrepared || !isActive()) return;
    const nowMs = clock.now();
    const isPaused = state.pausedUntil > nowMs;
    while (!isPaused && hasSlot()) {
      const entry = index.start(nowMs);
      if (entry === null) break;
      run(entry);
    }
    const dueAt = isPaused ? state.pausedUntil : index.nextDueAt();
    if (dueAt !== null && dueAt < NEVER && hasSlot()) state.cancelPump = clock.after(Math.max(1, dueAt - nowMs), pump);
  };
  return pump;
}

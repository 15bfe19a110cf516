/**
 * The deliveries of one ordered app, in the hands of the owner of the queues: those of events that it reads, straight from the event,
 * and those that are stored in the app's queues. Each key's deliveries start one at a time, in the order of the events.
 *
 * ORDER-4  Nothing starts before everything that is stored for it is known: the app's own queue, and its installation's as soon as that
 *          may flow. So it does not matter in which order deliveries are stored.
 * ORDER-5  A delivery that waits is stored after a moment, and its event is done. A failed one is stored with its attempts and the time
 *          of the next before it leaves the place where it was.
 * ORDER-6  A delivery that is there twice (an event and a message of the queue, or two messages) is one entry.
 */
import { type DeadLetterDisposition, givenUp, type RetryDisposition } from "../../delivery/attempt.ts";
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { DeliveryObserver, HandledMessage, MessageRef, ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import { isLeaseOver } from "../../delivery/source-lease.ts";
import type { DeliveryStreamWriter } from "../../jetstream/delivery-streams.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import type { Logger } from "../../model/logger.ts";
import type { AttemptParked, ParkElsewhere } from "../parked/attempt-parked.ts";
import type { Backlog } from "../parked/backlog.ts";
import { createOrderIndex, type Entry, NEVER } from "./order-index.ts";
import type { HeldEvent } from "./order-reader.ts";
import { createStoredQueues } from "./stored-queues.ts";

export interface OrderedApp {
  /** Resolves when all that is stored is known, and deliveries start. */
  prepare(): Promise<void>;
  accept(delivery: Delivery, event: HeldEvent, mayBeDone: boolean): void;
  /** Something that decides what may start has changed. */
  wake(): void;
  /** Something was stored in the queue of an installation. */
  stored(installationUuid: string): void;
  /** Looks for what others stored, and for what stops a key. */
  refresh(): Promise<void>;
  /** Starts nothing any more. Attempts in flight go on. */
  stop(): void;
  inFlight(): number;
  /** Sequences in the parked stream that are being attempted. */
  sequencesInFlight(): Iterable<number>;
}

export interface OrderedAppDependencies {
  readonly backlog: Backlog;
  readonly attemptParked: AttemptParked;
  readonly dispatcher: Dispatcher;
  readonly streams: DeliveryStreamWriter;
  readonly observer: DeliveryObserver;
  readonly registry: RegistryView;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly monotonicNow: () => number;
  readonly isFlowing: (queue: ParkedQueue) => boolean;
  /** Whether this replica owns the queues, in the term for which this was made. */
  readonly isOwner: () => boolean;
  /** Whether a dead letter is still there. */
  readonly isDeadLetter: (sequence: number) => Promise<boolean>;
  /** The name of the stream of parked deliveries. */
  readonly stream: string;
  readonly appMaxInFlight: number;
  /** Whether the app may park no more. */
  readonly takeRoom: (delivery: Delivery) => (() => void) | null;
}

/** A delivery that waits longer than this is stored. */
const STORE_AFTER_MS = 2_000;
const STORE_TICK_MS = 500;
const STORES_AT_ONCE = 64;
const ASK_AGAIN_MS = 1_000;
const SOON_MS = 50;
/** A replay of what stopped a key comes within this time after its dead letter is gone. */
const REPLAY_MS = 5_000;
/** Replicas that know that an app is not ordered any more have parked its delivery by then. */
const OTHERS_PARK_MS = 5_000;

export function createOrderedApp(dependencies: OrderedAppDependencies, app: string): OrderedApp {
  const { backlog, attemptParked, dispatcher, streams, observer, registry, clock, logger, monotonicNow } = dependencies;
  const { isFlowing, isOwner, isDeadLetter, stream, appMaxInFlight, takeRoom } = dependencies;
  const own: ParkedQueue = { app, installationUuid: null };
  const share = `ordered:${app}`;
  const orderByNow = () => registry.app(app)?.orderBy ?? "none";
  const index = createOrderIndex(backlog.remove, monotonicNow, orderByNow());
  const queues = createStoredQueues({ app, backlog, index, isFlowing, isActive: () => isActive(), onRead: () => pump(), logger });
  let isPrepared = false;
  let stopped = false;
  /** The circuit is open until then; milliseconds since the epoch. */
  let pausedUntil = 0;
  let storing = 0;
  let cancelPump = (): void => {};
  let cancelStore = (): void => {};

  const isActive = (): boolean => !stopped && isOwner();
  const soon = (): number => clock.now() + SOON_MS;
  const limit = (): number => registry.app(app)?.maxInFlight ?? appMaxInFlight;
  const sourceOf = ({ event, sequences }: Entry): MessageRef =>
    event === null
      ? { stream, sequence: sequences.at(-1) ?? 0, isOurs: isOwner }
      : { stream: event.message.stream, sequence: event.message.sequence, isOurs: () => isOwner() && event.message.isOurs() };

  /** Stores the entry, in the place where it waits for its turn. */
  const store = async (entry: Entry, delivery: Delivery, dueAt: number | null, blockedBy?: number): Promise<void> => {
    const { sequence } = await streams.park(delivery, own, dueAt, sourceOf(entry), delivery.event, blockedBy);
    observer.stored("parked", delivery, "ordered");
    const parkedAt = delivery.firstParkedAt ?? clock.now();
    index.stored(entry, { ...delivery, stores: delivery.stores + 1, firstParkedAt: parkedAt }, sequence);
  };

  /** @returns the sequence of the dead letter, null when it is none */
  const apply = (entry: Entry, disposition: RetryDisposition | DeadLetterDisposition): Promise<number | null> =>
    dispatcher.apply(disposition, sourceOf(entry), disposition.delivery.event);

  const run = async (entry: Entry): Promise<void> => {
    if (entry.isBeingStored) return index.later(entry, soon());
    if (entry.delivery === null) {
      const parked = await backlog.at(entry.sequences.at(-1) ?? 0);
      if (parked === null) return index.leave(entry);
      index.loaded(entry, parked);
    }
    const { delivery } = entry;
    if (delivery === null) return;
    const { installationUuid } = delivery;
    if (queues.isUnread(installationUuid) && isFlowing({ app, installationUuid })) {
      queues.readFlowing();
      return index.later(entry, soon());
    }
    if (index.orderBy() === "none" && entry.retryAt !== null && entry.retryAt > clock.now()) {
      const delay = { dueAt: entry.retryAt, delayMs: entry.retryAt - clock.now(), notBefore: true };
      return retry(entry, { kind: "retry", delivery, record: null, delay });
    }
    const end = await attemptParked(
      {
        delivery,
        source: sourceOf(entry),
        message: entry.event?.message ?? entry.message ?? unnamed(entry),
        stream: entry.event === null ? "parked" : "events",
      },
      {
        queue: own,
        share,
        mayBeDone: entry.mayBeDone || entry.event === null || entry.sequences.length > 0,
        // The installation may have begun to flow meanwhile, and what was stored for it may be older (ORDER-4).
        isWanted: () => isActive() && !queues.isUnread(installationUuid) && index.isOldest(entry),
      },
    );
    if (end === "done") return index.leave(entry);
    if (end === "wait") pausedUntil = clock.now() + ASK_AGAIN_MS;
    if (typeof end === "string") return index.later(entry, 0);
    if (end.kind === "park") return move(entry, delivery, end);
    if (end.kind === "retry") return retry(entry, end);
    return giveUp(entry, end);
  };

  const move = async (entry: Entry, delivery: Delivery, { queue, why }: ParkElsewhere): Promise<void> => {
    const park = (): Promise<void> => dispatcher.park(delivery, queue, why, sourceOf(entry), delivery.event);
    if (await queues.move(delivery.installationUuid, park)) index.leave(entry);
    else index.later(entry, soon());
  };

  const retry = async (entry: Entry, disposition: RetryDisposition): Promise<void> => {
    if (index.orderBy() === "none") {
      await apply(entry, disposition);
      return index.leave(entry);
    }
    await store(entry, disposition.delivery, disposition.delay.dueAt);
    index.later(entry, disposition.delay.dueAt);
  };

  const giveUp = async (entry: Entry, disposition: DeadLetterDisposition): Promise<void> => {
    const deadLetter = await apply(entry, disposition);
    if (registry.app(app)?.onExhausted !== "stop" || index.orderBy() === "none" || deadLetter === null) return index.leave(entry);
    await store(entry, { ...disposition.delivery, stores: disposition.delivery.stores + 1 }, null, deadLetter);
    const stopped = { app, delivery_id: disposition.delivery.id, dead_letter: deadLetter };
    logger.warn(stopped, "a key stops until its dead letter is replayed or deleted");
    entry.blockedBy = deadLetter;
    index.later(entry, NEVER);
  };

  const fail = (entry: Entry, error: unknown): void => {
    if (!isOwner()) return;
    if (!isLeaseOver(error)) {
      const fault = { app, delivery_id: entry.delivery?.id, error: messageOf(error) };
      logger.warn(fault, "an ordered delivery is handled again");
    }
    index.later(entry, clock.now() + ASK_AGAIN_MS);
  };

  /** Starts what may start. */
  const pump = (): void => {
    cancelPump();
    if (!isPrepared || !isActive()) return;
    const nowMs = clock.now();
    const isPaused = pausedUntil > nowMs;
    while (!isPaused && index.started().size < limit()) {
      const entry = index.start(nowMs);
      if (entry === null) break;
      run(entry)
        .catch((error: unknown) => fail(entry, error))
        .finally(() => {
          index.ended(entry);
          pump();
        });
    }
    const dueAt = isPaused ? pausedUntil : index.nextDueAt();
    if (dueAt !== null && index.started().size < limit() && dueAt < NEVER) cancelPump = clock.after(Math.max(1, dueAt - nowMs), pump);
  };

  const storeOne = async (entry: Entry): Promise<void> => {
    const { delivery } = entry;
    if (entry.event === null || delivery === null || index.started().has(entry) || !index.has(entry)) return;
    entry.isBeingStored = true;
    storing++;
    const giveBack = takeRoom(delivery);
    try {
      if (giveBack !== null) return await store(entry, delivery, null);
      await apply(entry, givenUp(delivery, "overflow", "the app has used up its share of the parked stream"));
      index.leave(entry);
    } finally {
      giveBack?.();
      entry.isBeingStored = false;
      storing--;
    }
  };

  /** ORDER-5. */
  const storeWaiting = async (): Promise<void> => {
    const late = index.waitingSince(monotonicNow() - STORE_AFTER_MS);
    for (let from = 0; from < late.length && isPrepared && isActive(); from += STORES_AT_ONCE) {
      await Promise.all(late.slice(from, from + STORES_AT_ONCE).map(storeOne));
    }
  };

  const storeTick = (): void => {
    storeWaiting()
      .catch((error: unknown) => logger.debug({ app, error: messageOf(error) }, "what waits in an ordered queue is not stored yet"))
      .finally(() => {
        if (isActive()) cancelStore = clock.after(STORE_TICK_MS, storeTick);
      });
  };

  const prepare = async (): Promise<void> => {
    await queues.readAll();
    if (!isActive()) return;
    queues.readFlowing();
    isPrepared = true;
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
    isPrepared = false;
    if (index.started().size + storing > 0) return void clock.after(SOON_MS, rekey);
    index.rekey(orderByNow());
    prepareAgain();
  };

  const unblock = async (): Promise<void> => {
    for (const entry of index.blocked()) {
      if (entry.unblockedAt === null) entry.unblockedAt = (await isDeadLetter(entry.blockedBy ?? 0)) ? null : clock.now();
      else if (clock.now() - entry.unblockedAt > REPLAY_MS) index.leave(entry);
    }
  };

  return {
    async prepare() {
      await prepare();
      storeTick();
    },

    accept(delivery, event, mayBeDone) {
      // When the order ends, replicas that know it park; what others left to the owner is taken after a while.
      const isEnding = index.orderBy() === "none";
      const dueAt = isEnding ? clock.now() + OTHERS_PARK_MS : 0;
      if (index.accept(delivery, event, mayBeDone || isEnding, dueAt)) return pump();
      // Another message of the same event, or the same message again: the delivery waits in the order already.
      observer.skipped(delivery, null);
      event.done();
    },

    wake() {
      pausedUntil = 0;
      rekey();
      queues.readFlowing();
      pump();
    },

    stored: queues.noteUnread,

    async refresh() {
      if (!isPrepared || !isActive()) return;
      index.removeLeftovers();
      await queues.readNew();
      queues.readFlowing();
      await unblock();
      pump();
    },

    stop() {
      stopped = true;
      cancelPump();
      cancelStore();
    },
    inFlight: () => index.started().size,
    *sequencesInFlight() {
      for (const { sequences } of index.started()) yield* sequences;
    },
  };
}

function unnamed({ sequences }: Entry): HandledMessage {
  return { subject: "", consumer: "", sequence: sequences.at(-1) ?? 0, deliveries: 0, header: () => undefined };
}

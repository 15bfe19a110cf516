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
import type { DeadLetterDisposition, RetryDisposition } from "../../delivery/attempt.ts";
import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { DeliveryObserver, HandledMessage, MessageRef, ParkedQueue, RegistryView } from "../../delivery/ports.ts";
import { isLeaseOver } from "../../delivery/source-lease.ts";
import type { DeliveryStreamWriter } from "../../jetstream/delivery-streams.ts";
import type { OrderBy } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";
import { deliveryMessageSize } from "../../model/delivery-message.ts";
import type { Logger } from "../../model/logger.ts";
import type { AttemptParked, ParkElsewhere } from "../parked/attempt-parked.ts";
import type { Backlog, ParkedDelivery } from "../parked/backlog.ts";
import { createKeyedQueue, type KeyedItem, type KeyedQueue } from "./keyed-queue.ts";
import { orderKeyOf } from "./order-key.ts";
import type { HeldEvent } from "./order-reader.ts";

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
  /** Deliveries that are not stored. */
  direct(): number;
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
}

interface Entry extends KeyedItem {
  readonly mark: string;
  /** Null: it is read when its turn comes. */
  delivery: Delivery | null;
  message: HandledMessage | null;
  /** Null: it is stored. */
  event: HeldEvent | null;
  /** Its messages in the parked stream; the last one stands for it. */
  sequences: number[];
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

/** A delivery that waits longer than this is stored. */
const STORE_AFTER_MS = 2_000;
const STORE_TICK_MS = 500;
const STORES_AT_ONCE = 64;
/** Of the stored deliveries of an app that are kept in memory, in characters; others are read when their turn comes. */
const MOST_KEPT = 4 * 1024 * 1024;
const ASK_AGAIN_MS = 1_000;
const SOON_MS = 50;
/** A replay of what stopped a key comes within this time after its dead letter is gone. */
const REPLAY_MS = 5_000;
const OTHERS_PARK_MS = 5_000;
const NEVER = Number.MAX_SAFE_INTEGER;

export function createOrderedApp(dependencies: OrderedAppDependencies, app: string): OrderedApp {
  const { backlog, attemptParked, dispatcher, streams, observer, registry, clock, logger, monotonicNow } = dependencies;
  const { isFlowing, isOwner, isDeadLetter, stream, appMaxInFlight } = dependencies;
  const own: ParkedQueue = { app, installationUuid: null };
  const share = `ordered:${app}`;
  const entries = new Map<string, Entry>();
  const bySequence = new Map<number, Entry>();
  const started = new Set<Entry>();
  /** Messages of installations' queues, with the installation. */
  const ofInstallation = new Map<number, string>();
  /** Installations with deliveries in a queue of their own that are not known yet. */
  const unread = new Set<string>();
  const reading = new Map<string, Promise<void>>();
  /** Installation → deliveries that are on their way to its queue. */
  const moving = new Map<string, number>();
  /** Messages that are done and could not be removed. */
  const leftovers = new Set<number>();
  let orderBy: OrderBy = registry.app(app)?.orderBy ?? "none";
  let queue: KeyedQueue<Entry> = createKeyedQueue();
  let ownReadTo = 0;
  let kept = 0;
  let isPrepared = false;
  let stopped = false;
  /** The circuit is open. */
  let pausedUntil = 0;
  let cancelPump = (): void => {};
  let cancelStore = (): void => {};

  const isActive = (): boolean => !stopped && isOwner();
  const limit = (): number => registry.app(app)?.maxInFlight ?? appMaxInFlight;
  const sourceOf = ({ event, sequences }: Entry): MessageRef =>
    event === null
      ? { stream, sequence: sequences.at(-1) ?? 0, isOurs: isOwner }
      : { stream: event.message.stream, sequence: event.message.sequence, isOurs: () => isOwner() && event.message.isOurs() };

  const positionOf = ({ eventSequence, replay }: Delivery): number => (replay === null ? (eventSequence ?? NEVER) : NEVER);

  /** @returns whether there is room for it in memory, which it takes. */
  const keep = (delivery: Delivery): boolean => {
    const isKept = kept < MOST_KEPT;
    if (isKept) kept += deliveryMessageSize(delivery);
    return isKept;
  };

  // Entries

  const add = (entry: Entry): void => {
    entries.set(entry.mark, entry);
    for (const sequence of entry.sequences) bySequence.set(sequence, entry);
    queue.add(entry);
  };

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

  /** ORDER-6. What was noted of the one must not make the other one pass for done. */
  const attach = (twin: Entry, sequence: number, { stores }: Delivery): void => {
    twin.sequences.unshift(sequence);
    if (twin.delivery !== null) twin.delivery = { ...twin.delivery, stores: Math.max(twin.delivery.stores, stores) };
    bySequence.set(sequence, twin);
  };

  /** It is known to be stored, as a message of the queue says. */
  const addStored = ({ delivery, source, message, dueAt, blockedBy }: ParkedDelivery, installationUuid: string | null): void => {
    const { sequence } = source;
    if (bySequence.has(sequence) || leftovers.has(sequence)) return;
    if (installationUuid !== null) ofInstallation.set(sequence, installationUuid);
    const twin = entries.get(dedupKeyOf(delivery));
    if (twin !== undefined) {
      const isStoredOnly = twin.event === null || started.has(twin) || twin.isBeingStored;
      if (isStoredOnly) return attach(twin, sequence, delivery);
      // What is stored knows more: the attempts made, and when the next is due.
      queue.remove(twin);
      forget(twin);
      twin.event?.done();
    }
    const isKept = keep(delivery);
    const stopper = delivery.replay === null ? undefined : blockerOf(delivery);
    const entry = entryOf(delivery, {
      ...(stopper === undefined ? {} : { position: stopper.position }),
      delivery: isKept ? delivery : null,
      message: isKept ? message : null,
      sequences: [sequence],
      // Without an order it waits for its retry where all others do.
      dueAt: blockedBy !== undefined ? NEVER : orderBy === "none" ? 0 : (dueAt ?? 0),
      retryAt: dueAt,
      blockedBy,
    });
    if (stopper !== undefined) leave(stopper);
    add(entry);
  };

  const blockerOf = (replayed: Delivery): Entry | undefined =>
    [...entries.values()].find(({ blockedBy, delivery }) => blockedBy !== undefined && delivery?.id === replayed.id);

  const forgetSequence = (sequence: number): void => {
    bySequence.delete(sequence);
    ofInstallation.delete(sequence);
  };

  const forget = (entry: Entry): void => {
    entries.delete(entry.mark);
    for (const sequence of entry.sequences) forgetSequence(sequence);
    if (entry.event === null && entry.delivery !== null) kept -= deliveryMessageSize(entry.delivery);
  };

  const removeStored = (sequences: readonly number[]): void => {
    for (const sequence of sequences) {
      leftovers.add(sequence);
      backlog.remove({ source: { sequence } }).then(
        () => leftovers.delete(sequence),
        () => {},
      );
    }
  };

  /** Done, or somewhere else. */
  const leave = (entry: Entry): void => {
    if (started.has(entry)) queue.end(entry);
    else queue.remove(entry);
    forget(entry);
    removeStored(entry.sequences);
    entry.event?.done();
  };

  const later = (entry: Entry, dueAt: number): void => {
    entry.dueAt = dueAt;
    queue.retry(entry);
  };

  /** Stores the entry, in the place where it waits for its turn. */
  const store = async (entry: Entry, delivery: Delivery, dueAt: number | null, blockedBy?: number): Promise<void> => {
    const { sequence } = await streams.park(delivery, own, dueAt, sourceOf(entry), delivery.event, blockedBy);
    observer.stored("parked", delivery, "ordered");
    const before = entry.sequences;
    for (const one of before) forgetSequence(one);
    if (entry.event === null && entry.delivery !== null) kept -= deliveryMessageSize(entry.delivery);
    entry.event?.done();
    entry.event = null;
    entry.sequences = [sequence];
    bySequence.set(sequence, entry);
    const isKept = keep(delivery);
    entry.delivery = isKept ? { ...delivery, stores: delivery.stores + 1, firstParkedAt: delivery.firstParkedAt ?? clock.now() } : null;
    removeStored(before.filter((one) => one !== sequence));
  };

  // What is stored

  const readQueue = async (read: ParkedQueue, from: number): Promise<number> => {
    let at = from;
    while (isActive()) {
      const parked = await backlog.after(read, at);
      if (parked === null) break;
      at = parked.source.sequence;
      if (isActive()) addStored(parked, read.installationUuid);
    }
    return at;
  };

  const readInstallation = (uuid: string): Promise<void> => {
    const before = reading.get(uuid);
    if (before !== undefined) return before;
    if (moving.has(uuid)) return Promise.resolve();
    const work = readQueue({ app, installationUuid: uuid }, 0)
      .then(
        () => void unread.delete(uuid),
        (error: unknown) => logger.warn({ app, installation_uuid: uuid, error: messageOf(error) }, "a parked queue can't be read yet"),
      )
      .finally(() => {
        reading.delete(uuid);
        pump();
      });
    reading.set(uuid, work);
    return work;
  };

  const readFlowing = (): void => {
    for (const uuid of unread) if (isFlowing({ app, installationUuid: uuid })) void readInstallation(uuid);
  };

  // Attempts

  const run = async (entry: Entry): Promise<void> => {
    if (entry.isBeingStored) return later(entry, clock.now() + SOON_MS);
    if (entry.delivery === null) {
      const parked = await backlog.at(entry.sequences.at(-1) ?? 0);
      if (parked === null) return leave(entry);
      kept += deliveryMessageSize(parked.delivery);
      entry.delivery = parked.delivery;
      entry.message = parked.message;
    }
    const { delivery } = entry;
    const { installationUuid } = delivery;
    if (unread.has(installationUuid) && isFlowing({ app, installationUuid })) {
      void readInstallation(installationUuid);
      return later(entry, clock.now() + SOON_MS);
    }
    if (orderBy === "none" && entry.retryAt !== null && entry.retryAt > clock.now()) {
      const delay = { dueAt: entry.retryAt, delayMs: entry.retryAt - clock.now(), floor: true };
      return retry(entry, { kind: "retry", delivery, record: null, delay });
    }
    // ORDER-4 also when the installation began to flow meanwhile.
    const isWanted = (): boolean => isActive() && !unread.has(installationUuid);
    const message = entry.event?.message ?? entry.message ?? unnamed(entry);
    const stream = entry.event === null ? "parked" : "events";
    const source = sourceOf(entry);
    const end = await attemptParked(
      { delivery, source, message, stream },
      { queue: own, share, mayBeDone: entry.mayBeDone || entry.event === null || entry.sequences.length > 0, isWanted },
    );
    if (end === "done") return leave(entry);
    if (end === "wait") pausedUntil = clock.now() + ASK_AGAIN_MS;
    if (typeof end === "string") return later(entry, 0);
    if (end.kind === "park") return move(entry, end);
    if (end.kind === "retry") return retry(entry, end);
    return giveUp(entry, end);
  };

  /** To the queue of its installation, which is not read meanwhile: it would be found there while it is here. */
  const move = async (entry: Entry, { queue: to, why }: ParkElsewhere): Promise<void> => {
    const uuid = to.installationUuid ?? "";
    if (reading.has(uuid) || entry.delivery === null) return later(entry, clock.now() + SOON_MS);
    moving.set(uuid, (moving.get(uuid) ?? 0) + 1);
    try {
      await dispatcher.park(entry.delivery, to, why, sourceOf(entry), entry.delivery.event);
      unread.add(uuid);
    } finally {
      const left = (moving.get(uuid) ?? 1) - 1;
      if (left > 0) moving.set(uuid, left);
      else moving.delete(uuid);
    }
    leave(entry);
  };

  const retry = async (entry: Entry, disposition: RetryDisposition): Promise<void> => {
    if (orderBy !== "none") {
      await store(entry, disposition.delivery, disposition.delay.dueAt);
      return later(entry, disposition.delay.dueAt);
    }
    await dispatcher.settle(disposition, sourceOf(entry), disposition.delivery.event);
    leave(entry);
  };

  const giveUp = async (entry: Entry, disposition: DeadLetterDisposition): Promise<void> => {
    const deadLetter = await dispatcher.settle(disposition, sourceOf(entry), disposition.delivery.event);
    if (registry.app(app)?.onExhausted !== "stop" || orderBy === "none" || deadLetter === null) return leave(entry);
    await store(entry, { ...disposition.delivery, stores: disposition.delivery.stores + 1 }, null, deadLetter);
    logger.warn(
      { app, delivery_id: disposition.delivery.id, dead_letter: deadLetter },
      "a key stops until its dead letter is replayed or deleted",
    );
    entry.blockedBy = deadLetter;
    later(entry, NEVER);
  };

  const fail = (entry: Entry, error: unknown): void => {
    if (!isOwner()) return;
    if (!isLeaseOver(error)) {
      const fault = { app, delivery_id: entry.delivery?.id, error: messageOf(error) };
      logger.warn(fault, "an ordered delivery is handled again");
    }
    later(entry, clock.now() + ASK_AGAIN_MS);
  };

  const pump = (): void => {
    cancelPump();
    if (!isPrepared || !isActive()) return;
    const nowMs = clock.now();
    if (pausedUntil <= nowMs) {
      while (started.size < limit()) {
        const entry = queue.start(nowMs);
        if (entry === null) break;
        started.add(entry);
        run(entry)
          .catch((error: unknown) => fail(entry, error))
          .finally(() => {
            started.delete(entry);
            pump();
          });
      }
    }
    const dueAt = pausedUntil > nowMs ? pausedUntil : queue.nextDueAt();
    if (dueAt !== null && started.size < limit() && dueAt < NEVER) cancelPump = clock.after(Math.max(1, dueAt - nowMs), pump);
  };

  /** ORDER-5. */
  const storeWaiting = async (): Promise<void> => {
    const before = monotonicNow() - STORE_AFTER_MS;
    const late: Entry[] = [];
    for (const entry of queue.waiting()) {
      if (entry.event !== null && entry.dueAt === 0 && !entry.isBeingStored && entry.acceptedAt < before) late.push(entry);
    }
    for (let from = 0; from < late.length && isActive(); from += STORES_AT_ONCE) {
      await Promise.all(
        late.slice(from, from + STORES_AT_ONCE).map(async (entry) => {
          if (entry.event === null || entry.delivery === null || started.has(entry) || !entries.has(entry.mark)) return;
          entry.isBeingStored = true;
          try {
            await store(entry, entry.delivery, null);
          } finally {
            entry.isBeingStored = false;
          }
        }),
      );
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
    for (const uuid of (await storedCounts()).keys()) if (uuid !== null) unread.add(uuid);
    ownReadTo = await readQueue(own, 0);
    if (!isActive()) return;
    readFlowing();
    isPrepared = true;
    pump();
  };

  /** The app's record has another key: what has started ends as what it is, and all that is stored is read again. */
  const rekey = (): void => {
    const wanted = registry.app(app)?.orderBy ?? "none";
    if (wanted === orderBy || !isActive()) return;
    isPrepared = false;
    if (started.size > 0) return void clock.after(SOON_MS, rekey);
    orderBy = wanted;
    const direct = [...entries.values()].filter(({ event }) => event !== null);
    queue = createKeyedQueue();
    entries.clear();
    bySequence.clear();
    ofInstallation.clear();
    kept = 0;
    for (const entry of direct) if (entry.delivery !== null) add({ ...entry, key: orderKeyOf(entry.delivery, orderBy), sequences: [] });
    const again = (): void => {
      prepare().catch((error: unknown) => {
        logger.warn({ app, error: messageOf(error) }, "an ordered queue can't be read yet");
        if (isActive()) clock.after(ASK_AGAIN_MS, again);
      });
    };
    again();
  };

  /** How much each queue of the app holds; null: its own. */
  const storedCounts = async (): Promise<Map<string | null, number>> => backlog.queuesOf(app);

  const knownCount = (uuid: string | null): number =>
    uuid === null
      ? bySequence.size + leftovers.size - ofInstallation.size
      : [...ofInstallation.values()].reduce((sum, one) => sum + (one === uuid ? 1 : 0), 0);

  return {
    async prepare() {
      await prepare();
      storeTick();
    },

    accept(delivery, event, mayBeDone) {
      const mark = dedupKeyOf(delivery);
      const known = entries.get(mark);
      // It is stored, or another event of the same identity is before it.
      if (known !== undefined) return event.done();
      // Replicas that know that the app is not ordered any more have parked it; what others left is taken after a while.
      const isEnding = orderBy === "none";
      add(entryOf(delivery, { event, mayBeDone: mayBeDone || isEnding, dueAt: isEnding ? clock.now() + OTHERS_PARK_MS : 0 }));
      pump();
    },

    wake() {
      pausedUntil = 0;
      rekey();
      readFlowing();
      pump();
    },

    stored: (uuid) => void unread.add(uuid),

    async refresh() {
      if (!isPrepared || !isActive()) return;
      removeStored([...leftovers]);
      for (const [uuid, count] of await storedCounts()) {
        if (count <= knownCount(uuid)) continue;
        if (uuid !== null) unread.add(uuid);
        else ownReadTo = await readQueue(own, ownReadTo);
      }
      readFlowing();
      for (const entry of [...entries.values()]) {
        if (entry.blockedBy === undefined || started.has(entry)) continue;
        if (entry.unblockedAt === null) entry.unblockedAt = (await isDeadLetter(entry.blockedBy)) ? null : clock.now();
        else if (clock.now() - entry.unblockedAt > REPLAY_MS) leave(entry);
      }
      pump();
    },

    stop() {
      stopped = true;
      cancelPump();
      cancelStore();
    },
    inFlight: () => started.size,
    *sequencesInFlight() {
      for (const { sequences } of started) yield* sequences;
    },
    direct: () => [...entries.values()].filter(({ event }) => event !== null).length,
  };
}

function unnamed({ sequences }: Entry): HandledMessage {
  return { subject: "", consumer: "", sequence: sequences.at(-1) ?? 0, deliveries: 0, header: () => undefined };
}

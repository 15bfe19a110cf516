/**
 * How far the events subscriber reads ahead. An event that waits for its own app, or to be stored, is no reason to leave those behind it
 * unread; one that waits for the process is.
 *
 * AHEAD-1  As many deliveries are in flight, or wait for the process only, as it may have in flight.
 * AHEAD-2  Everything that is held takes at most `maxBytes`, and so many deliveries are under way at once as `maxUnderWay` says.
 *          An event that has to wait anyway is postponed: it is held as it came, and begins when what it waits for has room.
 * AHEAD-3  When the room is scarce, postponed events begin in any case: what their app can't take in time is parked.
 * AHEAD-4  Postponed events of an app begin in the order in which they came.
 * AHEAD-5  Reading goes before attempts that may be in vain, and before storing: while there is more to read, few events of an app begin
 *          before one of its attempts has succeeded (SHARE-3). Once the app answers, as many of those that are postponed begin as there is
 *          room for.
 * AHEAD-6  When an app becomes ordered, all that are postponed begin soon: the owner of the queues waits until they are done or stored.
 */
import type { ConsumedMessage } from "../jetstream/message.ts";
import type { Installation } from "../model/app.ts";
import type { Clock } from "../model/clock.ts";
import { createFifo, type Fifo } from "../model/fifo.ts";

export interface ReadAhead {
  /** A message has arrived. */
  received(message: ConsumedMessage): void;
  /** @returns whether the event has to wait; it is passed to `begin` later, once */
  postpone(message: ConsumedMessage, installations: readonly Installation[]): boolean;
  /** @returns to be called when its deliveries have ended */
  begun(installations: readonly Installation[]): () => void;
  ended(message: ConsumedMessage): void;
  /** AHEAD-6. */
  beginPostponed(): void;
  /** Messages that may be held on top of those that are. */
  room(): number;
  /** Messages that are held when nothing waits for anything but the process. */
  window(): number;
}

export interface ReadAheadDependencies {
  /** Whether a delivery to it would be parked now, or wait for an app that does not answer. */
  readonly mustWait: (installation: Installation) => boolean;
  /** SHARE-3. */
  readonly answers: (app: string) => boolean;
  /** Whether one more delivery may not wait for a slot of the app. */
  readonly isCrowded: (app: string) => boolean;
  /** Deliveries that wait for their own app: for a slot of one that does not answer, or for its pace. */
  readonly waitingForApps: () => number;
  /** Deliveries that are being stored, or wait for it. */
  readonly beingStored: () => number;
  readonly begin: (message: ConsumedMessage) => void;
  readonly clock: Clock;
}

export interface ReadAheadOptions {
  /** Attempts of this process. */
  readonly maxInFlight: number;
  readonly maxBytes: number;
}

/** An event for more installations than this is stored in parts, and counts as one for so many. */
export const MAX_DIRECT_TARGETS = 500;
/** AHEAD-2; a delivery that waits takes about 5 KB. */
const UNDER_WAY_PER_IN_FLIGHT = 32;
/** An event with more targets waits for its turn when too many deliveries are under way. */
const FEW_TARGETS = 16;
/** Deliveries of an app that are under way while there is more to read and none has succeeded (AHEAD-5). */
const FEW_UNTRIED = 16;
/** Enough to keep the publish windows full until postponed events are looked at again. */
const MAX_BEING_STORED = 768;
/** A held message's size without its body. */
const MESSAGE_BYTES = 1_024;
const SCARCE = 0.9;
const LOOK_AGAIN_MS = 5;
/** Postponed events that begin at a time, so that the event loop is not held up. */
const BEGUN_AT_ONCE = 64;
const FEW_UNREAD = 32;
const STILL_COMING_MS = 100;
/** A postponed event counts as this many in the average, so that more are asked for at once while most are postponed. */
const POSTPONED_TARGETS = 1 / 4;
/** How fast the averages follow. */
const WEIGHT = 1 / 64;
/** Apps whose counts are kept when nothing is under way: a Map that is emptied again and again keeps garbage alive (model/slots.ts). */
const MOST_KEPT = 1_000;
/** The key of postponed events that wait for no app of their own: those with many targets. */
const MANY = "";

export function createReadAhead(dependencies: ReadAheadDependencies, { maxInFlight, maxBytes }: ReadAheadOptions): ReadAhead {
  const { mustWait, answers, isCrowded, waitingForApps, beingStored, begin, clock } = dependencies;
  const maxUnderWay = maxInFlight * UNDER_WAY_PER_IN_FLIGHT;
  const underWay = createUnderWay();
  /** By the app that they wait for, or MANY. */
  const postponed = createFifos<ConsumedMessage>();
  /** Postponed events whose turn has come. */
  const turns = new WeakSet<ConsumedMessage>();
  let isLooking = false;

  const held = createHeld(maxBytes);
  const targetsOfEach = (): number => (postponed.isEmpty() ? Math.max(1, held.targets()) : held.targets());
  const free = (): number => Math.max(0, maxInFlight - Math.max(0, underWay.all() - waitingForApps() - beingStored()));
  const roomOf = (): number => (free() === 0 ? 0 : held.room(free() / targetsOfEach()));

  /** AHEAD-5. Nothing is read while the process is busy, or when messages have stopped coming: others have them, or it stops. */
  const isReading = (): boolean => held.areMoreComing(clock.now()) && roomOf() > 0;

  const mayBegin = (key: string): boolean => {
    if (underWay.all() >= maxUnderWay) return false;
    return key === MANY || held.isScarce() || (beingStored() < MAX_BEING_STORED && (!isCrowded(key) || (answers(key) && free() > 0)));
  };

  const beginOf = (key: string, most: number): number => {
    for (let begun = 0; ; begun++) {
      const message = begun < most && mayBegin(key) ? postponed.take(key) : undefined;
      if (message === undefined) return begun;
      turns.add(message);
      begin(message);
    }
  };

  const lookLater = (): void => {
    if (isLooking) return;
    isLooking = true;
    clock.after(LOOK_AGAIN_MS, () => {
      isLooking = false;
      beginOf(MANY, BEGUN_AT_ONCE);
      let left = BEGUN_AT_ONCE;
      const keys = isReading() && !held.isScarce() ? [] : postponed.keysInTurn();
      const share = Math.ceil(left / keys.length);
      for (const key of keys) left -= beginOf(key, Math.min(share, left));
      if (!postponed.isEmpty()) lookLater();
    });
  };

  const waits = (installation: Installation): boolean => {
    const { app } = installation;
    return postponed.has(app) || (underWay.of(app) >= FEW_UNTRIED && !answers(app)) || mustWait(installation);
  };

  /** The app whose postponed events it would follow, or MANY; null: it need not wait. */
  const waitsFor = (installations: readonly Installation[]): string | null => {
    if (installations.length > FEW_TARGETS && (postponed.has(MANY) || underWay.all() >= maxUnderWay)) return MANY;
    const [first] = installations;
    if (first === undefined) return null;
    if (!isReading() && !postponed.has(first.app) && mayBegin(first.app)) return null;
    return installations.every(waits) ? first.app : null;
  };

  return {
    received: (message) => held.add(message, clock.now()),
    postpone(message, installations) {
      const key = turns.has(message) ? null : waitsFor(installations);
      if (key === null) return false;
      postponed.add(key, message);
      held.note(POSTPONED_TARGETS);
      lookLater();
      return true;
    },
    begun(installations) {
      held.note(Math.max(1, underWay.add(installations, 1)));
      return () => {
        underWay.add(installations, -1);
        if (postponed.isEmpty()) return;
        const readsOn = isReading();
        if (!readsOn) beginOf(MANY, BEGUN_AT_ONCE);
        if (installations.length > FEW_TARGETS) return;
        for (const installation of installations) {
          const isAnswering = answers(installation.app);
          if (readsOn && (!isAnswering || mustWait(installation))) continue;
          beginOf(installation.app, isAnswering ? BEGUN_AT_ONCE : 1);
        }
      };
    },
    ended: held.remove,
    beginPostponed() {
      postponed.moveAllTo(MANY);
      lookLater();
    },
    room: roomOf,
    window: () => Math.max(1, Math.floor(maxInFlight / targetsOfEach())),
  };
}

/** The bytes of the messages that are held, and the averages of the last ones. */
function createHeld(maxBytes: number) {
  let bytes = 0;
  const average = { targets: 1, bytes: 2 * MESSAGE_BYTES };
  /** The last message, and those that the server had not sent yet when it sent it. */
  const last = { receivedAt: Number.NEGATIVE_INFINITY, unread: 0 };
  return {
    areMoreComing: (now: number) => last.unread >= FEW_UNREAD && now - last.receivedAt < STILL_COMING_MS,
    add({ data, pending }: ConsumedMessage, now: number): void {
      last.unread = pending;
      last.receivedAt = now;
      bytes += data.length + MESSAGE_BYTES;
      average.bytes += (data.length + MESSAGE_BYTES - average.bytes) * WEIGHT;
    },
    remove({ data }: ConsumedMessage): void {
      bytes -= data.length + MESSAGE_BYTES;
    },
    note(targets: number): void {
      average.targets += (targets - average.targets) * WEIGHT;
    },
    targets: () => average.targets,
    isScarce: () => bytes >= maxBytes * SCARCE,
    /** @returns so many messages, or fewer if the bytes don't allow them; one at least when none is held */
    room(most: number): number {
      if (bytes === 0) return Math.max(1, Math.floor(most));
      return Math.max(0, Math.floor(Math.min(Math.max(1, most), (maxBytes - bytes) / average.bytes)));
    },
  };
}

/** The deliveries that have begun and not ended. */
function createUnderWay() {
  const byApp = new Map<string, number>();
  let all = 0;
  const of = (app: string): number => byApp.get(app) ?? 0;
  return {
    all: () => all,
    of,
    /** @returns how many they are */
    add(installations: readonly Installation[], change: 1 | -1): number {
      const count = Math.min(installations.length, MAX_DIRECT_TARGETS);
      all += change * count;
      if (installations.length > MAX_DIRECT_TARGETS) return count;
      for (const { app } of installations) byApp.set(app, of(app) + change);
      if (all === 0 && byApp.size > MOST_KEPT) byApp.clear();
      return count;
    },
  };
}

function createFifos<T>() {
  const fifos = new Map<string, Fifo<T>>();
  let turn = 0;
  return {
    isEmpty: () => fifos.size === 0,
    has: (key: string) => fifos.has(key),
    /** Another one is the first each time. */
    keysInTurn(): string[] {
      const keys = [...fifos.keys()];
      const first = turn++ % Math.max(1, keys.length);
      return [...keys.slice(first), ...keys.slice(0, first)];
    },
    add(key: string, item: T): void {
      const fifo = fifos.get(key) ?? createFifo<T>();
      fifos.set(key, fifo);
      fifo.add(item);
    },
    moveAllTo(key: string): void {
      const all = createFifo<T>();
      for (const fifo of fifos.values()) for (let item = fifo.take(); item !== undefined; item = fifo.take()) all.add(item);
      fifos.clear();
      if (all.size > 0) fifos.set(key, all);
    },
    take(key: string): T | undefined {
      const fifo = fifos.get(key);
      const item = fifo?.take();
      if (fifo?.size === 0) fifos.delete(key);
      return item;
    },
  };
}

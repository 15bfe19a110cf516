/**
 * How far the events subscriber reads ahead. An event that waits for its own app, or to be stored, is no reason to leave those behind it
 * unread; one that waits for the process is.
 *
 * AHEAD-1  As many deliveries are in flight, or wait for the process only, as it may have in flight.
 * AHEAD-2  Everything that is held takes at most `maxBytes`, and so many deliveries are under way at once as `maxUnderWay` says.
 *          An event that has to wait anyway is postponed: it is held as it came, and begins when what it waits for has room.
 * AHEAD-3  When the room is scarce, postponed events begin in any case: what their app can't take in time is parked.
 * AHEAD-4  Postponed events of an app begin in the order in which they came.
 * AHEAD-5  Reading goes before storing: while there is more to read, few postponed events begin.
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
  /** Whether one more delivery may wait for a slot of the app. */
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
/** Enough to keep the publish windows full until postponed events are looked at again. */
const MAX_BEING_STORED = 768;
/** A held message's size without its body. */
const MESSAGE_BYTES = 1_024;
const SCARCE = 0.9;
const LOOK_AGAIN_MS = 5;
/** Postponed events that begin at a time, so that the event loop is not held up, and while there is more to read (AHEAD-5). */
const BEGUN_AT_ONCE = 64;
const BEGUN_WHILE_READING = 8;
const FEW_UNREAD = 32;
const STILL_COMING_MS = 100;
/** How fast the averages follow. */
const WEIGHT = 1 / 64;
/** The key of postponed events that wait for no app of their own: those with many targets. */
const MANY = "";

export function createReadAhead(dependencies: ReadAheadDependencies, { maxInFlight, maxBytes }: ReadAheadOptions): ReadAhead {
  const { mustWait, isCrowded, waitingForApps, beingStored, begin, clock } = dependencies;
  const maxUnderWay = maxInFlight * UNDER_WAY_PER_IN_FLIGHT;
  let bytes = 0;
  let underWay = 0;
  const average = { targets: 1, bytes: 2 * MESSAGE_BYTES };
  /** By the app that they wait for, or MANY. */
  const postponed = createFifos<ConsumedMessage>();
  /** Postponed events whose turn has come. */
  const turns = new WeakSet<ConsumedMessage>();
  let isLooking = false;
  /** The last message, and those that the server had not sent yet when it sent it. */
  const last = { receivedAt: Number.NEGATIVE_INFINITY, unread: 0 };

  const roomOf = (): number => {
    const free = maxInFlight - Math.max(0, underWay - waitingForApps() - beingStored());
    if (free <= 0) return 0;
    if (bytes === 0) return Math.max(1, Math.floor(free / average.targets));
    return Math.max(0, Math.floor(Math.min(Math.max(1, free / average.targets), (maxBytes - bytes) / average.bytes)));
  };

  /** AHEAD-5. Nothing is read while the process is busy, or when messages have stopped coming: others have them, or it stops. */
  const isReading = (): boolean => last.unread >= FEW_UNREAD && clock.now() - last.receivedAt < STILL_COMING_MS && roomOf() > 0;

  const isScarce = (): boolean => bytes >= maxBytes * SCARCE;

  const mayBegin = (key: string): boolean => {
    if (underWay >= maxUnderWay) return false;
    return key === MANY || isScarce() || (beingStored() < MAX_BEING_STORED && !isCrowded(key));
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
      let left = isReading() && !isScarce() ? BEGUN_WHILE_READING : BEGUN_AT_ONCE;
      const keys = postponed.keysInTurn();
      const share = Math.ceil(left / keys.length);
      for (const key of keys) left -= beginOf(key, Math.min(share, left));
      if (!postponed.isEmpty()) lookLater();
    });
  };

  /** The app whose postponed events it would follow, or MANY; null: it need not wait. */
  const waitsFor = (installations: readonly Installation[]): string | null => {
    if (installations.length > FEW_TARGETS && (postponed.has(MANY) || underWay >= maxUnderWay)) return MANY;
    const [first] = installations;
    if (first === undefined) return null;
    if (!isReading() && !postponed.has(first.app) && mayBegin(first.app)) return null;
    return installations.every((installation) => postponed.has(installation.app) || mustWait(installation)) ? first.app : null;
  };

  return {
    received({ data, pending }) {
      last.unread = pending;
      last.receivedAt = clock.now();
      bytes += data.length + MESSAGE_BYTES;
      average.bytes += (data.length + MESSAGE_BYTES - average.bytes) * WEIGHT;
    },
    postpone(message, installations) {
      const key = turns.has(message) ? null : waitsFor(installations);
      if (key === null) return false;
      postponed.add(key, message);
      lookLater();
      return true;
    },
    begun(installations) {
      const count = Math.min(installations.length, MAX_DIRECT_TARGETS);
      underWay += count;
      average.targets += (Math.max(1, count) - average.targets) * WEIGHT;
      return () => {
        underWay -= count;
        if (postponed.isEmpty() || isReading()) return;
        beginOf(MANY, BEGUN_AT_ONCE);
        if (installations.length <= FEW_TARGETS) for (const { app } of installations) beginOf(app, 1);
      };
    },
    ended({ data }) {
      bytes -= data.length + MESSAGE_BYTES;
    },
    beginPostponed() {
      postponed.moveAllTo(MANY);
      lookLater();
    },
    room: roomOf,
    window: () => Math.max(1, Math.floor(maxInFlight / average.targets)),
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

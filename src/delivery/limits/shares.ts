/**
 * The slots of apps and destinations that are taken, and the queues that wait for them.
 *
 * SHARE-1  A queue that is blocked is in the list of the app or the destination that blocks it, and in no other. A slot that is given back
 *         wakes one queue of the list, or more until one can use it.
 * SHARE-2  A queue that is not blocked waits for the process only. Such queues get its free slots in turn, app by app.
 */
import type { Clock } from "../../model/clock.ts";
import { createFairQueue } from "./fair-queue.ts";
import { createWaitQueue, type Entry, type WaitQueue } from "./wait-queue.ts";

/** An app or a destination. */
export interface Share {
  readonly key: string;
  /** Slots of a destination; those of an app are as many as those that wait for it say. */
  readonly max: number;
  held: number;
  /** All that wait for it, by the other share that they wait for. */
  readonly queues: Map<Share, Queue>;
  /** Those that it blocks, in turn (SHARE-1). */
  readonly blocked: Queue[];
}

interface Queue {
  readonly app: Share;
  readonly destination: Share;
  readonly waiters: WaitQueue;
  blockedBy: Share | null;
}

export interface Shares {
  app(key: string): Share;
  destination(key: string): Share;
  /** Forgets those that are not used any more. */
  forget(app: Share, destination: Share): void;
  /** Whether nothing waits that comes before. */
  isFirst(app: Share, destination: Share): boolean;
  isFree(app: Share, limit: number, destination: Share): boolean;
  take(app: Share, destination: Share): void;
  release(app: Share, destination: Share): void;
  wait(app: Share, limit: number, destination: Share, end: (entry: Entry) => void): void;
  /** Lets the next one that waits for the process enter. @returns false when there is none */
  enterNext(): boolean;
  close(): void;
  isStalled(app: string): boolean;
  waitingOf(app: string): number;
}

export interface SharesOptions {
  readonly maxPerDestination: number;
  readonly maxWaitMs: number;
  readonly onStalled: (change: number) => void;
}

export function createShares(clock: Clock, { maxPerDestination, maxWaitMs, onStalled }: SharesOptions): Shares {
  const apps = createShareMap(Number.POSITIVE_INFINITY);
  const destinations = createShareMap(maxPerDestination);
  /** SHARE-2. */
  const ready = createFairQueue<Queue>();

  const forget: Shares["forget"] = (app, destination) => {
    apps.forget(app);
    destinations.forget(destination);
  };

  const remove = (queue: Queue): void => {
    const { app, destination } = queue;
    unblock(queue);
    app.queues.delete(destination);
    destination.queues.delete(app);
    forget(app, destination);
  };

  /** Puts a queue that is in no list into the right one. @returns whether it waits for the process only */
  const assign = (queue: Queue): boolean => {
    if (queue.waiters.size === 0) {
      remove(queue);
      return false;
    }
    const blocker = blockerOf(queue);
    if (blocker === null) ready.add(queue.app.key, queue);
    else block(queue, blocker);
    return blocker === null;
  };

  const wake = ({ blocked }: Share): void => {
    for (let tries = blocked.length; tries > 0; tries--) {
      const [queue] = blocked;
      if (queue === undefined) return;
      unblock(queue);
      if (assign(queue)) return;
    }
  };

  const addQueue = (app: Share, destination: Share): Queue => {
    const waiters = createWaitQueue(clock, { maxWaitMs, onStalled, onEmpty: () => remove(queue) });
    const queue: Queue = { app, destination, waiters, blockedBy: null };
    app.queues.set(destination, queue);
    destination.queues.set(app, queue);
    return queue;
  };

  const queuesOf = (app: string): Queue[] => [...(apps.find(app)?.queues.values() ?? [])];

  return {
    app: apps.get,
    destination: destinations.get,
    forget,
    isFirst: (app, destination) => ready.size() === 0 && app.queues.size === 0 && destination.blocked.length === 0,
    isFree: (app, limit, destination) => app.held < limit && destination.held < destination.max,
    take,
    release(app, destination) {
      app.held--;
      destination.held--;
      if (app.blocked.length > 0) wake(app);
      if (destination.blocked.length > 0) wake(destination);
    },
    wait(app, limit, destination, end) {
      const found = app.queues.get(destination);
      const queue = found ?? addQueue(app, destination);
      queue.waiters.add(limit, end);
      if (found === undefined) assign(queue);
    },
    enterNext() {
      const queue = ready.take();
      if (queue === undefined) return false;
      const { app, destination, waiters } = queue;
      const blocker = blockerOf(queue);
      if (blocker === null) {
        take(app, destination);
        waiters.enterFirst();
      }
      assign(queue);
      // Another one may be able to use the slot that this queue was woken for.
      if (blocker !== null) wake(blocker === app ? destination : app);
      return true;
    },
    close() {
      ready.clear();
      for (const app of apps.all()) {
        for (const queue of [...app.queues.values()]) {
          queue.waiters.close();
          remove(queue);
        }
      }
    },
    isStalled: (app) => queuesOf(app).some(({ waiters }) => waiters.isStalled),
    waitingOf: (app) => queuesOf(app).reduce((sum, { waiters }) => sum + waiters.size, 0),
  };
}

function take(app: Share, destination: Share): void {
  app.held++;
  destination.held++;
}

/** The share that the first one of the queue can't enter. */
function blockerOf({ app, destination, waiters }: Queue): Share | null {
  if (app.held >= waiters.limit()) return app;
  return destination.held >= destination.max ? destination : null;
}

function block(queue: Queue, blocker: Share): void {
  queue.blockedBy = blocker;
  blocker.blocked.push(queue);
  queue.waiters.block();
}

function unblock(queue: Queue): void {
  const { blockedBy } = queue;
  if (blockedBy === null) return;
  blockedBy.blocked.splice(blockedBy.blocked.indexOf(queue), 1);
  queue.blockedBy = null;
  queue.waiters.unblock();
}

/** While there are no more shares than this, unused ones stay: a Map that is emptied again and again keeps garbage alive (model/slots.ts). */
const MOST_KEPT = 256;

function createShareMap(max: number) {
  const shares = new Map<string, Share>();
  return {
    find: (key: string): Share | undefined => shares.get(key),
    all: (): Share[] => [...shares.values()],
    get(key: string): Share {
      let share = shares.get(key);
      if (share === undefined) {
        share = { key, max, held: 0, queues: new Map(), blocked: [] };
        shares.set(key, share);
      }
      return share;
    },
    forget({ key, held, queues }: Share): void {
      if (held === 0 && queues.size === 0 && shares.size > MOST_KEPT) shares.delete(key);
    },
  };
}

/**
 * Limits concurrent attempts: an app has at most its share, so that a receiver that never answers can't take the slots of others;
 * a destination has at most its connections, and the process at most POSTHORN_MAX_IN_FLIGHT.
 *
 * BULK-1  The attempts of an app never exceed the limit that it entered with, those of a destination never maxPerDestination,
 *         and those of the process never maxInFlight. What waits takes no slot of any of them.
 * BULK-2  A wait ends with `full` (the delivery is then parked) after maxWaitMs in which the app's attempts filled its share, or those of
 *         the destination its connections (WAIT-1). A wait for a slot of the process has no limit: it is the back pressure on the pull
 *         consumers.
 * BULK-3  Nothing enters while the bulkhead is suspended (NATS can't be used); waiters keep waiting. Nothing enters after `close`.
 * BULK-4  Free slots of the process go to the apps in turn.
 */
import type { Clock } from "../../model/clock.ts";
import { createShares } from "./shares.ts";
import type { Entry } from "./wait-queue.ts";

export type { Entry };

export interface Bulkhead {
  /** `entered`: a slot is taken; give it back with `leave`. `full`: the app or the destination had none within maxWaitMs. */
  enter(app: string, limit: number, destination: string): Entry | Promise<Entry>;
  /**
   * For work that can't be parked: with no limit on the wait for the destination.
   * @param limit of its app, which may change during the wait; without one when not given
   */
  enterWhenFree(app: string, destination: string, limit?: () => number): Promise<Exclude<Entry, "full">>;
  /** Takes a slot if one is free, without waiting. */
  tryEnter(app: string, limit: number, destination: string): boolean;
  leave(app: string, destination: string): void;
  isSuspended(): boolean;
  suspend(): void;
  resume(): void;
  /** Turns away waiters and newcomers. */
  close(): void;
  /** Number of suspensions so far. Another replica may have handled what waited during one. */
  suspensions(): number;
  inFlight(): number;
  waiting(): number;
  /** Those of `waiting` whose app or destination is stalled (WAIT-2). */
  stalled(): number;
  isStalled(app: string): boolean;
  waitingOf(app: string): number;
  /** @param listener called when more are stalled than before */
  onStalled(listener: () => void): void;
}

export interface BulkheadOptions {
  readonly maxInFlight: number;
  readonly maxPerDestination: number;
  readonly maxWaitMs: number;
}

export function createBulkhead(clock: Clock, { maxInFlight, maxPerDestination, maxWaitMs }: BulkheadOptions): Bulkhead {
  const stalledListeners: Array<() => void> = [];
  let inFlight = 0;
  let waiting = 0;
  let stalled = 0;
  let isSuspended = false;
  let suspensions = 0;
  let isClosed = false;
  const shares = createShares(clock, {
    maxPerDestination,
    maxWaitMs,
    onStalled(change) {
      stalled += change;
      if (change > 0) for (const listener of stalledListeners) listener();
    },
  });

  const isProcessFree = (): boolean => !isSuspended && inFlight < maxInFlight;

  const admitWaiting = (): void => {
    while (isProcessFree() && shares.enterNext());
  };

  const enter: Bulkhead["enter"] = (appKey, limit, destinationKey) => {
    if (isClosed) return "closed";
    const app = shares.app(appKey);
    const destination = shares.destination(destinationKey);
    if (isProcessFree() && shares.isFirst(app, destination) && shares.isFree(app, limit, destination)) {
      inFlight++;
      shares.take(app, destination);
      return "entered";
    }
    return new Promise((resolve) => {
      waiting++;
      shares.wait(app, limit, destination, (entry) => {
        waiting--;
        if (entry === "entered") inFlight++;
        resolve(entry);
      });
      admitWaiting();
    });
  };

  return {
    enter,

    async enterWhenFree(app, destination, limit = () => Number.POSITIVE_INFINITY) {
      for (;;) {
        const entry = await enter(app, limit(), destination);
        if (entry !== "full") return entry;
      }
    },

    tryEnter(appKey, limit, destinationKey) {
      const app = shares.app(appKey);
      const destination = shares.destination(destinationKey);
      const isEntered = !isClosed && isProcessFree() && shares.isFree(app, limit, destination);
      if (isEntered) {
        inFlight++;
        shares.take(app, destination);
      }
      shares.forget(app, destination);
      return isEntered;
    },

    leave(appKey, destinationKey) {
      const app = shares.app(appKey);
      const destination = shares.destination(destinationKey);
      inFlight--;
      shares.release(app, destination);
      admitWaiting();
      shares.forget(app, destination);
    },

    isSuspended: () => isSuspended,
    suspend() {
      isSuspended = true;
      suspensions++;
    },
    resume() {
      isSuspended = false;
      admitWaiting();
    },

    close() {
      isClosed = true;
      shares.close();
    },

    suspensions: () => suspensions,
    inFlight: () => inFlight,
    waiting: () => waiting,
    stalled: () => stalled,
    isStalled: (app) => stalled > 0 && shares.isStalled(app),
    waitingOf: shares.waitingOf,
    onStalled: (listener) => void stalledListeners.push(listener),
  };
}

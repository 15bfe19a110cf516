/**
 * Limits concurrent attempts: an app has at most its share, so that a receiver that never answers can't take the slots of others;
 * a destination has at most its connections, and the process at most POSTHORN_MAX_IN_FLIGHT.
 *
 * BULK-1  The attempts of an app never exceed the limit that it entered with, those of a destination never maxPerDestination,
 *         and those of the process never maxInFlight.
 * BULK-2  A wait for the app's share or the destination ends after maxWaitMs with `full` (the delivery is then parked). A wait
 *         for a slot of the process has no limit: it is the back pressure on the pull consumers.
 * BULK-3  Nothing enters while the bulkhead is suspended (NATS is down); waiters keep waiting. Nothing enters after `close`.
 * BULK-4  Free slots of the process go to the apps in turn.
 */
import type { Clock } from "../../model/clock.ts";
import { createKeyedSemaphore, type WaitResult } from "../../model/keyed-semaphore.ts";
import { createFairQueue } from "./fair-queue.ts";

/** `entered`: a slot is taken; give it back with `leave`. `full`: the app or the destination had none within maxWaitMs. */
export type Entry = WaitResult;

export interface Bulkhead {
  enter(app: string, limit: number, destination: string): Entry | Promise<Entry>;
  /**
   * For work that can't be parked: with no limit on the wait for the destination.
   * @param limit of its app, which may change during the wait; without one when not given
   */
  enterWhenFree(app: string, destination: string, limit?: () => number): Promise<Exclude<Entry, "full">>;
  /** Takes a slot if one is free, without waiting. */
  tryEnter(app: string, limit: number, destination: string): boolean;
  leave(app: string, destination: string): void;
  suspend(): void;
  resume(): void;
  /** Turns away waiters and newcomers. */
  close(): void;
  /** Number of suspensions so far. Another replica may have handled what waited during one. */
  suspensions(): number;
  inFlight(): number;
  waiting(): number;
}

export interface BulkheadOptions {
  readonly maxInFlight: number;
  readonly maxPerDestination: number;
  readonly maxWaitMs: number;
}

export function createBulkhead(clock: Clock, { maxInFlight, maxPerDestination, maxWaitMs }: BulkheadOptions): Bulkhead {
  const apps = createKeyedSemaphore(clock, maxWaitMs);
  const destinations = createKeyedSemaphore(clock, maxWaitMs);
  /** They have their app's share and a connection, and wait for a slot of the process. */
  const processQueue = createFairQueue<(entry: Entry) => void>();
  let inFlight = 0;
  let isSuspended = false;
  let suspensions = 0;
  let isClosed = false;

  const releaseShares = (app: string, destination: string): void => {
    destinations.release(destination);
    apps.release(app);
  };

  const enterProcess = (app: string, destination: string): Entry | Promise<Entry> => {
    if (inFlight < maxInFlight && !isSuspended) {
      inFlight++;
      return "entered";
    }
    return new Promise((resolve) => {
      processQueue.add(app, (entry) => {
        if (entry === "entered") inFlight++;
        else releaseShares(app, destination);
        resolve(entry);
      });
    });
  };

  const enterDestination = (app: string, destination: string): Entry | Promise<Entry> => {
    if (destinations.tryAcquire(destination, maxPerDestination)) return enterProcess(app, destination);
    return new Promise((resolve) => {
      destinations.wait(destination, maxPerDestination, (entry) => {
        if (entry === "entered") return resolve(enterProcess(app, destination));
        apps.release(app);
        resolve(entry);
      });
    });
  };

  const enter: Bulkhead["enter"] = (app, limit, destination) => {
    if (isClosed) return "closed";
    if (apps.tryAcquire(app, limit)) return enterDestination(app, destination);
    return new Promise((resolve) => {
      apps.wait(app, limit, (entry) => resolve(entry === "entered" ? enterDestination(app, destination) : entry));
    });
  };

  const admitWaiting = (): void => {
    while (!isSuspended && inFlight < maxInFlight) {
      const end = processQueue.take();
      if (end === undefined) return;
      end("entered");
    }
  };

  return {
    enter,

    async enterWhenFree(app, destination, limit = () => Number.POSITIVE_INFINITY) {
      for (;;) {
        const entry = await enter(app, limit(), destination);
        if (entry !== "full") return entry;
      }
    },

    tryEnter(app, limit, destination) {
      const isProcessFree = !isClosed && !isSuspended && inFlight < maxInFlight;
      const isFree = isProcessFree && apps.held(app) < limit && destinations.held(destination) < maxPerDestination;
      return isFree && enter(app, limit, destination) === "entered";
    },

    leave(app, destination) {
      inFlight--;
      admitWaiting();
      releaseShares(app, destination);
    },

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
      apps.close();
      destinations.close();
      for (const end of processQueue.clear()) end("closed");
    },

    suspensions: () => suspensions,
    inFlight: () => inFlight,
    waiting: () => apps.waiting() + destinations.waiting() + processQueue.size(),
  };
}

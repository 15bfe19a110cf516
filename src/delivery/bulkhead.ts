/**
 * Who may start an attempt now. An app holds at most its direct share, so that one that never answers can't take the
 * places of the others; the process holds at most POSTHORN_MAX_IN_FLIGHT.
 *
 * B1  inFlight of an app never exceeds the limit it entered with, and the process's never maxInFlight.
 * B2  Waiting for the app's share ends after maxWaitMs with `false` (the delivery is parked then); waiting for the
 *     process's share does not end, it is what holds back the pull loops.
 */
import type { Clock } from "../model/clock.ts";

export interface Bulkhead {
  /** True once a place is taken (give it back with `leave`); false when the app had none within maxWaitMs. */
  enter(app: string, limit: number): boolean | Promise<boolean>;
  leave(app: string): void;
  inFlight(): number;
  waiting(): number;
}

export interface BulkheadOptions {
  readonly maxInFlight: number;
  readonly maxWaitMs: number;
}

interface Waiter {
  readonly limit: number;
  readonly grant: (entered: boolean) => void;
  cancelTimer: () => void;
}

interface Share {
  inFlight: number;
  readonly queue: Waiter[];
}

export function createBulkhead(clock: Clock, { maxInFlight, maxWaitMs }: BulkheadOptions): Bulkhead {
  const shares = new Map<string, Share>();
  const processQueue: Array<() => void> = [];
  let inFlight = 0;
  let waiting = 0;

  const enterProcess = (): boolean | Promise<boolean> => {
    if (inFlight < maxInFlight) {
      inFlight++;
      return true;
    }
    waiting++;
    return new Promise((resolve) => {
      processQueue.push(() => {
        waiting--;
        inFlight++;
        resolve(true);
      });
    });
  };

  const waitForShare = (share: Share, limit: number): Promise<boolean> =>
    new Promise((resolve) => {
      waiting++;
      const waiter: Waiter = {
        limit,
        cancelTimer: () => {},
        grant: (entered) => {
          waiting--;
          waiter.cancelTimer();
          if (!entered) return resolve(false);
          share.inFlight++;
          resolve(enterProcess());
        },
      };
      share.queue.push(waiter);
      waiter.cancelTimer = clock.after(maxWaitMs, () => {
        const at = share.queue.indexOf(waiter);
        if (at === -1) return;
        share.queue.splice(at, 1);
        waiter.grant(false);
      });
    });

  return {
    enter(app, limit) {
      let share = shares.get(app);
      if (share === undefined) {
        share = { inFlight: 0, queue: [] };
        shares.set(app, share);
      }
      if (share.inFlight >= limit) return waitForShare(share, limit);
      share.inFlight++;
      return enterProcess();
    },

    leave(app) {
      inFlight--;
      processQueue.shift()?.();
      const share = shares.get(app);
      if (share === undefined) return;
      share.inFlight--;
      const [next] = share.queue;
      if (next !== undefined && share.inFlight < next.limit) {
        share.queue.shift();
        next.grant(true);
      } else if (share.inFlight === 0 && next === undefined) {
        shares.delete(app);
      }
    },

    inFlight: () => inFlight,
    waiting: () => waiting,
  };
}

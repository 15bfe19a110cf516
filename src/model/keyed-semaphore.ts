/**
 * Counting semaphores, one per key, with FIFO waiters. A key without permits and waiters takes no memory.
 *
 * SEM-1  A permit is granted only while fewer than the caller's limit are held. Callers of one key may have different limits.
 * SEM-2  A wait ends after `maxWaitMs` with `full`, and with `closed` when the semaphore is closed.
 */
import type { Clock } from "./clock.ts";

/** `entered`: a permit is held until `release`. */
export type WaitResult = "entered" | "full" | "closed";

interface Waiter {
  readonly limit: number;
  readonly dueAt: number;
  readonly end: (result: WaitResult) => void;
}

interface Permits {
  held: number;
  readonly waiters: Set<Waiter>;
  /** One timer for the oldest waiter: a timer for each costs as much as the rest of an entry. */
  isTimed: boolean;
}

export interface KeyedSemaphore {
  tryAcquire(key: string, limit: number): boolean;
  /** Calls back exactly once, within the call that ends the wait. */
  wait(key: string, limit: number, ended: (result: WaitResult) => void): void;
  release(key: string): void;
  held(key: string): number;
  waiting(): number;
  /** Ends all waits. */
  close(): void;
}

export function createKeyedSemaphore(clock: Clock, maxWaitMs: number): KeyedSemaphore {
  const all = new Map<string, Permits>();
  let waiting = 0;

  const permitsOf = (key: string): Permits => {
    let permits = all.get(key);
    if (permits === undefined) {
      permits = { held: 0, waiters: new Set(), isTimed: false };
      all.set(key, permits);
    }
    return permits;
  };

  const endOverdue = (permits: Permits): void => {
    const now = clock.now();
    permits.isTimed = false;
    for (const waiter of permits.waiters) {
      if (waiter.dueAt > now) return timeOldest(permits, waiter.dueAt - now);
      waiter.end("full");
    }
  };

  const timeOldest = (permits: Permits, restMs: number): void => {
    if (permits.isTimed) return;
    permits.isTimed = true;
    clock.after(restMs, () => endOverdue(permits));
  };

  return {
    tryAcquire(key, limit) {
      const permits = permitsOf(key);
      if (permits.held >= limit) return false;
      permits.held++;
      return true;
    },

    wait(key, limit, ended) {
      const permits = permitsOf(key);
      const waiter: Waiter = {
        limit,
        dueAt: clock.now() + maxWaitMs,
        end(result) {
          waiting--;
          permits.waiters.delete(waiter);
          if (result === "entered") permits.held++;
          ended(result);
        },
      };
      waiting++;
      permits.waiters.add(waiter);
      timeOldest(permits, maxWaitMs);
    },

    release(key) {
      const permits = permitsOf(key);
      permits.held--;
      const [next] = permits.waiters;
      if (next !== undefined && permits.held < next.limit) next.end("entered");
      else if (permits.held === 0 && next === undefined) all.delete(key);
    },

    held: (key) => all.get(key)?.held ?? 0,
    waiting: () => waiting,
    close() {
      for (const { waiters } of [...all.values()]) for (const waiter of [...waiters]) waiter.end("closed");
    },
  };
}

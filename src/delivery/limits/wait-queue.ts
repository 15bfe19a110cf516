/**
 * Those that wait to enter for one app and one destination, first come, first served.
 *
 * WAIT-1  A wait has a limit, which counts only the time in which the app or the destination is what it waits for: the queue is then
 *         blocked. Time in which the process has no free slot does not count.
 * WAIT-2  A queue that has been blocked for STALLED_MS without interruption is stalled: its receiver may not answer at all.
 */
import type { Clock } from "../../model/clock.ts";

/** `entered`: it is inside until it leaves. */
export type Entry = "entered" | "full" | "closed";

interface Waiter {
  readonly limit: number;
  /** Measured in the queue's blocked time. */
  readonly dueAt: number;
  readonly end: (entry: Entry) => void;
  next: Waiter | undefined;
}

export interface WaitQueue {
  readonly size: number;
  readonly isStalled: boolean;
  /** The limit of the first one's app. */
  limit(): number;
  add(limit: number, end: (entry: Entry) => void): void;
  /** The first one enters. */
  enterFirst(): void;
  block(): void;
  unblock(): void;
  close(): void;
}

export interface WaitQueueOptions {
  readonly maxWaitMs: number;
  /** Called when it becomes stalled or stops being so, and whenever the number of those that wait in a stalled queue changes. */
  readonly onStalled: (change: number) => void;
  /** The last one has gone without having entered. */
  readonly onEmpty: () => void;
}

/** As long as a receiver that answers quickly never takes for all of its app's slots. */
const STALLED_MS = 20;

export function createWaitQueue(clock: Clock, { maxWaitMs, onStalled, onEmpty }: WaitQueueOptions): WaitQueue {
  let first: Waiter | undefined;
  let last: Waiter | undefined;
  let size = 0;
  let isStalled = false;
  /** Blocked time until `blockedSince`. */
  let blockedMs = 0;
  /** Null: not blocked. */
  let blockedSince: number | null = null;
  /** One timer, which is left running when it is not needed: a timer for each wait costs as much as the rest of an entry. */
  let timerAt = Number.POSITIVE_INFINITY;
  let cancelTimer = (): void => {};

  const blockedTime = (): number => (blockedSince === null ? blockedMs : blockedMs + clock.now() - blockedSince);

  const setStalled = (is: boolean): void => {
    if (is === isStalled) return;
    isStalled = is;
    onStalled(is ? size : -size);
  };

  const removeFirst = (): Waiter | undefined => {
    const waiter = first;
    if (waiter === undefined) return undefined;
    first = waiter.next;
    if (first === undefined) last = undefined;
    size--;
    if (isStalled) onStalled(-1);
    return waiter;
  };

  const endOverdue = (): void => {
    timerAt = Number.POSITIVE_INFINITY;
    if (blockedSince === null || first === undefined) return;
    const now = blockedTime();
    while (first !== undefined && first.dueAt <= now) removeFirst()?.end("full");
    if (first === undefined) {
      setStalled(false);
      return onEmpty();
    }
    if (now - blockedMs >= STALLED_MS) setStalled(true);
    time();
  };

  const time = (): void => {
    if (first === undefined) return;
    const nextAt = isStalled ? first.dueAt : Math.min(first.dueAt, blockedMs + STALLED_MS);
    const restMs = Math.max(1, nextAt - blockedTime());
    const at = clock.now() + restMs;
    if (timerAt <= at) return;
    cancelTimer();
    timerAt = at;
    cancelTimer = clock.after(restMs, endOverdue);
  };

  return {
    get size() {
      return size;
    },
    get isStalled() {
      return isStalled;
    },
    limit: () => first?.limit ?? 0,
    add(limit, end) {
      const waiter: Waiter = { limit, dueAt: blockedTime() + maxWaitMs, end, next: undefined };
      if (last === undefined) first = waiter;
      else last.next = waiter;
      last = waiter;
      size++;
      if (isStalled) onStalled(1);
      if (blockedSince !== null) time();
    },
    enterFirst() {
      removeFirst()?.end("entered");
    },
    block() {
      blockedSince ??= clock.now();
      time();
    },
    unblock() {
      setStalled(false);
      blockedMs = blockedTime();
      blockedSince = null;
    },
    close() {
      setStalled(false);
      while (first !== undefined) removeFirst()?.end("closed");
    },
  };
}

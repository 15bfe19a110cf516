/**
 * Limits how much is published to a stream at once. Publishes over the limit wait unserialized, so that thousands of deliveries of one
 * event cost one event and not thousands of bodies.
 *
 * WINDOW-1  At most `maxMessages` messages and `maxBytes` bytes are admitted; a message that is larger than that is admitted alone.
 * WINDOW-2  First come, first served: `begin` is called in the order of the calls, even if a later message would fit before an earlier.
 * WINDOW-3  Within the limit there is no wait: `begin` is called before `enter` returns.
 */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";

export interface PublishWindow {
  /**
   * @param begin is admitted from its call until `leave`, which it calls itself
   * @param until when the wait ends, milliseconds since the epoch; null: never
   * @throws AppError STREAM_REFUSED (retryable) when it is not admitted in time, or before the stop; the fault of `refuseWaiting`
   */
  enter<T>(bytes: number, begin: () => Promise<T>, until: number | null): Promise<T>;
  leave(bytes: number): void;
  /** Rejects those with no deadline that have waited since this time, milliseconds since the epoch, or longer. */
  refuseWaiting(since: number, fault: AppError): void;
  /** Messages that are admitted or wait. */
  size(): number;
  /** Messages that are admitted, and that wait. */
  counts(): PublishCounts;
  /** Rejects all messages that wait, or would have to from now on. */
  stop(): void;
}

export interface PublishCounts {
  readonly pending: number;
  readonly pendingBytes: number;
  readonly waiting: number;
}

export interface PublishWindowOptions {
  /** The stream, for error texts. */
  readonly name: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

interface Waiter {
  readonly bytes: number;
  readonly begin: () => void;
  readonly refuse: (fault: AppError) => void;
  readonly since: number;
  readonly until: number | null;
  isOver: boolean;
  next: Waiter | undefined;
}

export function createPublishWindow(clock: Clock, { name, maxMessages, maxBytes }: PublishWindowOptions): PublishWindow {
  let pending = 0;
  let pendingBytes = 0;
  let waiting = 0;
  let stopped = false;
  /** A linked list: a hundred thousand may wait, and taking the first out of an array moves all others. */
  let first: Waiter | undefined;
  let last: Waiter | undefined;

  const isWithinLimit = (bytes: number): boolean => pending === 0 || (pending < maxMessages && pendingBytes + bytes <= maxBytes);

  const refusal = (why: string): AppError => new AppError("STREAM_REFUSED", `the ${name} stream ${why}`, { retryable: true });

  const start = <T>(bytes: number, begin: () => Promise<T>): Promise<T> => {
    pending++;
    pendingBytes += bytes;
    return begin();
  };

  const admit = (): void => {
    while (first !== undefined && (first.isOver || isWithinLimit(first.bytes))) {
      const waiter = first;
      first = waiter.next;
      if (!waiter.isOver) waiter.begin();
    }
  };

  const wait = <T>(bytes: number, begin: () => Promise<T>, until: number | null): Promise<T> =>
    new Promise((resolve, reject) => {
      const end = (): void => {
        waiter.isOver = true;
        waiting--;
        cancel?.();
      };
      const waiter: Waiter = {
        bytes,
        begin() {
          end();
          resolve(start(bytes, begin));
        },
        refuse(fault) {
          end();
          reject(fault);
        },
        since: clock.now(),
        until,
        isOver: false,
        next: undefined,
      };
      const cancel =
        until === null
          ? null
          : clock.after(until - clock.now(), () => {
              waiter.refuse(refusal("had too many messages to store before this one"));
              admit();
            });
      waiting++;
      if (first === undefined || last === undefined) first = waiter;
      else last.next = waiter;
      last = waiter;
    });

  return {
    enter(bytes, begin, until) {
      if (first === undefined && isWithinLimit(bytes)) return start(bytes, begin);
      if (stopped) return Promise.reject(refusal("stores no more messages before the stop"));
      return wait(bytes, begin, until);
    },
    leave(bytes) {
      pending--;
      pendingBytes -= bytes;
      admit();
    },
    refuseWaiting(since, fault) {
      for (let waiter = first; waiter !== undefined && waiter.since <= since; waiter = waiter.next)
        if (!waiter.isOver && waiter.until === null) waiter.refuse(fault);
    },
    size: () => pending + waiting,
    counts: () => ({ pending, pendingBytes, waiting }),
    stop() {
      stopped = true;
      for (let waiter = first; waiter !== undefined; waiter = waiter.next)
        if (!waiter.isOver) waiter.refuse(refusal("stores no more messages before the stop"));
      first = undefined;
    },
  };
}

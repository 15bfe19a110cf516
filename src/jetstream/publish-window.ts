/**
 * How much is being stored in a stream at once. What finds no room waits as what it will be made of, so that thousands of
 * deliveries of one event cost one event and not thousands of bodies.
 *
 * G1  At most `maxMessages` and `maxBytes` have room; one that is larger than that has it alone.
 * G2  First come, first served: `begin` is called in the order of the calls, also of one that would fit before another.
 * G3  With room there is no wait: `begin` is called before `enter` returns.
 */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";

export interface PublishWindow {
  /**
   * @param begin has the room from its call until `leave`, which it calls itself.
   * @param until when a wait for room is given up, milliseconds since the epoch; null: never.
   * @throws AppError STREAM_REFUSED (retryable): there was no room in time, or before the stop.
   */
  enter<T>(bytes: number, begin: () => Promise<T>, until: number | null): Promise<T>;
  leave(bytes: number): void;
  /** What has room, and what waits for it. */
  counts(): PublishCounts;
  /** Sends away who waits, and who would have to. */
  stop(): void;
}

export interface PublishCounts {
  readonly pending: number;
  readonly pendingBytes: number;
  readonly waiting: number;
}

export interface PublishWindowOptions {
  /** Whose it is, for messages. */
  readonly name: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
}

interface Waiter {
  readonly bytes: number;
  readonly begin: () => void;
  readonly refuse: (why: string) => void;
  isOver: boolean;
  next: Waiter | undefined;
}

export function createPublishWindow(clock: Clock, { name, maxMessages, maxBytes }: PublishWindowOptions): PublishWindow {
  let pending = 0;
  let pendingBytes = 0;
  let waiting = 0;
  let stopped = false;
  /** Linked: they can be a hundred thousand, and taking the first out of an array moves all others. */
  let first: Waiter | undefined;
  let last: Waiter | undefined;

  const hasRoom = (bytes: number): boolean => pending === 0 || (pending < maxMessages && pendingBytes + bytes <= maxBytes);

  const refusal = (why: string): AppError => new AppError("STREAM_REFUSED", `the ${name} stream ${why}`, { retryable: true });

  const start = <T>(bytes: number, begin: () => Promise<T>): Promise<T> => {
    pending++;
    pendingBytes += bytes;
    return begin();
  };

  const admit = (): void => {
    while (first !== undefined && (first.isOver || hasRoom(first.bytes))) {
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
        refuse(why) {
          end();
          reject(refusal(why));
        },
        isOver: false,
        next: undefined,
      };
      const cancel =
        until === null
          ? null
          : clock.after(until - clock.now(), () => {
              waiter.refuse("had too much to store before this, and no room for it in time");
              admit();
            });
      waiting++;
      if (first === undefined || last === undefined) first = waiter;
      else last.next = waiter;
      last = waiter;
    });

  return {
    enter(bytes, begin, until) {
      if (first === undefined && hasRoom(bytes)) return start(bytes, begin);
      if (stopped) return Promise.reject(refusal("has no room before the stop"));
      return wait(bytes, begin, until);
    },
    leave(bytes) {
      pending--;
      pendingBytes -= bytes;
      admit();
    },
    counts: () => ({ pending, pendingBytes, waiting }),
    stop() {
      stopped = true;
      for (let waiter = first; waiter !== undefined; waiter = waiter.next) if (!waiter.isOver) waiter.refuse("has no room before the stop");
      first = undefined;
    },
  };
}

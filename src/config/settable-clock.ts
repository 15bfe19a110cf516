/**
 * A clock for tests, ahead of the system's by the duration in a file (`6d`). The file is polled while it is there. Time only moves
 * forward; timers that become due fire at once, in order.
 */
import { existsSync, readFileSync } from "node:fs";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, systemClock } from "../model/clock.ts";
import { parseDuration } from "./values.ts";

const POLL_EVERY_MS = 50;

interface Timer {
  readonly dueAt: number;
  readonly task: () => void;
  disarm: () => void;
}

/** @param onSet called with the new offset. @throws AppError CONFIG_INVALID when the file holds no duration */
export function createSettableClock(file: string, onSet: (aheadMs: number) => void): Clock {
  const timers = new Set<Timer>();
  let aheadMs = 0;
  const now = (): number => systemClock.now() + aheadMs;

  const arm = (timer: Timer): void => {
    timer.disarm = systemClock.after(timer.dueAt - now(), () => {
      timers.delete(timer);
      timer.task();
    });
  };

  const set = (ms: number): void => {
    if (ms <= aheadMs) return;
    aheadMs = ms;
    for (const timer of [...timers].sort((a, b) => a.dueAt - b.dueAt)) {
      timer.disarm();
      arm(timer);
    }
    onSet(aheadMs);
  };

  const poll = (): void => {
    systemClock.after(POLL_EVERY_MS, () => {
      try {
        set(readDuration(file));
      } catch {
        // The file is being written.
      }
      // The test is over; its process may run others.
      if (existsSync(file)) poll();
    });
  };

  try {
    set(readDuration(file));
  } catch (error) {
    throw new AppError("CONFIG_INVALID", `POSTHORN_TEST_CLOCK: ${JSON.stringify(file)}: ${messageOf(error)}`, { cause: error });
  }
  poll();

  return {
    now,
    after(delayMs, task) {
      const timer: Timer = { dueAt: now() + Math.max(0, delayMs), task, disarm: () => {} };
      timers.add(timer);
      arm(timer);
      return () => {
        timers.delete(timer);
        timer.disarm();
      };
    },
  };
}

function readDuration(file: string): number {
  return parseDuration(readFileSync(file, "utf8").trim());
}

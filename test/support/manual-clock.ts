/** A clock that stands still until it is told to go on: schedules are tested without sleeping. */
import type { Clock } from "../../src/model/clock.ts";

export interface ManualClock extends Clock {
  /** Moves on, running what comes due in order; between two tasks the event loop gets its turn. */
  advance(ms: number): Promise<void>;
}

export function createManualClock(startMs = Date.UTC(2026, 0, 5, 12)): ManualClock {
  let now = startMs;
  let timers: Array<{ readonly at: number; readonly task: () => void }> = [];
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => now,
    after(delayMs, task) {
      const timer = { at: now + Math.max(0, delayMs), task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    async advance(ms) {
      const until = now + ms;
      for (;;) {
        await settle();
        const [next] = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        timers = timers.filter((other) => other !== next);
        now = Math.max(now, next.at);
        next.task();
      }
      now = until;
      await settle();
    },
  };
}

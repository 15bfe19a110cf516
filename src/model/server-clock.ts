/**
 * The NATS server's time: this process's monotonic clock plus an offset that is measured again and again. All replicas share it, so
 * that a time one of them wrote is due for the others at the same moment, and a wall clock that is set moves nothing.
 *
 * CLOCK-1  `now` advances with the monotonic clock; the offset is that of the samples of the last minute which arrived with the least
 *          delay. Before the first sample it is the wall clock's.
 */
import type { Clock } from "./clock.ts";

export interface ServerClock extends Clock {
  /** A message has arrived that the server stored at this time, a moment ago; milliseconds since the epoch. */
  sample(storedAtMs: number): void;
}

const SAMPLE_LIFE_MS = 60_000;
/** The newest sample alone may have been delayed. */
const MOST_SAMPLES = 16;

/** @param monotonicNow milliseconds */
export function createServerClock(wall: Clock, monotonicNow: () => number): ServerClock {
  let offset = wall.now() - monotonicNow();
  let samples: Array<{ readonly at: number; readonly offset: number }> = [];

  return {
    now: () => Math.round(monotonicNow() + offset),
    after: wall.after,
    sample(storedAtMs) {
      const at = monotonicNow();
      samples.push({ at, offset: storedAtMs - at });
      samples = samples.slice(-MOST_SAMPLES).filter((one) => at - one.at < SAMPLE_LIFE_MS);
      // A delay makes an offset too small, never too large.
      offset = Math.max(...samples.map((one) => one.offset));
    },
  };
}

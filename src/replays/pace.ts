/** Spreads starts evenly over time. */
import type { Clock } from "../model/clock.ts";
import { sleep } from "../model/periodic.ts";

/** Starts that are late because of a timer or a slow receiver are caught up within this time. */
const CATCH_UP_MS = 100;

/** @returns resolves when the next one may start; called by one caller at a time */
export function createPace(clock: Clock, perSecond: number): () => Promise<void> {
  let nextAt = clock.now();
  return async () => {
    nextAt = Math.max(nextAt, clock.now() - CATCH_UP_MS);
    const waitMs = nextAt - clock.now();
    nextAt += 1000 / perSecond;
    if (waitMs > 0) await sleep(clock, waitMs);
  };
}

/** Checks by key: they run one after the other, and the check of one key at most once per period. */
import type { Clock } from "../model/clock.ts";

export interface PacedChecks {
  /** Runs the check, at the end of the period if it ran within it. */
  request(key: string): void;
  /** Resolves when no check is running or queued. */
  idle(): Promise<void>;
}

/** @param check never rejects */
export function createPacedChecks(clock: Clock, periodMs: number, check: (key: string) => Promise<void>): PacedChecks {
  const queued = new Set<string>();
  /** Keys within their period → whether a check was requested meanwhile. */
  const resting = new Map<string, boolean>();
  let running: Promise<void> | undefined;

  const run = async (): Promise<void> => {
    for (const key of queued) {
      queued.delete(key);
      resting.set(key, false);
      clock.after(periodMs, () => {
        const isRequested = resting.get(key) === true;
        resting.delete(key);
        if (isRequested) request(key);
      });
      await check(key);
    }
    running = undefined;
  };

  const request = (key: string): void => {
    if (resting.has(key)) {
      resting.set(key, true);
      return;
    }
    queued.add(key);
    running ??= run();
  };

  return {
    request,
    async idle() {
      while (running !== undefined) await running;
    },
  };
}

/** Waiting on the injected clock: once (`sleep`), and between the runs of a task (`every`). */
import type { Clock } from "./clock.ts";
import { untilSharedTick } from "./shared-tick.ts";

/** Does not keep the process alive by itself. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.after(ms, resolve));
}

export interface PeriodicTask {
  /** Runs the task now, then again and again. Resolves when the first run has ended. */
  start(): Promise<void>;
  /** Runs the task for the first time after one period. */
  startLater(): void;
  /** No further run begins. A run that is under way ends by itself. */
  stop(): void;
}

/**
 * Repeats a task. Runs never overlap: the next one begins `everyMs` after the last one ended, or at the nearest shared tick.
 * @param everyMs a function is asked after each run
 * @param onError gets what a run throws; the task is repeated nevertheless
 */
export function every(
  clock: Clock,
  everyMs: number | (() => number),
  task: () => unknown,
  onError: (error: unknown) => void = (error) => {
    throw error;
  },
): PeriodicTask {
  let isStopped = false;
  let cancel = (): void => {};

  const arm = (): void => {
    if (isStopped) return;
    const periodMs = typeof everyMs === "number" ? everyMs : everyMs();
    cancel = clock.after(untilSharedTick(clock.now(), periodMs), () => void run());
  };

  const run = async (): Promise<void> => {
    try {
      await task();
    } catch (error) {
      onError(error);
    }
    arm();
  };

  return {
    start: run,
    startLater: arm,
    stop() {
      isStopped = true;
      cancel();
    },
  };
}

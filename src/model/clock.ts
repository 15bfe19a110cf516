/** Time and chance. They are injected everywhere, so that schedules are tested without sleeping. */

/** Wall clock in milliseconds since the Unix epoch, and timers that follow it. */
export interface Clock {
  now(): number;
  /** Runs `task` once after `delayMs`; the returned function cancels it. Does not keep the process alive by itself. */
  after(delayMs: number, task: () => void): () => void;
}

/** A number in [0, 1). */
export type Random = () => number;

/** setTimeout overflows and fires at once beyond this; longer waits are split. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  after(delayMs, task) {
    let timer: NodeJS.Timeout;
    const arm = (restMs: number): void => {
      timer =
        restMs > LONGEST_TIMER_MS
          ? setTimeout(() => arm(restMs - LONGEST_TIMER_MS), LONGEST_TIMER_MS)
          : setTimeout(task, Math.max(0, restMs));
      timer.unref();
    };
    arm(delayMs);
    return () => clearTimeout(timer);
  },
};

let lastMs = Number.NaN;
let lastText = "";

/** RFC 3339 UTC with milliseconds, the only form in which times leave the process. The last result is cached. */
export function toRfc3339(epochMs: number): string {
  if (epochMs !== lastMs) {
    lastText = new Date(epochMs).toISOString();
    lastMs = epochMs;
  }
  return lastText;
}

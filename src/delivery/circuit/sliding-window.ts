/**
 * Attempts and failures of a sliding window, in a ring of buckets: constant memory and time per attempt. The current bucket is partial
 * and comes in addition to a whole window, so that counted attempts are at most one bucket older than the window.
 */

export interface WindowCounts {
  readonly attempts: number;
  readonly failures: number;
}

export interface FailureWindow {
  add(nowMs: number, failed: boolean): void;
  counts(nowMs: number): WindowCounts;
  clear(): void;
}

const BUCKETS_IN_WINDOW = 24;
const BUCKETS = BUCKETS_IN_WINDOW + 1;

export function createFailureWindow(windowMs: number): FailureWindow {
  const bucketMs = windowMs / BUCKETS_IN_WINDOW;
  const attempts = new Uint32Array(BUCKETS);
  const failures = new Uint32Array(BUCKETS);
  let newest = 0;

  /** Empties the buckets that have expired and returns the current one's index. */
  const advance = (nowMs: number): number => {
    const bucket = Math.floor(nowMs / bucketMs);
    for (let stale = Math.max(newest + 1, bucket - BUCKETS + 1); stale <= bucket; stale++) {
      attempts[stale % BUCKETS] = 0;
      failures[stale % BUCKETS] = 0;
    }
    newest = Math.max(newest, bucket);
    return newest % BUCKETS;
  };

  return {
    add(nowMs, failed) {
      const at = advance(nowMs);
      attempts[at] = (attempts[at] ?? 0) + 1;
      if (failed) failures[at] = (failures[at] ?? 0) + 1;
    },
    counts(nowMs) {
      advance(nowMs);
      return { attempts: sum(attempts), failures: sum(failures) };
    },
    clear() {
      attempts.fill(0);
      failures.fill(0);
    },
  };
}

function sum(values: Uint32Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Calls per minute and key: a token bucket that holds the calls of one minute. */

export interface RateLimit {
  /** Takes one call from the key's bucket. @returns 0, or the seconds until the next call is possible */
  take(key: string): number;
}

interface Bucket {
  calls: number;
  filledAt: number;
}

const MINUTE_MS = 60_000;
/** Beyond this the oldest bucket is dropped, because a caller can have any number of addresses. */
const MAX_BUCKETS = 10_000;

export function createRateLimit(callsPerMinute: number, now: () => number): RateLimit {
  const buckets = new Map<string, Bucket>();
  const callsPerMs = callsPerMinute / MINUTE_MS;

  const bucketOf = (key: string): Bucket => {
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      const [first] = buckets.keys();
      if (buckets.size >= MAX_BUCKETS && first !== undefined) buckets.delete(first);
      bucket = { calls: callsPerMinute, filledAt: now() };
      buckets.set(key, bucket);
    }
    return bucket;
  };

  return {
    take(key) {
      const bucket = bucketOf(key);
      const time = now();
      bucket.calls = Math.min(callsPerMinute, bucket.calls + Math.max(0, time - bucket.filledAt) * callsPerMs);
      bucket.filledAt = time;
      if (bucket.calls < 1) return Math.ceil((1 - bucket.calls) / callsPerMs / 1000);
      bucket.calls--;
      return 0;
    },
  };
}

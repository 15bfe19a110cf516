/** So many calls a minute: per key a bucket that holds a minute's worth and fills at that rate. */

export interface RateLimit {
  /** Takes one call out of the key's bucket. @returns 0, or after how many seconds the next one can be taken. */
  take(key: string): number;
}

interface Bucket {
  calls: number;
  filledAt: number;
}

const MINUTE_MS = 60_000;
/** Addresses can be had in any number: beyond this the bucket that was made first is forgotten. */
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

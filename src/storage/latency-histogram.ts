/**
 * Attempt durations in counters: two buckets for each doubling, so that percentiles are accurate within a factor of √2, and 35
 * buckets cover 1 ms to the longest deadline (120 s).
 */
import type { Latency } from "../model/stats.ts";

/** The last bucket also counts everything longer. */
export const LAST_BUCKET = 34;

/** Bucket 0 is up to 1 ms, bucket n from 2^((n-1)/2) to 2^(n/2) ms. */
export function bucketOf(durationMs: number): number {
  return durationMs <= 1 ? 0 : Math.min(LAST_BUCKET, Math.ceil(2 * Math.log2(durationMs)));
}

/** Bucket → attempts. */
export type LatencyCounts = ReadonlyMap<number, number>;

export function latencyOf(counts: LatencyCounts): Latency {
  const buckets = [...counts].sort(([a], [b]) => a - b);
  const count = buckets.reduce((sum, [, attempts]) => sum + attempts, 0);
  const at = (share: number): number | null => (count === 0 ? null : durationOf(buckets, Math.max(1, Math.ceil(share * count))));
  return { count, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/** Estimates the duration at that rank, assuming an even spread within a bucket on the logarithmic scale. */
function durationOf(buckets: ReadonlyArray<readonly [number, number]>, rank: number): number {
  let below = 0;
  for (const [bucket, attempts] of buckets) {
    if (below + attempts >= rank) {
      const share = (rank - below - 0.5) / attempts;
      return rounded(bucket === 0 ? share : 2 ** ((bucket - 1 + share) / 2));
    }
    below += attempts;
  }
  return rounded(2 ** ((buckets.at(-1)?.[0] ?? 0) / 2));
}

function rounded(ms: number): number {
  return ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms);
}

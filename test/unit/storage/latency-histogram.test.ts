import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bucketOf, latencyOf } from "../../../src/storage/latency-histogram.ts";

function countsOf(durations: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const ms of durations) counts.set(bucketOf(ms), (counts.get(bucketOf(ms)) ?? 0) + 1);
  return counts;
}

describe("a bucket", () => {
  test.each([
    [0, 0],
    [1, 0],
    [1.1, 1],
    [2, 2],
    [2.1, 3],
    [100, 14],
    [1_000, 20],
    [120_000, 34],
    [10_000_000, 34],
  ])("of %d ms is number %d", (ms, bucket) => {
    expect(bucketOf(ms)).toBe(bucket);
  });

  test("is never lower for a longer time", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 200_000, noNaN: true }), fc.double({ min: 0, max: 200_000, noNaN: true }), (a, b) => {
        expect(bucketOf(Math.max(a, b))).toBeGreaterThanOrEqual(bucketOf(Math.min(a, b)));
      }),
    );
  });
});

describe("percentiles", () => {
  test("of nothing are not known", () => {
    expect(latencyOf(new Map())).toEqual({ count: 0, p50: null, p95: null, p99: null });
  });

  test("are within a factor of √2, or a millisecond, of what was measured", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 1, max: 120_000, noNaN: true }), { minLength: 1, maxLength: 300 }), (durations) => {
        const sorted = [...durations].sort((a, b) => a - b);
        const exact = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
        const { count, p50, p95, p99 } = latencyOf(countsOf(durations));
        expect(count).toBe(durations.length);
        for (const [estimate, share] of [[p50, 0.5] as const, [p95, 0.95] as const, [p99, 0.99] as const]) {
          // One hundredth more for the rounding.
          expect(estimate ?? 0).toBeLessThanOrEqual(exact(share) * Math.SQRT2 * 1.01 + 0.1);
          expect(estimate ?? 0).toBeGreaterThanOrEqual(exact(share) / Math.SQRT2 / 1.01 - 1);
        }
      }),
    );
  });

  test("come in the order of their shares, whatever the order of the counters", () => {
    const counts = new Map([
      [20, 5],
      [4, 90],
      [30, 5],
    ]);
    const { p50, p95, p99 } = latencyOf(counts);
    expect([p50, p95, p99]).toEqual([expect.closeTo(3.4, 0), 989, expect.any(Number)]);
    expect(p99).toBeGreaterThan(p95 ?? 0);
  });
});

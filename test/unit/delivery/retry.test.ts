import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DELAY_TIERS_S, firstTier, nextStep } from "../../../src/delivery/delay-tiers.ts";
import type { RetryDelay } from "../../../src/delivery/ports.ts";
import { parseRetryAfter } from "../../../src/delivery/retry-after.ts";
import { nextRetry } from "../../../src/delivery/retry-policy.ts";

const now = Date.UTC(2026, 0, 5, 12);
const hourMs = 3_600_000;

describe("the retry policy", () => {
  test("stays within ±20 % of the schedule", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 * hourMs }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (scheduleMs, chance) => {
          const delay = nextRetry({ attempt: 1, scheduleMs: [scheduleMs], retryAfterMs: null, nowMs: now }, () => chance);
          expect(delay?.delayMs).toBeGreaterThanOrEqual(Math.floor(scheduleMs * 0.8));
          expect(delay?.delayMs).toBeLessThanOrEqual(Math.ceil(scheduleMs * 1.2));
          expect(delay?.dueAt).toBe(now + (delay?.delayMs ?? 0));
          expect(delay?.notBefore).toBe(false);
        },
      ),
    );
  });

  test("goes through the schedule and then gives up", () => {
    const delays = [1, 2, 3, 4].map(
      (attempt) => nextRetry({ attempt, scheduleMs: [1_000, 2_000, 3_000], retryAfterMs: null, nowMs: now }, () => 0.5)?.delayMs ?? null,
    );
    expect(delays).toEqual([1_000, 2_000, 3_000, null]);
  });

  test("an empty schedule means one attempt", () => {
    expect(nextRetry({ attempt: 1, scheduleMs: [], retryAfterMs: 5_000, nowMs: now }, () => 0.5)).toBeNull();
  });

  test("a longer Retry-After is a floor, a shorter one changes nothing", () => {
    const retry = (retryAfterMs: number) => nextRetry({ attempt: 1, scheduleMs: [10_000], retryAfterMs, nowMs: now }, () => 0.5);
    expect(retry(60_000)).toEqual({ dueAt: now + 60_000, delayMs: 60_000, notBefore: true });
    expect(retry(3_000)).toEqual({ dueAt: now + 10_000, delayMs: 10_000, notBefore: false });
    expect(retry(9_500)).toEqual({ dueAt: now + 10_000, delayMs: 10_000, notBefore: true });
  });
});

describe("Retry-After", () => {
  test.each<[string | undefined, number | null]>([
    ["0", 0],
    ["120", 120_000],
    [" 7 ", 7_000],
    ["86400", 24 * hourMs],
    ["86401", 24 * hourMs],
    ["99999999999999999999", 24 * hourMs],
    ["Mon, 05 Jan 2026 12:00:30 GMT", 30_000],
    ["Monday, 05-Jan-26 12:00:30 GMT", 30_000],
    ["Mon Jan  5 12:00:30 2026", 30_000],
    ["Mon, 05 Jan 2026 11:00:00 GMT", 0],
    ["Fri, 05 Jan 2029 12:00:00 GMT", 24 * hourMs],
    ["-1", null],
    ["1.5", null],
    ["soon", null],
    ["", null],
    [undefined, null],
    ["Mon, nonsense", null],
    ["2026-01-05T12:00:30Z", null],
  ])("%j", (value, wanted) => {
    expect(parseRetryAfter(value, now)).toBe(wanted);
  });
});

describe("tiers", () => {
  test("are the powers of two from 1 s to 2^15 s", () => {
    expect(DELAY_TIERS_S).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]);
  });

  /** Walks a delay down as the stream does: each tier takes its time and a little more. */
  function walk(delayMs: number, notBefore: boolean, lateMs: number): { attemptedAt: number; writes: number } {
    return walkDown({ dueAt: now + delayMs, delayMs, notBefore }, lateMs);
  }

  function walkDown(delay: RetryDelay, lateMs: number): { attemptedAt: number; writes: number } {
    let at = now;
    let tierS = firstTier(delay, at);
    for (let writes = 1; ; writes++) {
      at += tierS * 1000 + lateMs;
      const step = nextStep(delay, at);
      if (step.kind === "attempt") return { attemptedAt: at, writes };
      if (step.kind === "wait") return { attemptedAt: at + step.restMs, writes };
      ({ tierS } = step);
    }
  }

  test("any delay of a second or more ends within 10 % of its due time, or a second", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 48 * hourMs }), fc.integer({ min: 0, max: 40 }), (delayMs, lateMs) => {
        const { attemptedAt, writes } = walk(delayMs, false, lateMs);
        expect(Math.abs(attemptedAt - (now + delayMs))).toBeLessThanOrEqual(Math.max(delayMs * 0.1, 1_000) + lateMs * writes);
        expect(writes).toBeLessThanOrEqual(8);
      }),
      { numRuns: 1_000 },
    );
  });

  test("a floor is never early, and not late by more than a tier of its last tenth", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1_000, max: 24 * hourMs }), (delayMs) => {
        const { attemptedAt } = walk(delayMs, true, 0);
        expect(attemptedAt).toBeGreaterThanOrEqual(now + delayMs);
        expect(attemptedAt - (now + delayMs)).toBeLessThanOrEqual(Math.max(delayMs * 0.2, 1_000));
      }),
      { numRuns: 1_000 },
    );
  });

  test("an attempt is never made before its Retry-After, wherever in the schedule that falls", () => {
    const cases = fc.record({
      scheduleMs: fc.integer({ min: 100, max: 24 * hourMs }),
      // Of the schedule's delay: mostly about as long as it.
      share: fc.oneof(fc.double({ min: 0.7, max: 1.3, noNaN: true }), fc.double({ min: 0, max: 10, noNaN: true })),
      chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      lateMs: fc.integer({ min: 0, max: 40 }),
    });
    fc.assert(
      fc.property(cases, ({ scheduleMs, share, chance, lateMs }) => {
        const retryAfterMs = Math.round(scheduleMs * share);
        const delay = nextRetry({ attempt: 1, scheduleMs: [scheduleMs], retryAfterMs, nowMs: now }, () => chance);
        if (delay === null) throw new Error("the schedule is over");
        expect(walkDown(delay, lateMs).attemptedAt).toBeGreaterThanOrEqual(now + retryAfterMs);
      }),
      { numRuns: 2_000 },
    );
  });

  test("a delay that is over is attempted", () => {
    expect(nextStep({ dueAt: now - 1, delayMs: 5_000, notBefore: true }, now)).toEqual({ kind: "attempt" });
  });

  test("the default schedule costs two writes a retry on average, at most five", () => {
    const schedule = [5_000, 30_000, 300_000, 1_800_000, 2 * hourMs, 5 * hourMs, 10 * hourMs, 10 * hourMs];
    const writes = schedule.map((delayMs) => walk(delayMs, false, 1).writes);
    expect(Math.max(...writes)).toBeLessThanOrEqual(5);
  });
});

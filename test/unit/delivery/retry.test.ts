import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DELAY_TIERS_S, firstTier, nextStep } from "../../../src/delivery/delay-tiers.ts";
import type { RetryDelay } from "../../../src/delivery/ports.ts";
import { parseRetryAfter } from "../../../src/delivery/retry-after.ts";
import { isSpared, nextRetry, OWN_FAULT_SCHEDULE_MS } from "../../../src/delivery/retry-policy.ts";
import { NOTHING_SPENT } from "../../../src/model/delivery.ts";
import type { RetryKind } from "../../../src/model/outcome.ts";
import { aDelivery } from "../../support/builders.ts";

const now = Date.UTC(2026, 0, 5, 12);
const hourMs = 3_600_000;

/** Of a first failure with a schedule of one delay. */
const retryOf = (scheduleMs: number, retryAfterMs: number | null = null, chance = 0.5) =>
  nextRetry({ ...FIRST_FAILURE, scheduleMs: [scheduleMs], retryAfterMs }, () => chance)?.delay ?? null;

const FIRST_FAILURE = { because: "failure", spent: NOTHING_SPENT, isSpared: false, retryAfterMs: null, nowMs: now } as const;

/** The delays after answers of these kinds, one after the other, until there is none. */
function delaysAfter(kinds: Iterable<RetryKind>, schedules: Record<RetryKind, readonly number[]>): Array<number | null> {
  let spent = NOTHING_SPENT;
  const delays: Array<number | null> = [];
  for (const because of kinds) {
    const retry = nextRetry({ ...FIRST_FAILURE, because, spent, scheduleMs: schedules[because] }, () => 0.5);
    delays.push(retry?.delay.delayMs ?? null);
    if (retry === null) break;
    spent = retry.spent;
  }
  return delays;
}

describe("the retry policy", () => {
  test("stays within ±20 % of the schedule", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 * hourMs }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (scheduleMs, chance) => {
          const delay = retryOf(scheduleMs, null, chance);
          expect(delay?.delayMs).toBeGreaterThanOrEqual(Math.floor(scheduleMs * 0.8));
          expect(delay?.delayMs).toBeLessThanOrEqual(Math.ceil(scheduleMs * 1.2));
          expect(delay?.dueAt).toBe(now + (delay?.delayMs ?? 0));
          expect(delay?.notBefore).toBe(false);
        },
      ),
    );
  });

  const SCHEDULES = { failure: [1_000, 2_000, 3_000], refusal: [30_000, 300_000], own_fault: OWN_FAULT_SCHEDULE_MS };

  test.each<[RetryKind[], Array<number | null>]>([
    [
      ["failure", "failure", "failure", "failure"],
      [1_000, 2_000, 3_000, null],
    ],
    [
      ["refusal", "refusal", "refusal"],
      [30_000, 300_000, null],
    ],
    [
      ["failure", "refusal", "own_fault", "failure", "refusal", "own_fault", "failure", "refusal"],
      [1_000, 30_000, 5_000, 2_000, 300_000, 10_000, 3_000, null],
    ],
  ])("goes through the schedule of each kind of answer and then gives up: %j", (kinds, delays) => {
    expect(delaysAfter(kinds, SCHEDULES)).toEqual(delays);
  });

  test("never continues for ever, whatever a delivery sees", () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.constantFrom<RetryKind>("failure", "refusal", "own_fault")), (kinds) => {
        const most = Object.values(SCHEDULES).reduce((sum, { length }) => sum + length, 1);
        expect(delaysAfter(kinds, SCHEDULES).length).toBeLessThanOrEqual(most);
      }),
    );
  });

  test("after its own faults it continues for a day, at least every half hour", () => {
    expect(OWN_FAULT_SCHEDULE_MS.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
    expect(Math.max(...OWN_FAULT_SCHEDULE_MS)).toBe(0.5 * hourMs);
    const totalMs = OWN_FAULT_SCHEDULE_MS.reduce((sum, delayMs) => sum + delayMs);
    expect(totalMs / hourMs).toBeGreaterThan(22);
    expect(totalMs / hourMs).toBeLessThan(26);
  });

  test("an empty schedule means one attempt", () => {
    expect(nextRetry({ ...FIRST_FAILURE, scheduleMs: [], retryAfterMs: 5_000 }, () => 0.5)).toBeNull();
  });

  test("a refusal during an open circuit uses up nothing, even when the schedule is over or empty", () => {
    const spared = (spent: number, scheduleMs: number[]) => {
      const before = { ...NOTHING_SPENT, refusal: spent };
      const retry = nextRetry({ ...FIRST_FAILURE, because: "refusal", spent: before, scheduleMs, isSpared: true }, () => 0.5);
      expect(retry?.spent).toEqual(before);
      return retry?.delay.delayMs;
    };
    expect([spared(0, [1_000, 2_000]), spared(1, [1_000, 2_000]), spared(2, [1_000, 2_000]), spared(9, [1_000])]).toEqual([
      1_000, 1_000, 1_000, 1_000,
    ]);
    expect(spared(0, [])).toBe(30_000);
  });

  test("a refusal is spared for as long as the circuit is open, and 20 times while it is opening", () => {
    const sparedAfter = (attemptsMade: number, circuit: "open" | "opening" | "closed") =>
      isSpared(aDelivery({ attemptsMade, spent: { failure: 1, refusal: 2, own_fault: 3 } }), circuit);
    expect([sparedAfter(7, "open"), sparedAfter(1_000, "open")]).toEqual([true, true]);
    expect([sparedAfter(7, "opening"), sparedAfter(26, "opening"), sparedAfter(27, "opening")]).toEqual([true, true, false]);
    expect(sparedAfter(7, "closed")).toBe(false);
  });

  test("a longer Retry-After is a floor, a shorter one changes nothing", () => {
    expect(retryOf(10_000, 60_000)).toEqual({ dueAt: now + 60_000, delayMs: 60_000, notBefore: true });
    expect(retryOf(10_000, 3_000)).toEqual({ dueAt: now + 10_000, delayMs: 10_000, notBefore: false });
    expect(retryOf(10_000, 9_500)).toEqual({ dueAt: now + 10_000, delayMs: 10_000, notBefore: true });
  });
});

describe("Retry-After", () => {
  test.each<[string | readonly string[] | undefined, number | null]>([
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
    // Rounded up, so that no attempt is early.
    ["1.5", 2_000],
    ["0.001", 1_000],
    [".5", 1_000],
    ["3.", 3_000],
    ["+7", 7_000],
    ["-1", 0],
    ["-1.5", 0],
    ["1e3", null],
    ["0x10", null],
    ["7s", null],
    ["1,5", null],
    ["1.5.2", null],
    ["7, 8", null],
    [".", null],
    ["-", null],
    ["soon", null],
    ["", null],
    [undefined, null],
    ["Mon, nonsense", null],
    ["2026-01-05T12:00:30Z", null],
    [["3", "20"], 20_000],
    [["Mon, 05 Jan 2026 12:00:30 GMT", "3", "soon"], 30_000],
    [["soon", "7"], 7_000],
    [["soon", ""], null],
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
        const delay = retryOf(scheduleMs, retryAfterMs, chance);
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

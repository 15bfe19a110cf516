import { describe, expect, test } from "vitest";
import { type HealthRuleOptions, judgeHealth, lastDays, utcDay } from "../../../src/status/health-rule.ts";
import type { HealthDay } from "../../../src/status/ports.ts";

const options: HealthRuleOptions = { rules: new Set(["fatal", "failing_days", "timeouts"]), timeouts: 1000 };

/** One word a day: `e3 t2 s1 f1` are counts, `-` is a day without attempts. */
function days(...words: string[]): HealthDay[] {
  return words.map((word, at) => {
    const count = (letter: string): number => Number(new RegExp(`${letter}(\\d+)`).exec(word)?.[1] ?? 0);
    return { day: `2026-01-0${at + 1}`, success: count("s"), error: count("e"), timeout: count("t"), fatal: count("f") };
  });
}

const judge = (...words: string[]): string => judgeHealth(days(...words), options)?.rule ?? "fine";

describe("seven failing days", () => {
  test.each<[string, string[], string]>([
    ["errors on each of 7 days", ["e1", "e1", "e1", "e1", "e1", "e1", "e1"], "failing_days"],
    ["timeouts on each of 7 days", ["t1", "t1", "t1", "t1", "t1", "t1", "t1"], "failing_days"],
    ["errors and timeouts mixed", ["e1", "t1", "e9 t9", "t1", "e1", "t1", "e1"], "failing_days"],
    ["6 days, and a first one without attempts", ["-", "e1", "e1", "e1", "e1", "e1", "e1"], "fine"],
    ["a gap day", ["e1", "e1", "e1", "-", "e1", "e1", "e1"], "fine"],
    ["no attempt yet today", ["e1", "e1", "e1", "e1", "e1", "e1", "-"], "fine"],
    ["one success in between", ["e1", "e1", "e50 s1", "e1", "e1", "e1", "e1"], "fine"],
    ["a success today", ["e1", "e1", "e1", "e1", "e1", "e1", "e50 s1"], "fine"],
    ["only successes", ["s1", "s1", "s1", "s1", "s1", "s1", "s1"], "fine"],
    ["nothing at all", ["-", "-", "-", "-", "-", "-", "-"], "fine"],
  ])("%s", (_what, words, wanted) => {
    expect(judge(...words)).toBe(wanted);
  });
});

describe("fatal", () => {
  test.each<[string, string[], string]>([
    ["today", ["s9", "s9", "s9", "s9", "s9", "s9", "s9 f1"], "fatal"],
    ["on the first day of the window", ["f1", "s9", "s9", "s9", "s9", "s9", "s9"], "fatal"],
    ["none", ["s9", "s9", "s9", "s9", "s9", "s9", "s9"], "fine"],
  ])("%s", (_what, words, wanted) => {
    expect(judge(...words)).toBe(wanted);
  });
});

describe("timeouts in one day", () => {
  test.each<[string, string[], string]>([
    ["at the threshold, without successes", ["-", "t1000"], "timeouts"],
    ["one below the threshold", ["s1 t999"], "fine"],
    ["at the threshold, with as many successes", ["s1000 t1000"], "timeouts"],
    ["with one more success than timeouts", ["s1001 t1000"], "fine"],
    ["spread over two days", ["s1 t500", "s1 t500"], "fine"],
    ["on an earlier day of the window", ["t1000", "s9", "s9"], "timeouts"],
  ])("%s", (_what, words, wanted) => {
    expect(judge(...words)).toBe(wanted);
  });
});

test("each part can be switched off", () => {
  const failing = days("e1 f1 t2000", "e1");
  expect(judgeHealth(failing, { ...options, rules: new Set(["failing_days"]) })?.rule).toBe("failing_days");
  expect(judgeHealth(failing, { ...options, rules: new Set(["timeouts"]) })?.rule).toBe("timeouts");
  expect(judgeHealth(failing, { ...options, rules: new Set(["none"]) })).toBeNull();
});

test("the reason says what was looked at", () => {
  expect(judgeHealth(days("e1 t2", "e3 f1"), options)).toEqual({
    rule: "fatal",
    windowDays: 2,
    days: ["2026-01-01", "2026-01-02"],
    success: 0,
    error: 4,
    timeout: 2,
    fatal: 1,
  });
});

test("days are UTC days, and midnight begins the next one", () => {
  const midnight = Date.UTC(2026, 2, 1);
  expect([utcDay(midnight - 1), utcDay(midnight)]).toEqual(["2026-02-28", "2026-03-01"]);
  expect(lastDays(midnight, 3)).toEqual(["2026-02-27", "2026-02-28", "2026-03-01"]);
  expect(lastDays(midnight - 1, 3)).toEqual(["2026-02-26", "2026-02-27", "2026-02-28"]);
});

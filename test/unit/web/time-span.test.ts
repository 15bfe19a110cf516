import { expect, test, vi } from "vitest";
import { replaceTimes } from "../../../src/model/rfc3339.ts";
import { minute, shownAt, timeWithZone } from "../../../src/web/format.ts";
import { addressTimeOf, instantOf, localTimeOf, spanOf } from "../../../src/web/time-span.ts";
import { zone } from "../../../src/web/zone.ts";

test("both minutes of a span are in it as a whole, and a single one is enough", () => {
  expect(spanOf("2026-01-05T10:11Z", "2026-01-05T10:11Z")).toEqual({
    start: "2026-01-05T10:11:00.000Z",
    end: "2026-01-05T10:12:00.000Z",
    problem: null,
  });
});

test("a span may be open at either side", () => {
  expect(spanOf("", "2026-01-05T10:11Z")).toEqual({ start: null, end: "2026-01-05T10:12:00.000Z", problem: null });
  expect(spanOf("2026-01-05T12:11+02:00", "")).toEqual({ start: "2026-01-05T10:11:00.000Z", end: null, problem: null });
  expect(spanOf("", "")).toEqual({ start: null, end: null, problem: null });
});

test.each([
  ["2026-01-05T10:12Z", "2026-01-05T10:11Z", "“From” is later than “to”."],
  ["then", "", "From: found “then”, wanted a time such as 2026-01-05T10:11Z."],
  ["", "2026-99-99", "To: found “2026-99-99”, wanted a time such as 2026-01-05T10:11Z."],
])("from %j to %j is a problem that is shown", (from, to, problem) => {
  expect(spanOf(from, to).problem).toBe(problem);
});

test("what a field says comes back from the address as it was, wherever it is read", () => {
  for (const local of ["2026-01-05T10:11", "2026-07-31T23:59", "2000-02-29T00:00"])
    expect(localTimeOf(addressTimeOf(local) ?? "")).toBe(local);
  expect([addressTimeOf(""), localTimeOf(""), localTimeOf("then")]).toEqual([null, "", ""]);
});

test("a page in UTC takes and shows times in UTC", ({ onTestFinished }) => {
  onTestFinished(() => void vi.unstubAllGlobals());
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
  });
  zone.set(true);
  expect([addressTimeOf("2026-07-31T23:59"), localTimeOf("2026-07-31T23:59+02:00"), instantOf("2026-07-31T23:59")]).toEqual([
    "2026-07-31T23:59Z",
    "2026-07-31T21:59",
    "2026-07-31T23:59:00.000Z",
  ]);
  expect(minute(Date.UTC(2026, 0, 5, 10, 11), Date.UTC(2026, 0, 5))).toBe("10:11 UTC");
  expect([zone.name(), kept.size]).toEqual(["UTC", 1]);
  zone.set(false);
  expect([zone.isUtc(), kept.size]).toEqual([false, 0]);
});

test("timestamps in the API's texts are shown as the page shows times", () => {
  const now = Date.UTC(2026, 0, 5);
  expect(replaceTimes("attempt 2 is due at 2026-01-05T10:11:17.345Z, not 2026-01-05", shownAt(now).time)).toBe(
    `attempt 2 is due at ${timeWithZone(Date.UTC(2026, 0, 5, 10, 11, 17), now)}, not 2026-01-05`,
  );
});

import { expect, test } from "vitest";
import { addressTimeOf, localTimeOf, spanOf } from "../../../src/web/time-span.ts";

test("both minutes of a span are in it as a whole, and a single one is enough", () => {
  expect(spanOf("2026-01-05T10:11Z", "2026-01-05T10:11Z")).toEqual({
    start: "2026-01-05T10:11:00.000Z",
    end: "2026-01-05T10:11:59.999Z",
    problem: null,
  });
});

test("a span may be open at either side", () => {
  expect(spanOf("", "2026-01-05T10:11Z")).toEqual({ start: null, end: "2026-01-05T10:11:59.999Z", problem: null });
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

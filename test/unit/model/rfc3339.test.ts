import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toRfc3339 } from "../../../src/model/clock.ts";
import { parseRfc3339, parseRfc3339OrDate } from "../../../src/model/rfc3339.ts";

const utc = (text: string): string | null => {
  const read = parseRfc3339(text);
  return read.ok ? toRfc3339(read.epochMs) : null;
};
const problem = (text: string): string => {
  const read = parseRfc3339(text);
  return read.ok ? "was read" : read.problem;
};

test.each<[string, string]>([
  ["2026-01-05T10:11:12Z", "2026-01-05T10:11:12.000Z"],
  ["2026-01-05t10:11:12z", "2026-01-05T10:11:12.000Z"],
  ["2026-01-05 10:11:12.3Z", "2026-01-05T10:11:12.300Z"],
  ["2026-01-05T10:11:12.123456789Z", "2026-01-05T10:11:12.123Z"],
  ["2026-01-05T10:11:12+01:00", "2026-01-05T09:11:12.000Z"],
  ["2026-01-05T10:11:12-05:30", "2026-01-05T15:41:12.000Z"],
  ["2026-01-05T10:11:12-00:00", "2026-01-05T10:11:12.000Z"],
  ["2024-02-29T23:59:59Z", "2024-02-29T23:59:59.000Z"],
  ["2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"],
  ["0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"],
  ["0099-01-01T00:00:00Z", "0099-01-01T00:00:00.000Z"],
  ["2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"],
  ["2016-12-31T23:59:60.9Z", "2017-01-01T00:00:00.000Z"],
  ["1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z"],
])("%s is %s", (text, wanted) => {
  expect(utc(text)).toBe(wanted);
});

describe("what is refused says why", () => {
  test.each<[string, RegExp]>([
    ["2026-01-05T10:11:12", /^without a time zone, wanted an RFC 3339 time with Z or an offset/],
    ["2026-01-05 10:11", /^without a time zone/],
    ["2026-02-30T00:00:00Z", /^not a day of the calendar/],
    ["2025-02-29T00:00:00Z", /^not a day of the calendar/],
    ["1900-02-29T00:00:00Z", /^not a day of the calendar/],
    ["2026-04-31T00:00:00Z", /^not a day of the calendar/],
    ["2026-01-00T00:00:00Z", /^not a day of the calendar/],
    ["2026-13-01T00:00:00Z", /^not a day of the calendar/],
    ["2026-00-01T00:00:00Z", /^not a day of the calendar/],
    ["2026-01-05T24:00:00Z", /^wanted an RFC 3339 time of day from 00:00:00 to 23:59:59/],
    ["2026-01-05T10:60:00Z", /^wanted an RFC 3339 time of day/],
    ["2026-01-05T10:11:61Z", /^wanted an RFC 3339 time of day/],
    ["2026-01-05T10:11:60Z", /leap seconds at 23:59:60 UTC only/],
    ["2016-12-31T23:59:60+01:00", /leap seconds/],
    ["2026-01-05T10:11:12+24:00", /^wanted an RFC 3339 offset/],
    ["2026-01-05T10:11:12+01:60", /^wanted an RFC 3339 offset/],
    ["0000-01-01T00:00:00+01:00", /^wanted an RFC 3339 time of the years/],
    ["2026-01-05T10:11Z", /^wanted an RFC 3339 time$/],
    ["2026-01-05", /^wanted an RFC 3339 time$/],
    ["2026-1-5T10:11:12Z", /^wanted an RFC 3339 time$/],
    ["+12026-01-05T10:11:12Z", /^wanted an RFC 3339 time$/],
    ["2026-01-05T10:11:12+0100", /^wanted an RFC 3339 time$/],
    ["2026-01-05T10:11:12,5Z", /^wanted an RFC 3339 time$/],
    ["2026-01-05T10:11:12Z\n", /^wanted an RFC 3339 time$/],
    ["２０２６-01-05T10:11:12Z", /^wanted an RFC 3339 time$/],
    ["Mon, 05 Jan 2026 10:11:12 GMT", /^wanted an RFC 3339 time$/],
    ["", /^wanted an RFC 3339 time$/],
  ])("%j", (text, message) => {
    expect(problem(text)).toMatch(message);
  });
});

test("every time that Posthorn writes is read as it was, whatever the offset", () => {
  const times = fc.date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9998-12-31T23:59:59.999Z"), noInvalidDate: true });
  fc.assert(
    fc.property(times, fc.integer({ min: -1439, max: 1439 }), (at, offsetMinutes) => {
      expect(parseRfc3339(at.toISOString())).toEqual({ ok: true, epochMs: at.getTime() });
      const local = new Date(at.getTime() + offsetMinutes * 60_000).toISOString().slice(0, -1);
      const [hours, minutes] = [Math.trunc(Math.abs(offsetMinutes) / 60), Math.abs(offsetMinutes) % 60];
      const offset = `${offsetMinutes < 0 ? "-" : "+"}${String(hours).padStart(2, "0")}:${String(minutes).padStart(2, "0")}`;
      expect(parseRfc3339(local + offset)).toEqual({ ok: true, epochMs: at.getTime() });
    }),
  );
});

test("a date alone is its midnight UTC, where one is taken", () => {
  expect(parseRfc3339OrDate("2026-01-05")).toEqual({ ok: true, epochMs: Date.UTC(2026, 0, 5) });
  expect(parseRfc3339OrDate("2026-02-30").ok).toBe(false);
});

test("the form that Posthorn writes is read as the same time in any other form is", () => {
  const digits = (length: number) => fc.stringMatching(new RegExp(`^\\d{${length}}$`));
  const upTo = (most: number, length: number) => fc.integer({ min: 0, max: most }).map((number) => String(number).padStart(length, "0"));
  const text = fc.tuple(digits(4), upTo(13, 2), upTo(32, 2), upTo(25, 2), upTo(61, 2), upTo(61, 2), digits(3));
  fc.assert(
    fc.property(text, ([year, month, day, hour, minute, second, ms]) => {
      const at = `${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}`;
      expect(parseRfc3339(`${at}Z`)).toEqual(parseRfc3339(`${at}+00:00`));
    }),
    { numRuns: 2_000 },
  );
});

import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  commaSeparated,
  eventData,
  header,
  parseExactly,
  pastTime,
  rate,
  rateLimit,
  rateText,
  seconds,
  wholeSeconds,
} from "../../../src/cli/values.ts";
import { createZone, UTC } from "../../../src/cli/zone.ts";

test.each<[string, string]>([
  ['{"issue":{"id":1.0}}', '{"issue":{"id":1.0}}'],
  ['{"action":"created","installation":{"uuid":"u"},"data":{"n":12345678901234567890},"actor":null}', '{"n":12345678901234567890}'],
  ['{"action":"created","installation":{},"data":{"a":1}}', '{"a":1}'],
  ['{"action":"created","installation":{},"data":{"a":1},"other":1}', '{"action":"created","installation":{},"data":{"a":1},"other":1}'],
  ['{"action":"created","data":{"a":1}}', '{"action":"created","data":{"a":1}}'],
  ['{"action":"created","installation":{},"data":[1]}', '{"action":"created","installation":{},"data":[1]}'],
])("event data from %s", async (text, data) => {
  expect(await eventData("data", text, async () => "")).toBe(data);
  expect(await eventData("data", "-", async () => text)).toBe(data);
});

test("every example payload stands for its data", async () => {
  for (const file of globSync("examples/payloads/*.json")) {
    const { data } = JSON.parse(readFileSync(file, "utf8")) as { data: object };
    expect(JSON.parse(await eventData("data", `@${file}`, async () => "")), file).toEqual(data);
  }
});

test("numbers keep their text from the service to the terminal", () => {
  const text = '{"a":12345678901234567890,"b":1.0,"c":1e3,"d":7,"e":[0.1,-0],"f":"1.0"}';
  expect(JSON.stringify(parseExactly(text))).toBe(text);
});

const NOW = Date.UTC(2026, 0, 5, 10);
const BERLIN = createZone("Europe/Berlin");

test.each<[string, string, string]>([
  ["2h", "2026-01-05T08:00:00.000Z", "2026-01-05T08:00:00.000Z"],
  ["30m", "2026-01-05T09:30:00.000Z", "2026-01-05T09:30:00.000Z"],
  ["2026-01-05T10:11:12+02:00", "2026-01-05T08:11:12.000Z", "2026-01-05T08:11:12.000Z"],
  ["2026-01-05 10:11:12+02:00", "2026-01-05T08:11:12.000Z", "2026-01-05T08:11:12.000Z"],
  ["2026-01-05", "2026-01-05T00:00:00.000Z", "2026-01-04T23:00:00.000Z"],
  ["2026-07-05 12:00", "2026-07-05T12:00:00.000Z", "2026-07-05T10:00:00.000Z"],
  ["2026-01-05T09:00:01", "2026-01-05T09:00:01.000Z", "2026-01-05T08:00:01.000Z"],
  ["09:30", "2026-01-05T09:30:00.000Z", "2026-01-05T08:30:00.000Z"],
  ["10:30", "2026-01-04T10:30:00.000Z", "2026-01-05T09:30:00.000Z"],
  ["23:59:59", "2026-01-04T23:59:59.000Z", "2026-01-04T22:59:59.000Z"],
])("%s is a time in the past, in UTC and in a zone", (text, inUtc, inBerlin) => {
  expect([pastTime(text, { zone: UTC, now: NOW }), pastTime(text, { zone: BERLIN, now: NOW })]).toEqual([inUtc, inBerlin]);
});

test.each(["yesterday", "", "2026-99-99", "5", "25:00", "2026-01-05T10", "2026-02-30 10:00"])("%j is no time", (text) => {
  expect(() => pastTime(text, { zone: UTC, now: NOW })).toThrow(/wanted a duration such as 2h/);
});

test("a rate is shown as it was given", () => {
  for (const text of ["20/s", "1.5/s", "20/m", "7/h", "1/m"]) expect(rateText(rate(text))).toBe(text);
});

test("a rate has a unit", () => {
  expect([rate("20/s"), rate("0.5/s"), rate("600/m"), rate("3600/h"), rateLimit("20/s"), rateLimit("none")]).toEqual([
    20,
    0.5,
    10,
    1,
    20,
    null,
  ]);
  for (const text of ["20", "20/d", "/s", "-1/s", "none"]) expect(() => rate(text)).toThrow("wanted a number a second such as 20/s");
});

test("a time to live is whole seconds", () => {
  expect([wholeSeconds("90s"), wholeSeconds("1h")]).toEqual([90, 3_600]);
  for (const text of ["0s", "1500ms"]) expect(() => wholeSeconds(text)).toThrow("wanted whole seconds, 1s or more");
});

test("headers, lists and delays are read as people write them", () => {
  expect([header("X-Team: blue"), header("X-Team=a=b: c")]).toEqual([
    ["X-Team", "blue"],
    ["X-Team", "a=b: c"],
  ]);
  expect(commaSeparated("issue, metric_alert.*,")).toEqual(["issue", "metric_alert.*"]);
  expect([seconds("5s,500ms,2m"), seconds("")]).toEqual([[5, 0.5, 120], []]);
});

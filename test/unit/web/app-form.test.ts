/** The form of an app: from its record to texts and back, and problems at their fields. */
import { describe, expect, test } from "vitest";
import type { App } from "../../../src/client/api-types.generated.ts";
import type { ApiError } from "../../../src/web/api.ts";
import { membersOf, patchOf, textsOf } from "../../../src/web/app-form.ts";
import { durationText, readDuration } from "../../../src/web/duration-text.ts";
import { fieldProblem } from "../../../src/web/problem-text.ts";

const record: App = {
  slug: "acme",
  name: "Acme",
  webhook_url: "https://hooks.acme.example",
  status: "published",
  events: ["issue", "comment.created"],
  headers: { "X-Team": "[redacted]", Authorization: "[redacted]" },
  timeout_ms: 1_500,
  retry_schedule_s: [5, 0.5, 300],
  retry_on: ["404", "5xx"],
  max_in_flight: 8,
  rate_limit: { per_s: 0.5, burst: 40 },
  ordered: true,
  order_by: "/issue/id",
  on_exhausted: "continue",
  ...{ created_at: null, updated_at: null },
};
const BARE: App = {
  ...record,
  ...{ events: [], headers: {}, timeout_ms: null, retry_schedule_s: null, retry_on: null, max_in_flight: null, rate_limit: null },
  ...{ ordered: false, order_by: "none" },
};

/** As the browser makes it of the form. */
function dataOf(app: App, { events = "", ...changes }: Readonly<Record<string, string>> = {}): FormData {
  const data = new FormData();
  for (const [name, text] of Object.entries({ ...textsOf(app), ...changes })) data.set(name, text);
  for (const pattern of [...app.events, events]) data.append("events", pattern);
  data.delete("headers.stored");
  for (const stored of ["", ...Object.keys(app.headers)]) data.append("headers.stored", stored);
  for (const name of Object.keys(app.headers)) {
    data.append("headers", name);
    data.append("headers.values", "");
  }
  return data;
}

function problemsOf(data: FormData): Record<string, string> {
  try {
    membersOf(data);
  } catch (error) {
    return Object.fromEntries((error as ApiError).problems.map(({ path, message }) => [path, message]));
  }
  return {};
}

test.each([
  ["every member", record],
  ["only defaults", BARE],
  ["no retries at all", { ...record, retry_schedule_s: [], retry_on: [] }],
])("a form that nobody touched changes nothing of an app with %s", (_what, app) => {
  expect(patchOf(app, dataOf(app))).toEqual({});
});

test("a patch has what was changed, and null for a default", () => {
  expect(patchOf(record, dataOf(record, { timeout_ms: "", retry_schedule_s: "none", "rate_limit.per_s": "" }))).toEqual({
    ...{ timeout_ms: null, retry_schedule_s: [], rate_limit: null },
  });
  expect(patchOf(record, dataOf(record, { "rate_limit.burst": "", max_in_flight: "16", order_by: "app" }))).toEqual({
    ...{ rate_limit: { per_s: 0.5, burst: null }, max_in_flight: 16, order_by: "app" },
  });
  expect(patchOf(record, dataOf(record, { retry_schedule_s: "2m, 90, 1h", retry_on: "4xx,500" }))).toEqual({
    ...{ retry_schedule_s: [120, 90, 3_600], retry_on: ["4xx", "500"] },
  });
});

test("an event type that was typed and not added is not lost", () => {
  expect(patchOf(record, dataOf(record, { events: "metric_alert.*, issue" }))).toEqual({
    events: ["issue", "comment.created", "metric_alert.*"],
  });
});

test("a stored header stays, is replaced or removed, and a renamed one needs its value", () => {
  const data = dataOf(record);
  data.delete("headers");
  data.delete("headers.values");
  for (const [name, value] of [
    ["Authorization", "Bearer x"],
    ["X-New", "1"],
    ["", ""],
  ] as const) {
    data.append("headers", name);
    data.append("headers.values", value);
  }
  expect(patchOf(record, data)).toEqual({ headers: { Authorization: "Bearer x", "X-New": "1", "X-Team": null } });
  data.append("headers", "X-Blue");
  data.append("headers.values", "");
  expect(problemsOf(data)).toEqual({ headers: "Enter a value for X-Blue." });
});

test("fields that are not in the form are not in the patch", () => {
  const data = new FormData();
  data.set("webhook_url", " https://new.example ");
  expect(patchOf(record, data)).toEqual({ webhook_url: "https://new.example" });
});

test("every field that is wrong is named, with what it wants", () => {
  expect(problemsOf(dataOf(record, { name: " ", timeout_ms: "ten", retry_schedule_s: "5,,30", max_in_flight: "8 at once" }))).toEqual({
    name: "Fill this in.",
    timeout_ms: "“ten” is no duration: enter one such as 500ms, 5s or 2m.",
    retry_schedule_s: "An empty part is no duration: enter one such as 500ms, 5s or 2m.",
    max_in_flight: "“8 at once” is no number.",
  });
});

describe("a duration", () => {
  test.each<[string, number | null]>([
    ["500ms", 500],
    ["5", 5_000],
    ["0.5s", 500],
    ["2 m", 120_000],
    ["1H", 3_600_000],
    ["3d", 259_200_000],
    ["-1s", null],
    ["5 weeks", null],
    ["", null],
  ])("“%s” is %s ms", (text, ms) => {
    expect(readDuration(text)).toBe(ms);
  });

  test("is shown in the largest unit that leaves a whole number", () => {
    expect([500, 1_500, 5_000, 90_000, 120_000, 3_600_000, 86_400_000].map(durationText)).toEqual([
      ...["500ms", "1500ms", "5s", "90s", "2m", "1h", "1d"],
    ]);
  });
});

test.each([
  ["webhook_url", 'found "ftp://x", scheme ftp: is not http: or https:', "This can’t be used: scheme ftp: is not http: or https:."],
  ["webhook_url", "missing", "Fill this in."],
  ["events.2", 'found "Issue", wanted *, <resource> or so', "“Issue” can’t be used: enter *, <resource> or so."],
  ["timeout_ms", "found 0, wanted 1 or more", "Enter 1 or more."],
  ["headers.X-Team", "found a string of 3 characters, wanted a header value", "X-Team: enter a header value."],
  ["order_by", "something else", "something else"],
])("a problem of %s, “%s”, is said so: %s", (path, message, text) => {
  expect(fieldProblem({ path, message }).message).toBe(text);
});

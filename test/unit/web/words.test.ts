/** Figures, conditions, places and status events as the page puts them. */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { conditionOf, dayOf, total, wantsAttention } from "../../../src/client/app-condition.ts";
import { appStateOf } from "../../../src/client/app-state.ts";
import { describeStatus } from "../../../src/client/status-texts.ts";
import { linearScale, logScale } from "../../../src/web/chart-scale.ts";
import { firstCommands } from "../../../src/web/first-commands.ts";
import { ago, duration, percent, shortCount, shownAt } from "../../../src/web/format.ts";
import { hrefOf, parsePlace } from "../../../src/web/routing.ts";
import type { AppRow } from "../../../src/web/wire.ts";
import { offsetAt } from "../../../src/web/zone.ts";

const HEALTHY = {
  state: "healthy",
  since: null,
  attempts: 10,
  failures: 0,
  by_code: {},
  blocked: 0,
  sender_failed: 0,
  last_success_at: null,
} as const;

const STOP = { delivery_id: "dlv_1", dead_letter: 7, since: new Date("2026-01-05T11:45:00").toISOString() };

const row = (members: Partial<AppRow> = {}): AppRow => ({
  slug: "acme",
  name: "Acme",
  status: "published",
  webhook_url: "https://hooks.acme.example",
  installations: { active: 1, broken: 0, disabled: 0 },
  circuit: { state: "closed", open_until: null },
  throttled: null,
  stopped: null,
  waiting: null,
  unknown: [],
  health: HEALTHY,
  parked: 0,
  parked_in_app_queue: 0,
  dead_letters: 0,
  attempts: [10],
  delivered: [10],
  ...members,
});

test.each<[number, string]>([
  [1, "100%"],
  [0.99999, "99.9%"],
  [0.5, "50.0%"],
  [0.00001, "0.1%"],
  [0, "0%"],
])("a share of %d is %s: all only when all, none only when none", (share, text) => {
  expect(percent(share)).toBe(text);
});

test("durations and counts are as long as they have to be", () => {
  expect([0.4, 12, 999, 1_000, 1_540, 12_300, 120_000, 300_000].map(duration)).toEqual([
    "0.4 ms",
    "12 ms",
    "999 ms",
    "1 s",
    "1.5 s",
    "12 s",
    "2 min",
    "5 min",
  ]);
  expect([0, 9_999, 12_345, 1_234_567].map(shortCount)).toEqual(["0", "9,999", "12.3K", "1.2M"]);
  expect([1_000, 20_000, 119_000, 7_200_000, 30 * 86_400_000].map((ms) => ago(0, ms))).toEqual([
    "just now",
    "20 s ago",
    "2 min ago",
    "2 h ago",
    "30 days ago",
  ]);
});

const LIMITED = { since: "2026-01-05T11:49:00Z", because: "rate_limit", per_s: 20, at_once: null } as const;

describe("the condition of an app", () => {
  test.each<[string, Partial<AppRow>, string]>([
    ["an open circuit", { circuit: { state: "open", open_until: "2026-01-05T10:00:00Z" } }, "Circuit open"],
    [
      "failures, however its circuit and its installations are",
      {
        health: { ...HEALTHY, state: "failing", since: "2026-01-05T10:00:00Z" },
        ...{ circuit: { state: "open", open_until: null }, installations: { active: 0, broken: 1, disabled: 0 } },
      },
      "Failing",
    ],
    ["a half-open circuit", { circuit: { state: "half_open", open_until: null } }, "Circuit half-open"],
    ["a stopped order key", { stopped: { keys: 1, oldest: STOP } }, "Stopped"],
    ["a receiver that asked for a pause", { throttled: { until: "2026-01-05T10:00:00Z", response_code: 429 } }, "Throttled"],
    ["its one installation broken", { installations: { active: 0, broken: 1, disabled: 0 } }, "Broken"],
    ["one of three broken", { installations: { active: 1, broken: 1, disabled: 1 } }, "1 of 3 broken"],
    ["a bad day that is over", { attempts: [5, 5], delivered: [1, 3] }, "Healthy"],
    [
      "one failed attempt of a quiet app",
      { attempts: [0, 1], delivered: [0, 0], health: { ...HEALTHY, attempts: 1, failures: 1 } },
      "Healthy",
    ],
    ["everything disabled", { installations: { active: 0, broken: 0, disabled: 2 }, attempts: [0], delivered: [0] }, "Disabled"],
    ["no installation", { installations: { active: 0, broken: 0, disabled: 0 } }, "Not installed"],
    ["nothing to do", { attempts: [0, 0], delivered: [0, 0] }, "Idle"],
    ["all delivered", {}, "Healthy"],
    ["attempts that the address guard blocked", { health: { ...HEALTHY, attempts: 0, blocked: 3 } }, "Blocked"],
    ["most attempts failed on Posthorn's side", { health: { ...HEALTHY, attempts: 2, sender_failed: 2 } }, "Sender failed"],
    ["a few attempts failed on Posthorn's side", { health: { ...HEALTHY, attempts: 10, sender_failed: 2 } }, "Healthy"],
    ["a backlog behind its rate limit", { waiting: LIMITED, parked_in_app_queue: 1_200 }, "Waiting"],
    ["stats that can't be read", { attempts: null, delivered: null }, "Unknown"],
    ["stops that can't be read", { unknown: ["stopped"] }, "Unknown"],
    [
      "stops that can't be read, of a failing app",
      { unknown: ["stopped"], health: { ...HEALTHY, state: "failing", since: STOP.since } },
      "Failing",
    ],
  ])("with %s", (_what, members, text) => {
    expect(conditionOf(row(members)).text).toBe(text);
  });

  test("wants attention when something is wrong, and only then", () => {
    const attention = (members: Partial<AppRow>): boolean => wantsAttention(conditionOf(row(members)));
    expect(attention({ installations: { active: 5, broken: 1, disabled: 0 } })).toBe(true);
    expect(attention({ health: { ...HEALTHY, state: "failing", since: "2026-01-05T10:00:00Z" } })).toBe(true);
    expect(attention({ circuit: { state: "open", open_until: null } })).toBe(true);
    expect(attention({ attempts: [10], delivered: [8] })).toBe(false);
    expect([attention({}), attention({ attempts: null, delivered: null })]).toEqual([false, false]);
  });
});

describe("the state of an app in a line", () => {
  const now = new Date("2026-01-05T11:50:00").getTime();
  const at = (time: string): string => new Date(`2026-01-05T${time}`).toISOString();
  const failing = {
    state: "failing",
    since: at("11:40:10"),
    attempts: 212,
    failures: 212,
    by_code: { 404: 212 },
    ...{ blocked: 0, sender_failed: 0 },
    last_success_at: at("11:39:58"),
  } as const;

  test.each<[Partial<AppRow>, string]>([
    [
      { health: failing, circuit: { state: "open", open_until: at("11:50:30") }, parked_in_app_queue: 3 },
      "bad: Failing since 11:40 Z: 212 of 212 attempts failed with 404; last success 11:39 Z. 3 deliveries wait and are retried; next attempt 11:50:30 Z.",
    ],
    [
      { health: failing, circuit: { state: "open", open_until: at("11:49:30") } },
      "bad: Failing since 11:40 Z: 212 of 212 attempts failed with 404; last success 11:39 Z. Deliveries wait and are retried.",
    ],
    [
      { health: { ...failing, attempts: 90, failures: 50, by_code: { 0: 20, 500: 30 }, last_success_at: null } },
      "bad: Failing since 11:40 Z: 50 of 90 attempts failed: 30 with 500, 20 with no response. Failed deliveries are retried, or go to dead letters.",
    ],
    [
      { health: { ...failing, attempts: 0, failures: 0, by_code: {} } },
      "bad: Failing since 11:40 Z: no attempts in the last 15 minutes; last success 11:39 Z. Failed deliveries are retried, or go to dead letters.",
    ],
    [
      { health: { ...failing, attempts: null, failures: null, by_code: null, last_success_at: null } },
      "bad: Failing since 11:40 Z. Failed deliveries are retried, or go to dead letters.",
    ],
    [
      {
        health: { ...HEALTHY, attempts: 30, failures: 9, by_code: { 500: 9 } },
        circuit: { state: "half_open", open_until: null },
        parked_in_app_queue: 1,
      },
      "warn: Circuit half-open: 9 of 30 attempts failed with 500. 1 delivery waits and is retried; one is being attempted now.",
    ],
    [
      { throttled: { until: at("12:04:31"), response_code: 429 } },
      "warn: Throttled until 12:04:31 Z: the receiver answered 429. Deliveries wait.",
    ],
    [
      { health: failing, throttled: { until: at("12:04:31"), response_code: 503 } },
      "bad: Failing since 11:40 Z: 212 of 212 attempts failed with 404; last success 11:39 Z. Throttled until 12:04:31 Z: the receiver answered 503. Deliveries wait.",
    ],
    [
      { stopped: { keys: 1, oldest: STOP } },
      "warn: An order key is stopped by dead letter 7 since 11:45:00 Z: deliveries behind it wait. Replay, resend or delete it, or set on_exhausted to continue.",
    ],
    [
      { stopped: { keys: 1_200, oldest: STOP } },
      "warn: 1,200 order keys are stopped, the first by dead letter 7 since 11:45:00 Z: deliveries behind it wait. Replay, resend or delete it, or set on_exhausted to continue.",
    ],
    [
      { health: { ...HEALTHY, attempts: 4, blocked: 12 } },
      "bad: Blocked by the address guard: 12 of 16 attempts in the last 15 minutes. Change the webhook URL, or allow its address with POSTHORN_TARGET_ALLOW, and replay the dead letters.",
    ],
    [
      { waiting: { ...LIMITED, since: at("11:45:00") }, parked_in_app_queue: 1_200 },
      "warn: 1,200 deliveries wait for the app’s rate limit of 20 a second, the oldest since 11:45:00 Z.",
    ],
    [
      { waiting: { since: at("11:45:00"), because: "pace", per_s: 3.5, at_once: 1 }, parked_in_app_queue: 1 },
      "warn: 1 delivery waits for the pace that the receiver takes, about 3.5 a second (it answered 429 to more), the oldest since 11:45:00 Z.",
    ],
    [
      { waiting: { since: at("11:45:00"), because: "max_in_flight", per_s: null, at_once: 32 }, parked_in_app_queue: 40 },
      "warn: 40 deliveries wait for earlier ones, at most 32 at once (max_in_flight), the oldest since 11:45:00 Z.",
    ],
    [{ installations: { active: 2, broken: 1, disabled: 0 } }, "bad: 1 of 3 installations is broken; its deliveries wait."],
    [
      { throttled: { until: at("12:04:31"), response_code: 429 }, installations: { active: 1, broken: 2, disabled: 0 } },
      "bad: Throttled until 12:04:31 Z: the receiver answered 429. Deliveries wait. 2 of 3 installations are broken; their deliveries wait.",
    ],
    [
      { health: { ...HEALTHY, attempts: 1_212, failures: 3, by_code: { 500: 3 }, last_success_at: at("11:49:59") } },
      "ok: 1,209 of 1,212 attempts delivered in the last 15 minutes; last success 11:49 Z.",
    ],
    [
      { health: { ...HEALTHY, attempts: 0, last_success_at: new Date("2026-01-02T09:00:00").toISOString() } },
      "ok: No attempts in the last 15 minutes; last success 2 Jan, 09:00 Z.",
    ],
    [{ installations: { active: 0, broken: 0, disabled: 0 } }, "plain: It is not installed anywhere, so it gets no events."],
    [
      { installations: { active: 0, broken: 0, disabled: 2 } },
      "plain: All its installations are disabled. Deliveries are parked until they are enabled.",
    ],
    [
      { health: { ...HEALTHY, attempts: null, failures: null, by_code: null } },
      "plain: How it works now is unknown, because Redis does not answer.",
    ],
  ])("%#", (members, text) => {
    expect(`${conditionOf(row(members)).kind}: ${appStateOf(row(members), shownAt(now))}`).toBe(text.replaceAll(" Z", ` ${offsetAt(now)}`));
  });
});

test("what is not known is never a number", () => {
  expect(dayOf({ attempts: null, delivered: null })).toEqual({ attempts: null, rate: null });
  expect(dayOf({ attempts: [0], delivered: [0] })).toEqual({ attempts: 0, rate: null });
  expect(total([row({ parked: 2 }), row({ parked: null })], ({ parked }) => parked)).toBeNull();
  expect(total([row({ parked: 2 }), row({ parked: 3 })], ({ parked }) => parked)).toBe(5);
});

test("a place in the page is its address, both ways", () => {
  const href = hrefOf(["apps", "a b/ü"], { type: "issue.created", open: "1&2", since: null, after: "" });
  expect(parsePlace(href)).toEqual({ parts: ["apps", "a b/ü"], query: { type: "issue.created", open: "1&2" } });
  expect(parsePlace("")).toEqual({ parts: [], query: {} });
  expect(parsePlace("#/apps/%E0%A4%A").parts).toEqual(["apps", "%E0%A4%A"]);
});

describe("scales", () => {
  test("from zero have round steps of whole things", () => {
    expect(linearScale(0).ticks).toEqual([0, 1]);
    expect(linearScale(7).ticks).toEqual([0, 2, 4, 6, 8]);
    expect(linearScale(1_234).ticks).toEqual([0, 500, 1_000, 1_500]);
    expect([linearScale(7).at(0), linearScale(7).at(8)]).toEqual([0, 1]);
  });

  test("of durations have their powers of ten", () => {
    expect(logScale(30, 9_000).ticks).toEqual(
      [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000].filter((tick) => [10, 100, 1_000, 10_000].includes(tick)),
    );
    expect(logScale(30, 90).ticks).toEqual([10, 20, 50, 100]);
    expect(logScale(10, 1_000).at(100)).toBeCloseTo(0.5);
  });
});

test.each<[string, object, string, string]>([
  [
    "integration.broken",
    { reason: { rule: "timeouts", last_error: "no answer" } },
    "Integration broken",
    "too many timeouts in a day; last error: no answer",
  ],
  ["integration.recovered", { reason: { by: "probe" } }, "Integration recovered", "an attempt succeeded"],
  ["integration.disabled", { reason: { by: "person" } }, "Integration disabled", "by a person"],
  ["circuit.opened", { reason: { failures: 20, attempts: 30, window_s: 60 } }, "Circuit opened", "20 of 30 attempts failed within 60 s"],
  [
    "circuit.opened",
    { reason: { failures: 20, attempts: 30, window_s: 60 }, open_until: "2026-01-05T10:11:12Z" },
    "Circuit opened",
    "20 of 30 attempts failed within 60 s; next attempt 10:11",
  ],
  ["circuit.closed", { reason: null }, "Circuit closed", ""],
  ["app.failing", { attempts: 212, failures: 212, by_code: { 404: 212 } }, "App failing", "212 of 212 attempts failed with 404"],
  ["app.healthy", { attempts: 900, failures: 0, by_code: {} }, "App healthy", "0 of 900 attempts failed"],
  [
    "app.failing",
    { attempts: 80, failures: 71, by_code: { 0: 4, 401: 2, 404: 50, 500: 10, 502: 5 } },
    "App failing",
    "71 of 80 attempts failed: 50 with 404, 10 with 500, 5 with 502, 6 with other codes",
  ],
  ["delivery.suppressed", { count: 200 }, "Deliveries given up", "200 more within the same minute"],
  [
    "app.throttled",
    { until: "2026-01-05T10:11:12Z", response_code: 503 },
    "App throttled",
    "answered 503; nothing is attempted until 10:11",
  ],
  ["app.throttled", {}, "App throttled", "answered 429"],
  ["app.released", { throttled_at: "2026-01-05T10:11:12Z" }, "App released", "throttled since 10:11"],
  [
    "delivery.exhausted",
    { event_type: "issue.created", attempts: 9, last_error: "reset" },
    "Delivery given up",
    "issue.created after 9 attempts; reset",
  ],
  [
    "delivery.rejected",
    { event_type: "issue.created", attempts: 1, reason: "gone", last_error: "answered with status 410" },
    "Delivery rejected",
    "issue.created after 1 attempt; answered with status 410",
  ],
  [
    "delivery.rejected",
    { event_type: "issue.created", attempts: 0, reason: "discarded", last_error: "discarded by a person while it was parked" },
    "Delivery discarded",
    "issue.created after 0 attempts; discarded by a person while it was parked",
  ],
  ["something.new", {}, "something.new", ""],
])("%s is shown in words", (type, data, title, detail) => {
  const told = describeStatus({ type, data: { app: "acme", ...data } }, (at) => at.slice(11, 16));
  expect([told.title, told.detail]).toEqual([title, detail]);
});

test("the first commands name the service and carry the token that it asks for", () => {
  expect(firstCommands("https://hooks.example.com/posthorn/", null)).toBe(
    [
      "export POSTHORN_URL=https://hooks.example.com/posthorn",
      "npx posthorn apps add my-app --webhook https://hooks.example.com/in --events issue",
      "npx posthorn installations add my-app --organization 42",
    ].join("\n"),
  );
  const withToken = firstCommands("http://127.0.0.1:8080/", "a'b $HOME-0123456789");
  expect(withToken).toMatch(/^export POSTHORN_URL=http:\/\/127\.0\.0\.1:8080\n/);
  const shown = execFileSync("sh", ["-c", `${withToken.split("\n")[1]}; printf %s "$POSTHORN_TOKEN"`], { encoding: "utf8" });
  expect(shown).toBe("a'b $HOME-0123456789");
});

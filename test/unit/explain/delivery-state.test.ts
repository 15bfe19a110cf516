import { describe, expect, test } from "vitest";
import type { ExplainedAttempt } from "../../../src/explain/answer-schemas.ts";
import { type DeliveryFacts, explainState } from "../../../src/explain/delivery-state.ts";
import type { DeliveryHistory, LocatedDelivery, StoredEvent } from "../../../src/model/delivery-location.ts";
import { aDelivery, anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";

const NOW = Date.UTC(2026, 0, 5, 12);
const minutes = (from: number): number => NOW + from * 60_000;
const at = (from: number): string => new Date(minutes(from)).toISOString();

const attempt = (from: number, outcome: string, number = 1): ExplainedAttempt => ({
  ...{ attempt: number, at: at(from), outcome, response_code: outcome === "delivered" ? 200 : 500, duration_ms: 20 },
  ...{ error: null, response_body: null, webhook_url: null, trace_id: "0af7651916cd43dd8448eb211c80319c" },
});
const retry = (storedFrom: number, dueIn: number, replay: string | null = null): LocatedDelivery => ({
  ...{ stream: "retries", sequence: 5, storedAt: minutes(storedFrom), tierS: 64, dueAt: minutes(dueIn) },
  delivery: aDelivery({ attemptsMade: 1, replay }),
});
const parked = (ofInstallation: boolean, dueAt: number | null = null): LocatedDelivery => ({
  ...{ stream: "parked", sequence: 6, storedAt: minutes(-3), dueAt, queue: "app-platform.parked.acme", ofInstallation },
  delivery: aDelivery({ firstParkedAt: minutes(-10) }),
});
const deadLetter = (storedFrom: number): LocatedDelivery => ({
  ...{ stream: "dead-letters", sequence: 7, storedAt: minutes(storedFrom), reason: "exhausted", error: "answered with status 500" },
  delivery: aDelivery({ attemptsMade: 9 }),
});
const stored = (stage: StoredEvent["stage"]): StoredEvent => ({
  ...{ stream: "APP_PLATFORM_EVENTS", sequence: 1, storedAt: minutes(-20), event: anEvent(), problem: null, stage },
});
const explain = (facts: Partial<DeliveryFacts>) =>
  explainState({
    ...{ deliveryId: aDelivery().id, app: "acme", installationUuid: UUID, registered: { app: anApp(), installation: anInstallation() } },
    ...{
      stored: stored("handled"),
      history: null,
      located: null,
      remaining: null,
      attempts: [],
      probeDueAt: null,
      isOldest: true,
    },
    ...{ circuit: { state: "closed" } as const, throttle: null, stop: null, pace: null, maxInFlight: 32 },
    ...{ maxParkedAgeMs: 7 * 86_400_000, brokenAction: "park" as const, now: NOW },
    ...facts,
  });
const historyOf = (delivered: boolean, replay: string | null = null, eventSequence: number | null = 1): DeliveryHistory => ({
  ...{ location: null, skips: [], eventSequence, app: "acme", installationUuid: UUID },
  runs: [
    {
      replay,
      delivered,
      last: { attempt: 2, endedAt: minutes(-6), responseCode: 202, traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
    },
  ],
});

describe("the latest evidence wins", () => {
  test.each<[string, Partial<DeliveryFacts>, string]>([
    ["a delivered attempt", { attempts: [attempt(-5, "failed"), attempt(-4, "delivered", 2)] }, "delivered"],
    ["a delivered attempt over an older retry", { attempts: [attempt(-4, "delivered")], located: retry(-5, -4) }, "delivered"],
    ["a delivered attempt over an older dead letter", { attempts: [attempt(-1, "delivered")], located: deadLetter(-2) }, "delivered"],
    ["a resend over an older delivered attempt", { attempts: [attempt(-9, "delivered")], located: retry(-1, 1, "r-1") }, "retrying"],
    ["a dedup key where no row is left", { history: historyOf(true) }, "delivered"],
    ["a dedup key of the last replay where no row is left", { history: historyOf(true, "r-1") }, "delivered"],
    ["a dedup key of a replay over its own message", { history: historyOf(true, "r-1"), located: retry(-5, 1, "r-1") }, "delivered"],
    ["a dedup key over the message of its own run", { history: historyOf(true), located: retry(-5, 1) }, "delivered"],
    ["a resend over the dedup key of the first run", { history: historyOf(true), located: retry(-5, 1, "r-1") }, "retrying"],
    ["a retry", { attempts: [attempt(-5, "failed")], located: retry(-5, 1) }, "retrying"],
    ["a dead letter", { attempts: [attempt(-5, "failed")], located: deadLetter(-4) }, "dead_letter"],
    ["an event that nobody has taken", { stored: stored("waiting") }, "pending"],
    ["an event that is being handled", { stored: stored("taken") }, "pending"],
    ["fan-out batches that are not delivered yet", { remaining: { kind: "batches" } }, "pending"],
    [
      "an event that was set aside",
      { remaining: { kind: "dead-letter", sequence: 9, storedAt: NOW, reason: "redelivered", error: "redelivered 11 times" } },
      "dead_letter",
    ],
    ["nothing", {}, "unknown"],
    ["a test call that failed", { attempts: [attempt(-5, "failed")], stored: null, history: historyOf(false, null, null) }, "test_failed"],
    ["a test call that worked", { stored: null, history: historyOf(true, null, null) }, "delivered"],
    ["an attempt without what followed", { attempts: [attempt(-5, "failed")] }, "unknown"],
  ])("%s", (_what, facts, state) => {
    expect(explain(facts).state).toBe(state);
  });
});

test("what only its dedup key shows", () => {
  expect(explain({ stored: null, history: historyOf(true) })).toMatchObject({
    detail: `delivered at ${at(-6)} by attempt 2, answered with status 202`,
    delivered_at: at(-6),
    trace_id: "0af7651916cd43dd8448eb211c80319c",
  });
});

describe("a retry that will not be attempted when it is due says so", () => {
  const open = { state: "open", openForMs: 1, openUntil: minutes(5), probeUntil: 0, probeBy: null } as const;
  const of = (installation: Parameters<typeof anInstallation>[0]) => ({
    registered: { app: anApp(), installation: anInstallation(installation) },
  });
  test.each<[Partial<DeliveryFacts>, RegExp, string | null]>([
    [
      { registered: { app: anApp(), installation: undefined } },
      /it will go to dead letters then, because the installation was removed/,
      null,
    ],
    [{ registered: { app: undefined, installation: anInstallation() } }, /the installation was removed/, null],
    [of({ status: "disabled" }), /it will be parked then, because the installation is disabled/, null],
    [of({ status: "broken" }), /it will be parked then, because the installation is broken/, null],
    [{ ...of({ status: "broken" }), brokenAction: "deliver" }, /^attempt 2 is due at [^;]*$/, at(4)],
    [{ circuit: open }, /it will be parked then, because the app's circuit is open/, null],
    [{ circuit: { ...open, openUntil: minutes(3) } }, /^attempt 2 is due at [^;]*$/, at(4)],
  ])("%#", (facts, detail, next) => {
    const found = explain({ located: retry(-1, 4), ...facts });
    expect(found).toMatchObject({ state: "retrying", next_attempt_at: next });
    expect(found.detail).toMatch(detail);
  });
});

test("a retry says when it is due", () => {
  expect(explain({ located: retry(-1, 4) })).toMatchObject({
    detail: `attempt 2 is due at ${at(4)}`,
    next_attempt_at: at(4),
    retry: { sequence: 5, tier_s: 64, due_at: at(4) },
  });
  expect(explain({ located: retry(-9, -4) }).detail).toBe("attempt 2 is due now");
});

describe("what is parked says since when, why, and what comes next", () => {
  const open = { state: "open", openForMs: 1, openUntil: minutes(2), probeUntil: 0, probeBy: null } as const;
  const limited = { because: "rate_limit", perS: 20, atOnce: null, ahead: 1_200 } as const;
  const registered = (installation: Parameters<typeof anInstallation>[0], app = {}) => ({
    registered: { app: anApp(app), installation: anInstallation(installation) },
  });
  test.each<[string, Partial<DeliveryFacts>, string, string | null]>([
    ["a disabled installation", { located: parked(true), ...registered({ status: "disabled" }) }, "disabled", null],
    ["a broken one", { located: parked(true), probeDueAt: minutes(30), ...registered({ status: "broken" }) }, "broken", at(30)],
    [
      "one of a broken one that is not its next probe",
      { located: parked(true), probeDueAt: minutes(30), isOldest: false, ...registered({ status: "broken" }) },
      "broken",
      null,
    ],
    ["an open circuit", { located: parked(false), circuit: open }, "circuit", at(2)],
    ["an open circuit, behind the one that tries it", { located: parked(false), isOldest: false, circuit: open }, "circuit", null],
    ["a half-open circuit", { located: parked(false), circuit: { ...open, state: "half_open" } }, "circuit", null],
    ["the head of an ordered queue", { located: parked(false, minutes(3)), ...registered({}, { orderBy: "app" }) }, "ordered", at(3)],
    ["one behind it", { located: parked(false), ...registered({}, { orderBy: "app" }) }, "ordered", null],
    ["one whose turn it is", { located: parked(false, minutes(-1)), ...registered({}, { orderBy: "app" }) }, "ordered", null],
    ["no free slot", { located: parked(false) }, "queue", null],
    ["a rate limit", { located: parked(false), pace: limited }, "rate_limit", at(1)],
    ["a rate limit of an ordered app", { located: parked(false), pace: limited, ...registered({}, { orderBy: "app" }) }, "ordered", null],
    ["the pace of its receiver", { located: parked(false), pace: { ...limited, because: "pace" } }, "pace", at(1)],
    [
      "a pace that is a number at once",
      { located: parked(false), pace: { ...limited, because: "pace", perS: null, atOnce: 3 } },
      "pace",
      null,
    ],
    ["an installation that was recovered since", { located: parked(true) }, "queue", null],
  ])("%s", (_what, facts, because, next) => {
    const explained = explain(facts);
    expect(explained).toMatchObject({ state: "parked", next_attempt_at: next, parked: { because, since: at(-10) } });
    expect(explained.detail.startsWith(`parked since ${at(-10)}: `)).toBe(true);
    expect(explained.parked?.expires_at).toBe(at(-10 + 7 * 24 * 60));
  });
});

describe("while its order key is stopped", () => {
  const registered = { app: anApp({ orderBy: "app", onExhausted: "stop" }), installation: anInstallation() };
  const stop = { deliveryId: "dlv_stops", deadLetter: 7, since: minutes(-3) };
  const shown = { delivery_id: "dlv_stops", dead_letter: 7, since: at(-3) };
  const howToContinue = "replay, resend or delete the dead letter, or set the app's on_exhausted to continue";

  test("a delivery waits for what stops it, and does not expire meanwhile", () => {
    const explained = explain({ registered, stop, located: parked(false) });
    expect(explained).toMatchObject({
      ...{ state: "parked", next_attempt_at: null, stopped_by: shown, parked: { because: "stopped" } },
      detail: `parked since ${at(-10)}: dead letter 7 (delivery dlv_stops) has stopped its order key since ${at(-3)}; ${howToContinue}`,
    });
    expect(explained.timeline.map(({ kind }) => kind)).toEqual(["event", "waiting"]);
  });

  test("its own dead letter says so, and what to do", () => {
    expect(explain({ registered, stop, located: deadLetter(-3) })).toMatchObject({
      ...{ state: "dead_letter", stopped_by: shown },
      detail: `given up (exhausted: answered with status 500); dead letter 7 has stopped its order key since ${at(-3)}; ${howToContinue}`,
    });
  });

  test.each<[string, Partial<DeliveryFacts>, string]>([
    ["an open circuit", { circuit: { state: "open", openUntil: minutes(1) } as DeliveryFacts["circuit"] }, "stopped"],
    ["a pause of its receiver", { throttle: { since: minutes(-1), until: minutes(4), responseCode: 429 } }, "stopped"],
    ["a disabled installation", { registered: { ...registered, installation: anInstallation({ status: "disabled" }) } }, "disabled"],
  ])("%s besides", (_what, facts, because) => {
    expect(explain({ registered, stop, located: parked(because === "disabled"), ...facts }).parked).toMatchObject({ because });
  });
});

describe("in the queue of an ordered app's", () => {
  const registered = (status: "broken" | "disabled") => ({
    app: anApp({ orderBy: "app", onExhausted: "stop" }),
    installation: anInstallation({ status }),
  });
  const stop = { deliveryId: "dlv_stops", deadLetter: 7, since: minutes(-3) };
  const stopped = `dead letter 7 (delivery dlv_stops) has stopped its order key since ${at(-3)}; replay, resend or delete the dead letter, or set the app's on_exhausted to continue`;

  test.each([
    ["broken", `the integration is broken, and ${stopped}`],
    ["disabled", `the installation is disabled, and ${stopped}`],
  ] as const)("%s installation a stopped delivery is no probe, and waits for both", (status, detail) => {
    const explained = explain({ registered: registered(status), stop, located: parked(true), probeDueAt: minutes(30) });
    expect(explained).toMatchObject({ detail: `parked since ${at(-10)}: ${detail}`, next_attempt_at: null, parked: { because: status } });
  });

  test("broken installation the oldest need not be the probe", () => {
    const { detail, next_attempt_at } = explain({ registered: registered("broken"), located: parked(true), probeDueAt: minutes(30) });
    const which = "a parked delivery that is the next one of its order";
    const wanted = `the integration is broken; ${which} probes it from ${at(30)} on, and a success releases the others`;
    expect([detail, next_attempt_at]).toEqual([`parked since ${at(-10)}: ${wanted}`, null]);
  });
});

test.each<[DeliveryFacts["pace"], string]>([
  [null, "earlier deliveries come first, at most 32 at once (max_in_flight)"],
  [
    { because: "rate_limit", perS: 20, atOnce: null, ahead: 1_200 },
    `it waits for the app's rate limit of 20 a second, behind about 1200 earlier deliveries; its turn comes at about ${at(1)}`,
  ],
  [
    { because: "pace", perS: 0.5, atOnce: 1, ahead: 0 },
    "it waits for the pace that the app's receiver takes (about 0.5 a second, by its 429 answers), first in its queue",
  ],
  [
    { because: "pace", perS: null, atOnce: 3, ahead: 1 },
    "it waits for the pace that the app's receiver takes (3 at once, by its 429 answers), behind about 1 earlier delivery",
  ],
])("what waits for its turn names the one reason, its rate and when it is about to go: %#", (pace, detail) => {
  expect(explain({ located: parked(false), pace }).detail).toBe(`parked since ${at(-10)}: ${detail}`);
});

describe("while the app is throttled", () => {
  const throttle = { since: minutes(-1), until: minutes(4), responseCode: 429 };
  const detail = new RegExp(`^throttled until ${at(4)}, the receiver answered 429; `);
  const ordered = { registered: { app: anApp({ orderBy: "app" }), installation: anInstallation() } };

  test.each<[string, Partial<DeliveryFacts>]>([
    ["what is parked", { located: parked(false) }],
    ["what is parked with an open circuit", { located: parked(false), circuit: { state: "open", openForMs: 1, openUntil: minutes(2) } }],
    ["what is parked in an order", { located: parked(false, minutes(3)), ...ordered }],
    ["a retry that is due before", { located: retry(-1, 3) }],
    ["the delivery that was answered so", { located: retry(-1, 4) }],
  ])("%s is throttled until then", (_what, facts) => {
    const explained = explain({ ...facts, throttle });
    expect(explained).toMatchObject({
      ...{ state: "throttled", next_attempt_at: at(4), throttled: { until: at(4), response_code: 429 } },
      detail: expect.stringMatching(detail),
    });
    expect(explained.parked?.because ?? "throttled").toBe("throttled");
  });

  test.each<[string, Partial<DeliveryFacts>, string]>([
    ["a retry that is due later", { located: retry(-1, 5) }, "retrying"],
    ["the head of an order that is due later", { located: parked(false, minutes(5)), ...ordered }, "parked"],
    [
      "what waits for its installation",
      { located: parked(true), registered: { app: anApp(), installation: anInstallation({ status: "disabled" }) } },
      "parked",
    ],
    ["what is delivered", { attempts: [attempt(-4, "delivered")] }, "delivered"],
  ])("%s is not", (_what, facts, state) => {
    expect(explain({ ...facts, throttle })).toMatchObject({ state, throttled: { until: at(4) } });
  });
});

test("an installation that is gone is said to be", () => {
  const gone = { registered: { app: undefined, installation: undefined }, located: deadLetter(-4) };
  expect(explain(gone)).toMatchObject({ installation_status: "uninstalled", dead_letter: { sequence: 7, reason: "exhausted" } });
});

import { createNoopMeter } from "@opentelemetry/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attemptLine } from "../../../src/telemetry/attempt-line.ts";
import { createDeliveryObserver, type DeliveryObserverDependencies } from "../../../src/telemetry/delivery-observer.ts";
import { createLog } from "../../../src/telemetry/logger.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { aDelivery, anAttempt, anEvent, anInstallation } from "../../support/builders.ts";
import { eventually } from "../../support/eventually.ts";

function observed({
  level = "info",
  percent = 100,
  ...members
}: { level?: string; percent?: number } & Partial<DeliveryObserverDependencies> = {}) {
  const written: string[] = [];
  const log = createLog(level, { write: (lines: string) => void written.push(lines) });
  const metrics = createMetrics(createNoopMeter());
  metrics.stop();
  const observer = createDeliveryObserver(
    { log, metrics, isDebugged: () => false, evidenceOf: () => ({ request_body: "{}" }), ...members },
    { metricsApps: 2, logDeliveredPercent: percent },
  );
  const lines = (): Array<Record<string, unknown>> => {
    log.flush();
    const texts = written.join("").split("\n").slice(0, -1);
    return texts.map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  return { observer, metrics, log, written, lines };
}

describe("delivery.attempted", () => {
  test("is one line per attempt with all its facts", () => {
    const { observer, lines } = observed();
    observer.attempted(anAttempt({ webhookUrl: "https://hooks.acme.example/in?token=t0ken" }));
    observer.attempted(anAttempt({ outcome: "failed", delivery: aDelivery({ attemptsMade: 1, replay: "r-1" }) }));
    const [delivered, failed] = lines();
    expect(delivered).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      message: "delivery.attempted",
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      span_id: "b7ad6b7169203331",
      app: "acme",
      installation_uuid: anAttempt().installation.uuid,
      organization_id: "42",
      event_id: "evt-1",
      event_type: "issue.created",
      delivery_id: aDelivery().id,
      attempt: 1,
      outcome: "delivered",
      response_code: 200,
      duration_ms: 55,
      webhook_url: "https://hooks.acme.example/in",
    });
    expect(failed).toMatchObject({
      ...{ level: "warn", attempt: 2, outcome: "failed", response_code: 500, error: "answered with status 500", replay: "r-1" },
    });
  });

  test("is JSON whatever ids, addresses and errors are made of", () => {
    const text = fc.string({ unit: "binary" });
    fc.assert(
      fc.property(text, text, text, (id, organizationId, error) => {
        const members = { installation: anInstallation({ organizationId }), error, outcome: "failed", webhookUrl: id } as const;
        const line = attemptLine(anAttempt({ delivery: aDelivery({}, anEvent({ id })), ...members }));
        expect(JSON.parse(`{${line}}`)).toMatchObject({ event_id: id, organization_id: organizationId, error });
      }),
    );
  });

  test("is left out for a share of the delivered, the same on every replica, and for nothing else", () => {
    const deliveries = Array.from({ length: 1_000 }, (_, id) => aDelivery({ id: `dlv_${(id * 7919).toString(16).padStart(8, "0")}` }));
    const logged = (percent: number) => {
      const { observer, lines } = observed({ percent });
      for (const delivery of deliveries) observer.attempted(anAttempt({ delivery }));
      return lines().map((line) => line["delivery_id"]);
    };
    const some = logged(20);
    expect(some.length).toBe(200);
    expect(logged(20)).toEqual(some);
    expect([logged(0).length, logged(100).length]).toEqual([0, 1_000]);
    const { observer, lines } = observed({ percent: 0 });
    for (const delivery of deliveries) observer.attempted(anAttempt({ delivery, outcome: "rejected" }));
    expect(lines()).toHaveLength(1_000);
  });

  test("is not written below the level of the settings", () => {
    const { observer, lines } = observed({ level: "warn" });
    observer.attempted(anAttempt());
    observer.attempted(anAttempt({ outcome: "failed" }));
    expect(lines().map(({ outcome }) => outcome)).toEqual(["failed"]);
  });
});

describe("what is debugged", () => {
  const isDebugged = (app: string): boolean => app === "acme";

  test("is logged whole, whatever level and share say", () => {
    const { observer, lines } = observed({ level: "error", percent: 0, isDebugged });
    observer.attempted(anAttempt());
    observer.stored("parked", aDelivery(), "circuit");
    observer.skipped(aDelivery(), { eventSequence: 5 });
    expect(lines()).toMatchObject([
      { message: "delivery.attempted", level: "info", request_body: "{}" },
      { message: "delivery.stored", level: "debug", stream: "parked", detail: "circuit" },
      { message: "delivery.skipped", level: "info" },
    ]);
  });

  test("leaves others as they were", () => {
    const { observer, lines } = observed({ percent: 0, isDebugged: () => false });
    observer.attempted(anAttempt());
    observer.stored("parked", aDelivery(), "circuit");
    expect(lines()).toEqual([]);
  });
});

test("what leaves the fast path says which trace it belongs to", () => {
  const { observer, lines } = observed();
  const event = anEvent({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" });
  observer.deadLettered("exhausted", aDelivery({ attemptsMade: 9 }, event), { stream: "RETRIES", sequence: 1 });
  expect(lines()).toMatchObject([
    { level: "warn", message: "delivery.stored", stream: "dead-letters", attempts: 9, trace_id: "0af7651916cd43dd8448eb211c80319c" },
  ]);
});

test("lines of a few milliseconds leave together, without being asked for", async () => {
  const { observer, log, written } = observed();
  observer.attempted(anAttempt());
  log.logger.info({}, "x");
  observer.attempted(anAttempt());
  expect(written).toEqual([]);
  await eventually(() => written.length > 0);
  expect(written).toHaveLength(1);
  expect(written[0]?.split("\n").map((line) => line.includes("delivery.attempted"))).toEqual([true, false, true, false]);
});

test("an error leaves at once, with what was logged before it", () => {
  const { observer, log, written } = observed();
  observer.attempted(anAttempt());
  log.logger.error({}, "x");
  expect(written).toHaveLength(1);
  log.logger.fatal({}, "y");
  expect(written).toHaveLength(2);
});

test("the log redacts what is secret by its name", () => {
  const { log, lines } = observed();
  log.logger.info({ client_secret: "s3cret", headers: { authorization: "Bearer t" } }, "x");
  log.verbose.debug({ client_secret: "s3cret", headers: { authorization: "Bearer t" } }, "x");
  expect(lines()).toHaveLength(2);
  expect(JSON.stringify(lines())).not.toMatch(/s3cret|Bearer t/);
});

describe("the metrics of a run", () => {
  test("count each attempt by outcome, and by app for as many apps as the setting says", () => {
    const { observer, metrics } = observed();
    for (const slug of ["a", "b", "c", "d", "a"]) observer.attempted(anAttempt({ app: { ...anAttempt().app, slug }, durationMs: 500 }));
    observer.attempted(anAttempt({ app: { ...anAttempt().app, slug: "b" }, outcome: "failed", durationMs: 500 }));
    const text = metrics.render();
    expect(text).toContain('posthorn_attempts_total{outcome="delivered"} 5\n');
    expect(text).toContain('posthorn_attempts_total{outcome="failed"} 1\n');
    expect(text).toContain('posthorn_app_attempts_total{app="a",outcome="delivered"} 2\n');
    expect(text).toContain('posthorn_app_attempts_total{app="b",outcome="failed"} 1\n');
    expect(text).toContain('posthorn_app_attempts_total{app="_other",outcome="delivered"} 2\n');
    expect(text).toContain('posthorn_app_attempt_seconds_total{app="b"} 1\n');
    expect(text).not.toMatch(/app="[cd]"/);
  });

  test("distinguish the age of a first attempt from that of later ones and of what was parked, and have none of test calls", () => {
    const { observer, metrics } = observed();
    const endedAt = anEvent().publishedAt + 700;
    observer.attempted(anAttempt({ endedAt }));
    observer.attempted(anAttempt({ endedAt, delivery: aDelivery({ attemptsMade: 1 }) }));
    observer.attempted(anAttempt({ endedAt, delivery: aDelivery({ replay: "r-1" }) }));
    observer.attempted(anAttempt({ endedAt, delivery: aDelivery({ replay: "r-2", counted: false }) }));
    for (const attemptsMade of [0, 1]) observer.attempted(anAttempt({ endedAt, delivery: aDelivery({ attemptsMade, firstParkedAt: 1 }) }));
    observer.attempted(anAttempt({ endedAt, delivery: aDelivery({ counted: false, eventSequence: null }) }));
    observer.attempted(anAttempt({ endedAt, outcome: "failed" }));
    const text = metrics.render();
    expect(text).toContain('posthorn_delivery_age_seconds_count{attempt="first"} 1\n');
    expect(text).toContain('posthorn_delivery_age_seconds_count{attempt="later"} 3\n');
    expect(text).toContain('posthorn_delivery_age_seconds_count{attempt="parked"} 2\n');
    expect(text).toContain('posthorn_delivery_age_seconds_bucket{attempt="parked",le="604800"} 2\n');
    expect(text).toContain('posthorn_delivery_age_seconds_bucket{attempt="first",le="0.5"} 0\n');
    expect(text).toContain('posthorn_delivery_age_seconds_bucket{attempt="first",le="1"} 1\n');
  });
});

test("a skip is never silent: it names both messages, and distinguishes a duplicate from a redelivery", () => {
  const { observer, metrics, lines } = observed();
  observer.skipped(aDelivery({ eventSequence: 9 }), { eventSequence: 9 });
  observer.skipped(aDelivery({ eventSequence: 9 }), { eventSequence: 5 });
  const facts = { level: "info", message: "delivery.skipped", delivery_id: aDelivery().id, event_id: "evt-1", event_type: "issue.created" };
  expect(lines()).toMatchObject([
    { ...facts, event_sequence: 9, delivered_event_sequence: 9, why: "redelivered" },
    { ...facts, event_sequence: 9, delivered_event_sequence: 5, why: "duplicate" },
  ]);
  expect(metrics.render()).toContain("posthorn_deliveries_skipped_total 2\n");
  expect(metrics.render()).toContain("posthorn_deliveries_duplicate_total 1\n");
});

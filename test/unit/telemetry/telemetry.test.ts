import { describe, expect, test } from "vitest";
import type { LaneReceipt, TraceHeaders, TracePosition } from "../../../src/delivery/ports.ts";
import type { Event } from "../../../src/model/event.ts";
import { createDeliveryObserver } from "../../../src/telemetry/delivery-observer.ts";
import { createLogger } from "../../../src/telemetry/logger.ts";
import { METRICS } from "../../../src/telemetry/metric-table.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";
import { withoutSecrets } from "../../../src/telemetry/safe-url.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anAttempt, anEvent } from "../../support/builders.ts";

function lines(): { log: ReturnType<typeof createLogger>; read: () => Array<Record<string, unknown>> } {
  const written: string[] = [];
  return {
    log: createLogger("info", { write: (line) => void written.push(line) }),
    read: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe("the log", () => {
  test("has one delivery.attempted line per attempt with all its facts", () => {
    const { log, read } = lines();
    const metrics = createMetrics();
    const observer = createDeliveryObserver(log, metrics);
    observer.attempted(anAttempt({ webhookUrl: "https://hooks.acme.example/in?token=t0ken" }));
    observer.attempted(anAttempt({ outcome: "failed", delivery: aDelivery({ attemptsMade: 1 }) }));
    metrics.stop();
    const [delivered, failed] = read();
    expect(delivered).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
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
    expect(failed).toMatchObject({ level: "warn", attempt: 2, outcome: "failed", response_code: 500, error: "answered with status 500" });
  });

  test("redacts what is secret by its name", () => {
    const { log, read } = lines();
    log.info({ client_secret: "s3cret", headers: { authorization: "Bearer t" } }, "x");
    expect(JSON.stringify(read())).not.toMatch(/s3cret|Bearer t/);
  });
});

describe("metrics", () => {
  test("are rendered in the Prometheus text format, from the table only", () => {
    const metrics = createMetrics();
    const observer = createDeliveryObserver(createLogger("silent"), metrics);
    observer.attempted(anAttempt({ durationMs: 30 }));
    observer.attempted(anAttempt({ outcome: "failed", durationMs: 70_000 }));
    observer.stored("retries", aDelivery(), "");
    metrics.read("posthorn_integrations", () => ({ active: 2, broken: 1 }));
    metrics.read("posthorn_in_flight", () => 3);
    const text = metrics.render();
    metrics.stop();
    expect(text).toContain("# TYPE posthorn_attempts_total counter\n");
    expect(text).toContain('posthorn_attempts_total{outcome="delivered"} 1\n');
    expect(text).toContain('posthorn_attempts_total{outcome="failed"} 1\n');
    expect(text).toContain('posthorn_deliveries_stored_total{lane="retries"} 1\n');
    expect(text).toContain('posthorn_integrations{status="broken"} 1\n');
    expect(text).toContain("posthorn_in_flight 3\n");
    expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="0.025"} 0\n');
    expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="0.05"} 1\n');
    expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="3600"} 2\n');
    expect(text).toContain("posthorn_attempt_duration_seconds_count 2\n");
    for (const line of text.trim().split("\n"))
      expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]+"\})? [0-9.e+-]+)$/);
    for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) expect(Object.keys(METRICS)).toContain(name);
  });
});

describe("tracing without the SDK", () => {
  const tracing = createTracing(false, { version: "1.2.3", prefix: "app-platform" });
  const message = { subject: "", consumer: "", sequence: 1, deliveries: 1, header: () => undefined };
  const positionOf = (event: Event): Promise<TracePosition> => tracing.process(event, "events", message, async (position) => position);

  test("goes on with the publisher's trace, a new span for every attempt", async () => {
    const event = anEvent({ traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=1" });
    const span = await positionOf(event);
    const attempts = [1, 2].map((attempt) => tracing.attempt(span, aDelivery(), attempt, "https://x.example"));
    for (const { traceId, traceparent, spanId, tracestate } of attempts) {
      expect(traceId).toBe("0af7651916cd43dd8448eb211c80319c");
      expect(traceparent).toBe(`00-${traceId}-${spanId}-01`);
      expect(tracestate).toBe("a=1");
    }
    expect(new Set([span.spanId, ...attempts.map(({ spanId }) => spanId)]).size).toBe(3);
  });

  test("starts an unsampled trace where there is none", async () => {
    const positions = await Promise.all(Array.from({ length: 2_000 }, () => positionOf(anEvent())));
    for (const { traceparent } of positions) expect(traceparent).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/);
    expect(new Set(positions.map(({ traceId }) => traceId)).size).toBe(2_000);
  });

  test("hands what is stored the trace it belongs to", async () => {
    const headers = { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: null };
    const delivery = aDelivery({}, anEvent(headers));
    const given: Array<string | null> = [];
    const store = async ({ traceparent }: TraceHeaders): Promise<LaneReceipt> => {
      given.push(traceparent);
      return { subject: "", sequence: 1, messageId: "" };
    };
    await tracing.process(delivery.event, "events", message, (span) =>
      tracing.deliver(span, delivery, (inner) => tracing.store(inner, "retries", delivery, "", store)),
    );
    await tracing.batch("replay", (batch) => batch.store("retries", delivery, "", store));
    await tracing.publish(headers, "", "", async ({ traceparent }) => given.push(traceparent));
    expect(given).toEqual([headers.traceparent, headers.traceparent, headers.traceparent]);
  });
});

test.each([
  ["https://hooks.example/in?token=t0ken", "https://hooks.example/in"],
  ["https://hooks.example/in#t0ken", "https://hooks.example/in"],
  ["https://user:t0ken@hooks.example/in?t0ken", "https://REDACTED:REDACTED@hooks.example/in"],
  ["https://hooks.example/@t0ken", "https://hooks.example/@t0ken"],
  ["https://hooks.example", "https://hooks.example"],
])("the URL %s is shown as %s", (url, shown) => {
  expect(withoutSecrets(url)).toBe(shown);
});

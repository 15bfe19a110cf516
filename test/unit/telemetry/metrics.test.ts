import { createNoopMeter } from "@opentelemetry/api";
import { expect, test } from "vitest";
import { METRICS } from "../../../src/telemetry/metric-table.ts";
import { createMetrics } from "../../../src/telemetry/metrics.ts";

test("metrics are rendered in the Prometheus text format, from the table only", () => {
  const metrics = createMetrics(createNoopMeter());
  const attempts = metrics.counter("posthorn_attempts_total", "delivered");
  attempts.add();
  metrics.counter("posthorn_attempts_total", "delivered").add(2);
  metrics.counter("posthorn_app_attempts_total", "acme", "failed").add();
  const duration = metrics.histogram("posthorn_attempt_duration_seconds");
  for (const seconds of [0.03, 70]) duration.observe(seconds);
  metrics.read("posthorn_integrations", () => ({ active: 2, broken: 1 }));
  metrics.read("posthorn_in_flight", () => 3);
  const text = metrics.render();
  metrics.stop();
  expect(text).toContain("# TYPE posthorn_attempts_total counter\n");
  expect(text).toContain('posthorn_attempts_total{outcome="delivered"} 3\n');
  expect(text).toContain('posthorn_app_attempts_total{app="acme",outcome="failed"} 1\n');
  expect(text).toContain('posthorn_integrations{status="broken"} 1\n');
  expect(text).toContain("posthorn_in_flight 3\n");
  expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="0.025"} 0\n');
  expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="0.05"} 1\n');
  expect(text).toContain('posthorn_attempt_duration_seconds_bucket{le="3600"} 2\n');
  expect(text).toContain("posthorn_attempt_duration_seconds_count 2\n");
  for (const line of text.trim().split("\n"))
    expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{[a-z]+="[^"]+"(,[a-z]+="[^"]+")*\})? [0-9.e+-]+)$/);
  for (const [, name] of text.matchAll(/^# TYPE (\S+)/gm)) expect(Object.keys(METRICS)).toContain(name);
});

/** Keys that come from outside may have the names that every object has of itself. */
import { metrics as openTelemetry } from "@opentelemetry/api";
import fc from "fast-check";
import { expect, test } from "vitest";
import { classify } from "../../src/delivery/classify.ts";
import { createHeaderBuilder } from "../../src/delivery/headers.ts";
import { readEvent } from "../../src/model/event-reader.ts";
import { decodeBatch, encodeBatch } from "../../src/model/fan-out-batch.ts";
import { createRegistryIndex } from "../../src/registry/registry-index.ts";
import { logRow } from "../../src/storage/log-row.ts";
import { createAppCounters } from "../../src/telemetry/app-counters.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { aDelivery, anApp, anAttempt, anEvent, anInstallation, storedAndRead } from "../support/builders.ts";
import { cases, nothingIsPolluted } from "../support/fuzz.ts";
import { PROTOTYPE_NAMES } from "../support/prototype-names.ts";

const name = fc.constantFrom(...PROTOTYPE_NAMES);
/** As many as a JSON object can have as members of its own. */
const headerNames = PROTOTYPE_NAMES.filter((one) => one !== "__proto__");

test("a fan-out batch keeps every target of every app", () => {
  const targets = fc.array(fc.record({ app: fc.oneof(name, fc.constant("acme")), uuid: fc.uuid() }), { minLength: 1 });
  fc.assert(
    fc.property(targets, (given) => {
      const chunk = { event: anEvent(), eventSequence: 7, targets: given };
      const decoded = decodeBatch(encodeBatch(chunk));
      const sorted = (all: typeof given) => all.map(({ app, uuid }) => `${app} ${uuid}`).sort();
      expect(sorted([...decoded.targets])).toEqual(sorted(given));
    }),
    cases(),
  );
});

test("an event is read and stored whatever its id, organization, project, header and data are called", () => {
  fc.assert(
    fc.property(name, name, name, name, (id, organization, header, key) => {
      const body = `{"id":"${id}","organization_id":"${organization}","project_id":"${key}","data":{"${key}":{"${id}":1.0}},"${header}":1}`;
      const headers = new Map([[header.toLowerCase(), "x"]]);
      const found = readEvent({
        ...{ resource: "constructor", action: "__proto__", fallbackId: "S:1", storedAt: 0 },
        ...{ body: Buffer.from(body), header: (one: string) => headers.get(one) },
      });
      if (!found.ok) throw new Error(found.problem);
      expect(found.event).toMatchObject({ id, organizationId: organization, projectId: key, dataJson: `{"${key}":{"${id}":1.0}}` });
      expect(storedAndRead(found.event)).toEqual(found.event);
    }),
    cases(),
  );
  expect(nothingIsPolluted()).toBe(true);
});

test("the registry finds what was put in, and nothing else", () => {
  const index = createRegistryIndex();
  for (const slug of PROTOTYPE_NAMES) {
    expect([index.app(slug), index.installation(slug), index.installationsOf(slug)]).toEqual([undefined, undefined, []]);
    index.putApp(anApp({ slug }));
    index.putInstallation(anInstallation({ app: slug, uuid: slug, organizationId: slug }));
    expect(index.match(anEvent({ organizationId: slug })).map(({ app }) => app)).toEqual([slug]);
  }
});

test("custom headers and a receiver's headers are only what they say", () => {
  const headers = Object.fromEntries(headerNames.map((one) => [one, `value of ${one}`]));
  const app = anApp({ headers });
  const sent = createHeaderBuilder({ prefix: "Sentry-Hook", userAgent: "x" })({
    ...{ delivery: aDelivery(), app, requestId: "r", timestampS: 1, signatures: { vendor: "v", standard: "s" } },
    trace: { traceId: "t", spanId: "s", traceparent: "p", tracestate: null },
  });
  expect(Object.entries(sent).filter(([one]) => headerNames.includes(one))).toEqual(Object.entries(headers));
  const row = JSON.parse(logRow(anAttempt({ app, outcome: "failed", responseCode: 500, error: "no", requestHeaders: sent })));
  for (const one of headerNames) expect(row.request_headers[one]).toBe("[redacted]");
  const answered = { kind: "answered", status: 503, headers: {}, body: null, bodySize: 0 } as const;
  expect(classify(answered, anApp(), 0)).toMatchObject({ outcome: "failed", retryAfterMs: null });
});

test("metrics count an app under its own name", () => {
  const metrics = createMetrics(openTelemetry.getMeter("test"));
  const counters = createAppCounters(metrics, 100);
  for (const app of PROTOTYPE_NAMES) counters.attempted(app, "delivered", 1_000);
  metrics.read("posthorn_parked_messages", () => Object.fromEntries(PROTOTYPE_NAMES.map((app) => [app, 3])));
  const lines = metrics.render().split("\n");
  metrics.stop();
  for (const app of PROTOTYPE_NAMES) {
    expect(lines).toContain(`posthorn_app_attempts_total{app="${app}",outcome="delivered"} 1`);
    expect(lines).toContain(`posthorn_parked_messages{app="${app}"} 3`);
  }
});

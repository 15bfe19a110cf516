import { describe, expect, test } from "vitest";
import type { StoredMessageRef } from "../../../src/delivery/ports.ts";
import type { TracePosition } from "../../../src/delivery/tracing-ports.ts";
import type { Event } from "../../../src/model/event.ts";
import { withoutSecrets } from "../../../src/model/redaction/safe-url.ts";
import type { TraceHeaders } from "../../../src/model/trace-context.ts";
import { natsServerAttributes, redisServerAttributes } from "../../../src/telemetry/span-attributes.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anEvent } from "../../support/builders.ts";

describe("tracing without the SDK", () => {
  const tracing = createTracing(null);
  const message = { subject: "", consumer: "", sequence: 1, deliveries: 1, header: () => undefined };
  const positionOf = (event: Event): Promise<TracePosition> => tracing.process(event, "events", message, async (position) => position);

  test("continues the publisher's trace, a new span for every attempt", async () => {
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
    const store = async ({ traceparent }: TraceHeaders): Promise<StoredMessageRef> => {
      given.push(traceparent);
      return { subject: "", sequence: 1, messageId: "", isDuplicate: false };
    };
    await tracing.process(delivery.event, "events", message, (span) =>
      tracing.deliver(span, delivery, (inner) => tracing.store(inner, "retries", delivery, "", store)),
    );
    await tracing.batch("replay", (batch) => batch.store("retries", delivery, "", store));
    const storeParts = async ({ traceparent }: TraceHeaders): Promise<number> => given.push(traceparent);
    await tracing.fanOut(headers, delivery.event, storeParts);
    await tracing.batch("replay", (batch) => batch.fanOut(delivery.event, storeParts));
    await tracing.publish(headers, "", "", async ({ traceparent }) => given.push(traceparent));
    expect(given).toEqual(Array.from({ length: 5 }, () => headers.traceparent));
  });
});

test("the NATS server of a span is the one that the connection is on", () => {
  let current = "";
  const attributes = natsServerAttributes(() => current);
  expect(attributes()).toEqual({});
  current = "nats-1.example:4222";
  const first = attributes();
  expect(first).toEqual({ "server.address": "nats-1.example", "server.port": 4222 });
  expect(attributes()).toBe(first);
  current = "[2001:db8::1]:4223";
  expect(attributes()).toEqual({ "server.address": "2001:db8::1", "server.port": 4223 });
});

test.each([
  ["redis://user:s3cret@redis.example:6380/1", { "server.address": "redis.example", "server.port": 6380 }],
  ["rediss://[::1]", { "server.address": "::1", "server.port": 6379 }],
  [null, {}],
])("the Redis server of a span is that of the settings: %s", (url, attributes) => {
  expect(redisServerAttributes(url)).toEqual(attributes);
});

test.each([
  ["https://hooks.example/in?token=t0ken", "https://hooks.example/in"],
  ["https://hooks.example/in#t0ken", "https://hooks.example/in"],
  ["https://user:t0ken@hooks.example/in?t0ken", "https://REDACTED:REDACTED@hooks.example/in"],
  ["https://hooks.example/@t0ken", "https://hooks.example/REDACTED"],
  ["https://hooks.example", "https://hooks.example"],
])("the URL %s is shown as %s", (url, shown) => {
  expect(withoutSecrets(url)).toBe(shown);
});

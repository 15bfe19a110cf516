import { createHmac } from "node:crypto";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { createEnvelopeBuilder, startOfBody, type WebhookBody } from "../../../src/delivery/envelope.ts";
import { createHeaderBuilder } from "../../../src/delivery/headers.ts";
import { sign } from "../../../src/delivery/signature.ts";
import type { Event } from "../../../src/model/event.ts";
import { aDelivery, anApp, anEvent, bytesOf, SECRET, UUID } from "../../support/builders.ts";

const defaultActor = '{"type":"application","id":"sentry","name":"Sentry"}';
const trace = {
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
  tracestate: null,
};

describe("the body", () => {
  const envelope = createEnvelopeBuilder(defaultActor);
  const body = (event: Event, uuid: string): Buffer => bytesOf(envelope(event, uuid));

  test("has action, installation, data and actor in that order, as published", () => {
    const event = anEvent({ dataJson: '{"z":1.0,"a":12345678901234567890,"u":"Grüße 🚀"}', actorJson: '{"type":"user","id":71}' });
    expect(body(event, UUID).toString("utf8")).toBe(
      `{"action":"created","installation":{"uuid":"${UUID}"},"data":{"z":1.0,"a":12345678901234567890,"u":"Grüße 🚀"},"actor":{"type":"user","id":71}}`,
    );
  });

  /** docs/migrate.md names them: a text that is made of the parsed body is another, and so would be its signature. */
  test.each(['{"name":"Zo\\u00eb"}', '{"n":1e3}', '{"b":1,"2":2,"1":3}', '{ "a" : "\\/" }', '{"a":1,"a":2}'])(
    "has %s as it was published",
    (dataJson) => {
      expect(body(anEvent({ dataJson }), UUID).toString()).toContain(`"data":${dataJson},`);
      expect(JSON.stringify(JSON.parse(dataJson))).not.toBe(dataJson);
    },
  );

  test("has the default actor where the event names none", () => {
    expect(body(anEvent({ dataJson: "{}" }), UUID).toString()).toBe(
      `{"action":"created","installation":{"uuid":"${UUID}"},"data":{},"actor":${defaultActor}}`,
    );
  });

  test("of one event differs only in the installation", () => {
    const event = anEvent();
    const other = "ffffffff-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
    expect(body(event, other).toString()).toBe(body(event, UUID).toString().replace(UUID, other));
  });

  test("BODY-1: of a failed attempt is shown from its start, without a copy of the whole", () => {
    const event = anEvent({ dataJson: `{"text":"${"x".repeat(1_000_000)}"}` });
    const start = startOfBody(envelope(event, UUID));
    expect(start.length).toBeLessThan(5_000);
    expect(body(event, UUID).subarray(0, start.length).equals(start)).toBe(true);
  });

  test("BODY-1: of one event is the same bytes for all installations, however many other events come in between", () => {
    const events = Array.from({ length: 100 }, () => anEvent());
    const first = events.map((event) => envelope(event, UUID).tail);
    const later = events.map((event) => envelope(event, UUID).tail);
    expect(later.every((tail, at) => tail === first[at])).toBe(true);
  });
});

function inParts(text: string): WebhookBody {
  return { head: text.slice(0, 1), tail: Buffer.from(text.slice(1)) };
}

describe("the signatures", () => {
  test("are right for an independent verifier, for any body", () => {
    const verifier = new Webhook(Buffer.from(SECRET).toString("base64"));
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue()), (data) => {
        const text = JSON.stringify(data);
        const body = Buffer.from(text);
        const nowMs = Date.now();
        const timestampS = Math.floor(nowMs / 1000);
        const { standard, vendor } = sign(anApp(), "dlv_1", timestampS, inParts(text), nowMs);
        const headers = { "webhook-id": "dlv_1", "webhook-timestamp": String(timestampS), "webhook-signature": standard };
        expect(verifier.verify(body, headers)).toEqual(JSON.parse(body.toString()));
        expect(vendor).toBe(createHmac("sha256", SECRET).update(body).digest("hex"));
      }),
    );
  });

  test("are two while a rotated secret is valid, and one afterwards", () => {
    const old = "f".repeat(64);
    const app = anApp({ previousSecret: { value: old, validUntil: 2_000_000 } });
    const body = inParts("{}");
    const during = sign(app, "dlv_1", 1_999, body, 1_999_999).standard.split(" ");
    const expected = (secret: string, timestamp: number): string =>
      `v1,${createHmac("sha256", secret).update(`dlv_1.${timestamp}.{}`).digest("base64")}`;
    expect(during).toEqual([expected(SECRET, 1_999), expected(old, 1_999)]);
    expect(sign(app, "dlv_1", 2_000, body, 2_000_000).standard).toBe(expected(SECRET, 2_000));
  });
});

describe("the headers", () => {
  const build = createHeaderBuilder({ prefix: "Sentry-Hook", userAgent: "Posthorn/1.2.3" });
  const facts = {
    delivery: aDelivery(),
    app: anApp(),
    requestId: "c".repeat(32),
    timestampS: 1_767_607_872,
    signatures: { vendor: "ab", standard: "v1,cd" },
    trace,
  };

  test("are the contract's", () => {
    expect(build(facts)).toEqual({
      "Content-Type": "application/json",
      "User-Agent": "Posthorn/1.2.3",
      "Request-ID": "c".repeat(32),
      "Sentry-Hook-Resource": "issue",
      "Sentry-Hook-Timestamp": "1767607872",
      "Sentry-Hook-Signature": "ab",
      "webhook-id": facts.delivery.id,
      "webhook-sequence": "7",
      "webhook-timestamp": "1767607872",
      "webhook-signature": "v1,cd",
      traceparent: trace.traceparent,
    });
  });

  test("carry the tracestate when there is one", () => {
    expect(build({ ...facts, trace: { ...trace, tracestate: "a=1" } })["tracestate"]).toBe("a=1");
  });

  test("carry custom ones, which never override Posthorn's own, in whatever case", () => {
    const custom = {
      "X-Team": "blue",
      "content-type": "text/plain",
      "WEBHOOK-ID": "forged",
      "sentry-hook-signature": "forged",
      "Sentry-Hook-Anything": "forged",
      Traceparent: "forged",
      Host: "elsewhere.example",
      "Transfer-Encoding": "chunked",
    };
    const headers = build({ ...facts, app: anApp({ headers: custom }) });
    expect(headers).toEqual({ ...build(facts), "X-Team": "blue" });
  });

  test("have the vendor's names from a setting", () => {
    const headers = createHeaderBuilder({ prefix: "Acme-Event", userAgent: "x" })(facts);
    expect(Object.keys(headers).filter((name) => name.startsWith("Acme-Event"))).toEqual([
      "Acme-Event-Resource",
      "Acme-Event-Timestamp",
      "Acme-Event-Signature",
    ]);
    expect(Object.keys(headers).some((name) => name.startsWith("Sentry-Hook"))).toBe(false);
  });
});

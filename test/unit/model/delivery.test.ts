import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { patternCovers } from "../../../src/model/app.ts";
import { dedupKeyOf } from "../../../src/model/delivery.ts";
import { decodeDeliveryMessage, encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import { aDelivery, anEvent, UUID } from "../../support/builders.ts";

test("a replay has a dedup key of its own", () => {
  expect(dedupKeyOf(aDelivery())).toBe(aDelivery().id);
  expect(dedupKeyOf(aDelivery({ replay: "r-1" }))).toBe(`${aDelivery().id}:r-1`);
});

describe("a stream message", () => {
  test("brings back the whole delivery, with data and actor as published", () => {
    const event = anEvent({
      dataJson: '{"z":1.0,"big":12345678901234567890,"s":"é"}',
      actorJson: '{"id":1.50}',
      source: "/shop",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      tracestate: "a=1",
      installationUuid: UUID,
      app: "acme",
      projectId: "7",
    });
    const attempts = [
      { attempt: 1, at: "2026-01-05T10:11:12.345Z", outcome: "failed" as const, responseCode: 500, durationMs: 12.5, error: "no" },
    ];
    const delivery = aDelivery(
      {
        attemptsMade: 1,
        spent: { failure: 0, refusal: 1, own_fault: 2 },
        attempts,
        replay: "r-1",
        counted: false,
        firstParkedAt: Date.UTC(2026, 0, 5),
      },
      event,
    );
    const message = { delivery, dueAt: Date.UTC(2026, 0, 6), delayMs: 30_000, notBefore: true };
    expect(decodeDeliveryMessage(encodeDeliveryMessage(message, { reason: "exhausted" }))).toEqual(message);
  });

  test("of an earlier version has spent all its attempts as failures", () => {
    const wire = JSON.parse(encodeDeliveryMessage({ delivery: aDelivery({ attemptsMade: 3 }), dueAt: null, delayMs: 0, notBefore: false }));
    const { delivery } = decodeDeliveryMessage(JSON.stringify({ ...wire, spent: undefined }));
    expect(delivery.spent).toEqual({ failure: 3, refusal: 0, own_fault: 0 });
  });

  test("round trips for any data", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(), (data, attemptsMade) => {
        const message = {
          delivery: aDelivery({ attemptsMade }, anEvent({ dataJson: JSON.stringify(data) })),
          dueAt: null,
          delayMs: 0,
          notBefore: false,
        };
        expect(decodeDeliveryMessage(encodeDeliveryMessage(message))).toEqual(message);
      }),
    );
  });

  test.each([
    ["", /^message: not valid JSON \(.*\), wanted an object$/],
    ["null", "message: found null, wanted an object"],
    ['["event"]', "message: found an array, wanted an object"],
    ['"event"', "message: found a string, wanted an object"],
    ["{}", "attempts_made: found nothing, wanted a number"],
    ['{"attempts_made":1,"delivery_id":1}', "delivery_id: found a number, wanted a string"],
  ])("%s is none", (text, problem) => {
    expect(() => decodeDeliveryMessage(text)).toThrow(problem);
  });

  test.each([
    [{ attempts_made: null }, "attempts_made: found null, wanted a number"],
    [{ attempts: {} }, "attempts: found an object, wanted an array"],
    [{ attempts: [null] }, "attempts[0]: found null, wanted an object"],
    [{ attempts: [{ attempt: "1" }] }, "attempts[0].attempt: found a string, wanted a number"],
    [{ first_parked_at: "soon" }, 'first_parked_at: found "soon", wanted a time'],
    [{ event: [] }, "event: found an array, wanted an object"],
    [{ event: { id: "e" } }, "event.data: found nothing, wanted an object"],
    [{ event: { data: [] } }, "event.data: found an array, wanted an object"],
    [{ event: { data: {}, resource: false } }, "event.resource: found a boolean, wanted a string"],
  ])("with %o it names the member, what was found and what was wanted", (changed, problem) => {
    const message = { delivery: aDelivery(), dueAt: null, delayMs: 0, notBefore: false };
    const wire = { ...(JSON.parse(encodeDeliveryMessage(message)) as object), ...changed };
    expect(() => decodeDeliveryMessage(JSON.stringify(wire))).toThrow(problem);
  });
});

test.each([
  ["*", true],
  ["issue", true],
  ["issue.*", true],
  ["issue.created", true],
  ["issue.resolved", false],
  ["comment", false],
  ["comment.*", false],
  ["iss", false],
])("pattern %s covers issue.created: %s", (pattern, covers) => {
  expect(patternCovers(pattern, "issue", "issue.created")).toBe(covers);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { patternCovers } from "../../../src/model/app.ts";
import { dedupKeyOf } from "../../../src/model/delivery.ts";
import { decodeDeliveryMessage, encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import { failsCircuit, OUTCOME_RULES, outcomeOfStatus } from "../../../src/model/outcome.ts";
import { aDelivery, anEvent, UUID } from "../../support/builders.ts";

test("a replay has a mark of its own", () => {
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
    const delivery = aDelivery({ attemptsMade: 1, attempts, replay: "r-1", counted: false, firstParkedAt: Date.UTC(2026, 0, 5) }, event);
    const message = { delivery, dueAt: Date.UTC(2026, 0, 6), delayMs: 30_000, notBefore: true };
    expect(decodeDeliveryMessage(encodeDeliveryMessage(message, { reason: "exhausted" }))).toEqual(message);
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

  test.each(["", "{}", "null", '{"delivery_id":1}', '{"event":{}}'])("%s is none", (text) => {
    expect(() => decodeDeliveryMessage(text)).toThrow();
  });
});

describe("outcomes", () => {
  const expected = (status: number): string => {
    if (status >= 200 && status < 300) return "delivered";
    if (status === 410) return "gone";
    if ([408, 425, 429].includes(status) || status >= 500) return "failed";
    return "rejected";
  };

  test("every status has the outcome of the table", () => {
    for (let status = 200; status < 600; status++) expect([status, outcomeOfStatus(status)]).toEqual([status, expected(status)]);
  });

  test("what is counted, and what comes next", () => {
    expect(
      Object.fromEntries(Object.entries(OUTCOME_RULES).map(([outcome, rule]) => [outcome, `${rule.countedAs}, ${rule.next}`])),
    ).toEqual({
      delivered: "success, done",
      gone: "fatal, dead-letter",
      failed: "error, retry",
      rejected: "error, dead-letter",
      timed_out: "timeout, retry",
      unreachable: "error, retry",
      blocked: "error, dead-letter",
    });
  });

  test("only what says that the receiver is down fails the circuit", () => {
    expect([
      failsCircuit("failed", 500),
      failsCircuit("failed", 503),
      failsCircuit("timed_out", 0),
      failsCircuit("unreachable", 0),
    ]).toEqual([true, true, true, true]);
    expect([
      failsCircuit("failed", 429),
      failsCircuit("failed", 408),
      failsCircuit("rejected", 404),
      failsCircuit("gone", 410),
      failsCircuit("blocked", 0),
      failsCircuit("delivered", 200),
    ]).toEqual(Array.from({ length: 6 }, () => false));
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

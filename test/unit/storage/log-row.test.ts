import { describe, expect, test } from "vitest";
import { type LogRow, logRow } from "../../../src/storage/log-row.ts";
import { aDelivery, anApp, anAttempt, SECRET, UUID } from "../../support/builders.ts";

const row = (members: Parameters<typeof anAttempt>[0] = {}): LogRow => JSON.parse(logRow(anAttempt(members))) as LogRow;

test("a delivered attempt has the contract's members in the contract's order", () => {
  const found = row();
  expect(Object.keys(found)).toEqual([
    ...["date", "event_type", "event_id", "delivery_id", "installation_uuid", "organization_id", "webhook_url"],
    ...["attempt", "response_code", "outcome", "duration_ms", "trace_id"],
  ]);
  expect(found).toMatchObject({
    date: "2026-01-05T10:11:12.345Z",
    event_type: "issue.created",
    event_id: "evt-1",
    installation_uuid: UUID,
    organization_id: "42",
    attempt: 1,
    response_code: 200,
    outcome: "delivered",
    duration_ms: 55,
  });
});

test("a delivered attempt has request and response if they are kept, and those of a test call always are", () => {
  const whole = {
    request_headers: { "Content-Type": "application/json" },
    request_body: '{"action":"created"}',
    response_body: "ok",
    error: null,
  };
  expect(JSON.parse(logRow(anAttempt(), true))).toMatchObject(whole);
  expect(JSON.parse(logRow(anAttempt(), true))).not.toHaveProperty("response_headers");
  const testCall = aDelivery({ counted: false, eventSequence: null });
  expect(row({ delivery: testCall })).toMatchObject({ ...whole, response_headers: { "content-type": "text/plain" } });
  expect(row({ delivery: testCall, outcome: "timed_out", responseCode: 0, responseHeaders: null })).toMatchObject({
    response_headers: null,
  });
});

test("response headers have no secrets, and are cut to 4096 characters", () => {
  const delivery = aDelivery({ counted: false, eventSequence: null });
  const responseHeaders = { "x-echo": `Bearer ${SECRET}`, "set-cookie": ["a=1", "b=2"], "x-long": "y".repeat(5_000), "x-next": "1" };
  const { response_headers: shown } = row({ delivery, responseHeaders });
  expect(shown).toMatchObject({ "x-echo": "Bearer [redacted]", "set-cookie": "[redacted]" });
  expect(JSON.stringify(shown).length).toBeLessThan(4_200);
});

test("an internal app's row leaves out the organization", () => {
  expect(row({ app: anApp({ status: "internal" }) })).not.toHaveProperty("organization_id");
});

test("the receiver's error id and project are there together or not at all", () => {
  expect(row({ errorId: "e1", projectId: "p1" })).toMatchObject({ error_id: "e1", project_id: "p1" });
  expect(row({ errorId: "e1", projectId: null })).not.toHaveProperty("error_id");
});

describe("an attempt that was not delivered", () => {
  test("has what was sent, what came back and why", () => {
    expect(row({ outcome: "failed", responseBody: Buffer.from("no") })).toMatchObject({
      response_code: 500,
      outcome: "failed",
      request_headers: { "Content-Type": "application/json" },
      request_body: '{"action":"created"}',
      response_body: "no",
      error: "answered with status 500",
    });
  });

  test("has null for a response that never came and text for an empty one", () => {
    expect(row({ outcome: "timed_out", responseCode: 0, responseBody: null }).response_body).toBeNull();
    expect(row({ outcome: "failed", responseBody: Buffer.alloc(0) }).response_body).toBe("");
  });

  test("survives a response that is no text", () => {
    expect(row({ outcome: "failed", responseBody: Buffer.from([0xff, 0x00, 0x41]) }).response_body).toBe("\ufffd\u0000A");
  });
});

describe("nothing secret gets into a row", () => {
  const app = anApp({
    headers: { Authorization: "Bearer abcdef-0123", "X-Short": "1" },
    previousSecret: { value: "e".repeat(64), validUntil: 0 },
  });
  const failed = row({
    app,
    outcome: "failed",
    requestHeaders: { "Content-Type": "application/json", Authorization: "Bearer abcdef-0123", "X-Short": "1" },
    requestBody: () => Buffer.from(`{"leak":"${SECRET}"}`),
    webhookUrl: "https://hooks.acme.example/in?key=s3cr%2Bet",
    responseBody: Buffer.from(`you sent Bearer abcdef-0123 and ${"e".repeat(64)}, 1 time, to /in?key=s3cr%2Bet (s3cr+et)`),
  });

  test("values of custom headers are redacted, short ones too", () => {
    expect(failed.request_headers).toEqual({ "Content-Type": "application/json", Authorization: "[redacted]", "X-Short": "[redacted]" });
  });

  test("what the receiver echoes is redacted", () => {
    expect(failed.response_body).toBe("you sent [redacted] and [redacted], [redacted] time, to /in?[redacted] ([redacted])");
    expect(failed.request_body).toBe('{"leak":"[redacted]"}');
    expect(failed.webhook_url).toBe("https://hooks.acme.example/in");
  });

  test("also where the cut goes through a secret", () => {
    const cut = row({ outcome: "failed", responseBody: Buffer.from(`${"x".repeat(1000)}${SECRET}`) }).response_body ?? "";
    expect(cut).toBe(`${"x".repeat(1000)}[redacted]`);
  });
});

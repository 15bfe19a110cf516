import { describe, expect, test } from "vitest";
import { classify } from "../../../src/delivery/classify.ts";
import type { RetryOn } from "../../../src/model/retry-on.ts";

const answered = (status: number, headers: Record<string, string | string[]> = {}, retryOn: RetryOn | null = null) =>
  classify({ kind: "answered", status, headers, body: null, bodySize: 0 }, { retryOn }, 0);

/** Outcome, what follows, and the receiver's state, in one text. */
const meaning = (...given: Parameters<typeof answered>): string => meaningOf(answered(...given));

function meaningOf({ outcome, next, receiver }: ReturnType<typeof classify>): string {
  const follows =
    next.kind === "retry" ? `retry after a ${next.because}` : next.kind === "dead-letter" ? `dead letter: ${next.reason}` : next.kind;
  return `${outcome}, ${follows}, ${receiver}`;
}

const DELIVERED = "delivered, done, up";
const GONE = "gone, dead letter: gone, busy";
const FAILED = "failed, retry after a failure, down";
const BUSY = "failed, retry after a failure, busy";
const PAYLOAD_REFUSED = "rejected, dead letter: rejected, up";
const ENDPOINT_REFUSED = "rejected, retry after a refusal, refusing";

/** docs/design.md 3.5. */
function expected(status: number): string {
  if (status >= 200 && status < 300) return DELIVERED;
  if (status === 410) return GONE;
  if ([408, 425, 429].includes(status)) return BUSY;
  if (status >= 500) return FAILED;
  return [400, 406, 411, 413, 414, 415, 422, 431].includes(status) ? PAYLOAD_REFUSED : ENDPOINT_REFUSED;
}

test("every status has the meaning of the table, and one that HTTP doesn't have is failed", () => {
  for (let status = 200; status < 1_000; status++) expect([status, meaning(status)]).toEqual([status, expected(status)]);
});

test.each([
  ["timed_out", "timed_out, retry after a failure, down"],
  ["unreachable", "unreachable, retry after a failure, down"],
  ["sender_failed", "sender_failed, retry after a own_fault, unknown"],
  ["blocked", "blocked, dead letter: blocked, unknown"],
] as const)("without an answer, %s", (kind, wanted) => {
  const classified = classify({ kind, error: "no" }, { retryOn: ["404"] }, 0);
  expect([meaningOf(classified), classified.responseCode, classified.error]).toEqual([wanted, 0, "no"]);
});

describe("a request for a pause", () => {
  const PAUSE = "failed, pause, busy";

  test.each<[number, string | undefined, string, number | null]>([
    [429, "5", PAUSE, 5_000],
    [503, "5", PAUSE, 5_000],
    [429, "1.5", PAUSE, 2_000],
    [429, "-3", PAUSE, 0],
    [503, "Thu, 01 Jan 1970 00:00:07 GMT", PAUSE, 7_000],
    [429, undefined, BUSY, null],
    [429, "soon", BUSY, null],
    [503, undefined, FAILED, null],
    [503, "", FAILED, null],
    [500, "5", FAILED, null],
    [408, "5", BUSY, null],
    [200, "5", DELIVERED, null],
    [404, "5", ENDPOINT_REFUSED, null],
  ])("is %i with Retry-After %j", (status, value, wanted, pauseMs) => {
    const headers = value === undefined ? {} : { "retry-after": value };
    expect([meaning(status, headers), answered(status, headers).pauseMs]).toEqual([wanted, pauseMs]);
  });

  test("is one whatever the app is retried on, and also with an answer that refuses the delivery for good", () => {
    expect(meaning(429, { "retry-after": "5" }, ["5xx"])).toBe(PAUSE);
    const never = { "retry-after": "5", retry: "never" };
    expect([meaning(429, never), answered(429, never).pauseMs]).toEqual([PAYLOAD_REFUSED, 5_000]);
  });
});

describe("retry_on", () => {
  const RETRIED = "rejected, retry after a failure, refusing";

  test.each<[RetryOn, Record<number, string>]>([
    [["404"], { 200: DELIVERED, 404: RETRIED, 403: PAYLOAD_REFUSED, 400: PAYLOAD_REFUSED, 302: PAYLOAD_REFUSED, 410: GONE }],
    [["4xx"], { 404: RETRIED, 400: RETRIED, 422: RETRIED, 307: PAYLOAD_REFUSED, 429: BUSY, 410: GONE }],
    [["3xx", "422"], { 301: RETRIED, 304: RETRIED, 422: RETRIED, 404: PAYLOAD_REFUSED }],
    [["5xx"], { 500: FAILED, 599: FAILED, 700: FAILED, 404: PAYLOAD_REFUSED }],
    [["503"], { 503: FAILED, 500: "failed, dead letter: rejected, down", 429: "failed, dead letter: rejected, busy" }],
    [[], { 200: DELIVERED, 404: PAYLOAD_REFUSED, 500: "failed, dead letter: rejected, down" }],
  ])("%j replaces the table", (retryOn, wanted) => {
    expect(Object.fromEntries(Object.keys(wanted).map((status) => [status, meaning(Number(status), {}, retryOn)]))).toEqual(wanted);
  });
});

describe("a receiver that says stop", () => {
  test.each([200, 204, 404, 410, 429, 500])("with webhook-delivery: disable and status %i is gone", (status) => {
    expect(meaning(status, { "webhook-delivery": "disable" })).toBe(GONE);
    expect(meaning(status, { "webhook-delivery": ["keep", "Disable "] }, ["5xx"])).toBe(GONE);
  });

  test.each([302, 400, 404, 429, 500, 503])("with retry: never and status %i refuses this delivery", (status) => {
    expect(answered(status, { retry: "never", "retry-after": "5" })).toMatchObject({
      ...{ outcome: "rejected", next: { kind: "dead-letter", reason: "rejected" }, receiver: "up", retryAfterMs: null },
      error: `answered with status ${status} and retry: never`,
    });
    expect(meaning(status, { retry: "NEVER" }, [String(status)])).toBe(PAYLOAD_REFUSED);
  });

  test("says nothing else with other values, and nothing with retry: never and a 2xx or 410", () => {
    expect(meaning(500, { retry: "later", "webhook-delivery": "disabled" })).toBe(FAILED);
    expect(meaning(200, { retry: "never" })).toBe(DELIVERED);
    expect(meaning(410, { retry: "never" })).toBe(GONE);
  });
});

test("a Retry-After counts for every answer that is retried", () => {
  const retryAfter = (status: number, retryOn: RetryOn | null = null) => answered(status, { "retry-after": "7" }, retryOn).retryAfterMs;
  expect([200, 400, 404, 410, 408, 500].map((status) => retryAfter(status))).toEqual([null, null, 7_000, null, 7_000, 7_000]);
  expect([retryAfter(400, ["400"]), retryAfter(500, ["400"])]).toEqual([7_000, null]);
});

describe("a redirect's error", () => {
  test.each([
    ["https://hooks.example/new", "https://hooks.example/new"],
    ["/login", "/login"],
    ["//other.example/", "//other.example/"],
    ["https://user:secret@hooks.example/in?token=secret#secret", "https://[redacted]@hooks.example/in?[redacted]"],
    ["https://hooks.example/#secret", "https://hooks.example/#[redacted]"],
    ["https://hooks.example/\x1b[31m\x9b\u202e\r\nred", "https://hooks.example/[31mred"],
    [`https://hooks.example/${"x".repeat(5_000)}`, `https://hooks.example/${"x".repeat(178)}…`],
  ])("names %j", (location, shown) => {
    expect(answered(302, { location }).error).toBe(`answered with status 302, a redirect to ${shown}, which is not followed`);
  });

  test("names nothing where there is nothing, and of no other answer", () => {
    expect(answered(304).error).toBe("answered with status 304");
    expect(answered(500, { location: "/x" }).error).toBe("answered with status 500");
    expect(answered(201, { location: "/x" }).error).toBeNull();
  });
});

/** Whatever is sent to the API, it answers with a problem or does it, and works on. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { documentedRoutes } from "../../src/api/routes/all-routes.ts";
import { UUID } from "../support/builders.ts";
import { cases, hostileJson, mutated } from "../support/fuzz.ts";
import { type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: PosthornProcess;
let receiver: Receiver;

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  posthorn = await startPosthorn({
    nats,
    redis,
    settings: { POSTHORN_HTTP_RATE_LIMIT: "1000000000", POSTHORN_ENCRYPTION_KEY: "ab".repeat(32) },
  });
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

/** An answer that goes on for ever is read by overview.test.ts. */
const ending = documentedRoutes().filter(({ url }) => !url.endsWith("/live"));
const route = fc.constantFrom(...ending.map(({ method, url }) => ({ method, url })));
const parameter = fc.oneof(
  fc.constantFrom(
    "acme",
    UUID,
    "1",
    "0",
    "-1",
    "__proto__",
    "dlv_00000000000000000000000000000000",
    "%2e%2e",
    "a%00b",
    "a%0D%0AX-Injected%3A%201",
    "constructor",
    "%",
    "x".repeat(400),
  ),
  fc.string().map(encodeURIComponent),
);
const query = fc.oneof(
  fc.constant(""),
  fc
    .dictionary(
      fc.constantFrom(
        "limit",
        "after",
        "app",
        "event_type",
        "start",
        "end",
        "errors_only",
        "since",
        "source",
        "__proto__",
        "constructor",
        "x[y]",
      ),
      fc.oneof(fc.string(), fc.constantFrom("a\r\nb", "constructor", "2026-02-30T00:00:00Z")),
    )
    .map((pairs) => `?${new URLSearchParams(pairs)}`),
  fc.string().map((text) => `?${encodeURI(text)}`),
);
const body = fc.oneof(
  mutated(hostileJson),
  hostileJson,
  fc
    .dictionary(
      fc.constantFrom(
        ...[
          "webhook_url",
          "events",
          "headers",
          "app",
          "organization_id",
          "type",
          "id",
          "data",
          "ttl_s",
          "event_type",
          "dry_run",
          "client_secret",
          "ordered",
        ],
        ...["retry_schedule_s", "timeout_ms", "project_ids", "name", "installation_uuid"],
      ),
      fc.oneof(
        hostileJson.map((json) => JSON.parse(json) as unknown),
        fc.constantFrom<unknown>(
          "http://127.0.0.1:9/",
          "acme",
          "42",
          ["*"],
          {},
          true,
          1,
          "issue.created",
          UUID,
          { "X-A": "b" },
          "🜛",
          "a\r\nb",
          "\ud800",
          "a".repeat(300),
        ),
      ),
    )
    .map((value) => JSON.stringify(value)),
);
const contentType = fc.oneof(
  { weight: 8, arbitrary: fc.constant("application/json") },
  {
    weight: 1,
    arbitrary: fc.constantFrom("application/cloudevents+json", "text/plain", "application/json; charset=utf-16", ""),
  },
);

test("requests of any kind", { timeout: process.env["FUZZ_CASES"] === undefined ? 120_000 : 3_600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(route, parameter, query, body, contentType, async ({ method, url }, value, search, text, type) => {
      const path = url.replace(/:[a-z]+/, value) + search;
      const answered = await posthorn.api(method, path, method === "GET" ? undefined : text, { "content-type": type });
      expect([method, path, text, answered.status]).toEqual([method, path, text, expect.toSatisfy((status: number) => status < 500)]);
      if (answered.status < 400) return;
      expect(answered.headers.get("content-type")).toBe("application/problem+json");
      expect(JSON.stringify(answered.body)).not.toMatch(/node_modules|\.ts:\d+|\\n +at /);
    }),
    cases(0.5),
  );
  expect((await posthorn.api("GET", "/readyz")).status).toBe(200);
  expect(posthorn.errors).toEqual([]);
  expect(posthorn.log.filter(({ message }) => message === "API call failed" || message === "unhandled rejection")).toEqual([]);
});

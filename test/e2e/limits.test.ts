/** What is too much: of requests, of events, and of what comes in disguise. */
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { headers as natsHeaders } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let receiver: Receiver;

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  posthorn = await startPosthornHere({
    nats,
    redis,
    settings: {
      POSTHORN_API_TOKENS: "admin:admin-token-12345,read:read-token-123456",
      POSTHORN_HTTP_MAX_BODY_SIZE: "4KiB",
      POSTHORN_HTTP_MAX_HEADER_SIZE: "2KiB",
      POSTHORN_HTTP_MAX_HEADERS: "20",
      POSTHORN_HTTP_MAX_PAGE_SIZE: "2",
      POSTHORN_HTTP_REQUEST_TIMEOUT: "2s",
      POSTHORN_HTTP_RATE_LIMIT: "600",
      POSTHORN_HTTP_FAILED_AUTH_LIMIT: "5",
      POSTHORN_SECRET_OVERLAP: "1h",
      POSTHORN_MAX_EVENT_SIZE: "2KiB",
      POSTHORN_MAX_EVENT_HEADERS: "10",
      POSTHORN_MAX_EVENT_DEPTH: "5",
      POSTHORN_MAX_EVENT_KEYS: "20",
      POSTHORN_MAX_ID_LENGTH: "40",
      POSTHORN_MAX_NAME_LENGTH: "10",
      POSTHORN_MAX_URL_LENGTH: "60",
      POSTHORN_MAX_APP_EVENTS: "2",
      POSTHORN_MAX_APP_HEADERS: "1",
      POSTHORN_MAX_APP_HEADER_LENGTH: "8",
      POSTHORN_MAX_APP_RETRIES: "3",
      POSTHORN_MAX_PROJECTS: "2",
    },
  });
  bus = await connectBus(nats, posthorn.prefix);
  await call("PUT", "/v1/apps/acme", { webhook_url: receiver.url, events: ["*"] });
  await call("PUT", "/v1/installations/0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f", { app: "acme", organization_id: "42" });
});
afterAll(async () => {
  await bus.close();
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

const call = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  posthorn.api(method, path, body, { authorization: "Bearer admin-token-12345", ...headers });

/** Sends bytes as they are, and reads until the server hangs up. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(posthorn.url).port), "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
  });

const problemOf = (answer: string): { status: number; detail: string } => JSON.parse(answer.split("\r\n\r\n")[1] ?? "{}");

describe("a request", () => {
  test("with a large body is answered with 413", async () => {
    expect((await call("PUT", "/v1/apps/acme", { name: "x".repeat(5_000) })).status).toBe(413);
  });

  test("with large headers is answered with 431", async () => {
    const answer = await raw(`GET /v1/apps HTTP/1.1\r\nHost: x\r\nX-Large: ${"x".repeat(3_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 .*\r\ncontent-type: application\/problem\+json\r\n/);
    expect(problemOf(answer)).toMatchObject({ status: 431, detail: "the headers exceed POSTHORN_HTTP_MAX_HEADER_SIZE" });
  });

  test("with many headers is answered with 431", async () => {
    const many = Object.fromEntries(Array.from({ length: 25 }, (_, n) => [`x-${n}`, "1"]));
    expect((await call("GET", "/v1/apps", undefined, many)).body).toMatchObject({
      status: 431,
      detail: expect.stringMatching(/^found \d+ headers, wanted at most 20 \(POSTHORN_HTTP_MAX_HEADERS\)$/),
    });
  });

  test("that is not finished in time is answered with 408", async () => {
    const answer = await raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    expect([answer.split("\r\n")[0], problemOf(answer).status]).toEqual(["HTTP/1.1 408 Request Timeout", 408]);
  });

  test.each(["GARBAGE\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "\x16\x03\x01\x02\x00\x01"])(
    "that is none is answered with 400: %j",
    async (text) => {
      expect(problemOf(await raw(text))).toMatchObject({ status: 400, detail: "not an HTTP request" });
    },
  );

  test.each([
    ["no Host", "", 400, "Host: found nothing, wanted one"],
    ["two Hosts", "Host: a.example\r\nHost: b.example\r\n", 400, "Host: found 2 of them, wanted one"],
    ["an unknown expectation", "Host: x\r\nExpect: magic\r\n", 417, 'Expect: found "magic", wanted 100-continue or no Expect'],
    ["one like it", "Host: x\r\nExpect: x100-continue\r\n", 417, 'Expect: found "x100-continue", wanted 100-continue or no Expect'],
  ])("with %s is answered with a problem", async (_what, headers, status, detail) => {
    for (const path of ["/v1/apps", "/v1/nothing", "/"]) {
      const answer = await raw(`GET ${path} HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`);
      expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*\\r\\n[^]*content-type: application/problem\\+json\\r\\n`));
      expect([path, problemOf(answer)]).toEqual([path, expect.objectContaining({ status, detail, code: "REQUEST_INVALID" })]);
    }
  });

  test("that expects 100-continue is answered after its body, and one of HTTP/1.0 needs no Host", async () => {
    const continued = await raw(
      "POST /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    );
    expect(continued).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 405 /);
    expect(await raw("GET /healthz HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each(["gzip", "br", "deflate", "gzip, gzip"])("with a body in %s is answered with 415", async (encoding) => {
    const bomb = gzipSync(Buffer.alloc(1_000_000)).toString("latin1");
    expect((await call("POST", "/v1/events", bomb, { "content-encoding": encoding })).body).toMatchObject({
      status: 415,
      detail: `content-encoding: found ${encoding}, wanted an uncompressed body`,
    });
  });

  test("for a list gets no more of it than a page", async () => {
    for (const slug of ["page-1", "page-2"]) await call("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url });
    expect((await call("GET", "/v1/apps")).body).toMatchObject({
      items: [{ slug: "page-2" }, { slug: "page-1" }],
      next: expect.stringMatching(/\.page-1$/),
    });
    for (const list of ["apps", "installations", "dead-letters"]) expect((await call("GET", `/v1/${list}?limit=3`)).status).toBe(400);
  });

  test("without a token is answered with 429 in the end, and one with a token is not", async () => {
    const statuses: number[] = [];
    for (let times = 0; times < 8; times++) statuses.push((await posthorn.api("GET", "/v1/apps")).status);
    expect(new Set(statuses)).toEqual(new Set([401, 429]));
    const limited = await posthorn.api("GET", "/v1/apps", undefined, { authorization: "Bearer wrong" });
    expect(limited.body).toMatchObject({ status: 429, code: "RATE_LIMITED" });
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect((await call("GET", "/v1/apps")).status).toBe(200);
    expect((await posthorn.api("GET", "/healthz")).status).toBe(200);
  });

  test("too many of one token are answered with 429 and a Retry-After, those of another are not", async () => {
    const read = { authorization: "Bearer read-token-123456" };
    const answers: Awaited<ReturnType<typeof call>>[] = [];
    const isLimited = (): boolean => answers.some(({ status }) => status === 429);
    while (!isLimited() && answers.length < 5_000) {
      answers.push(...(await Promise.all(Array.from({ length: 25 }, () => posthorn.api("GET", "/v1/apps", undefined, read)))));
    }
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
    const limited = answers.find(({ status }) => status === 429);
    expect([limited?.headers.get("retry-after"), limited?.body.detail]).toEqual(["1", "too many calls with this token, try again in 1 s"]);
    expect((await call("GET", "/v1/apps")).status).toBe(200);
  });
});

describe("a record", () => {
  const url = "https://hooks.acme.example/in";
  test.each<[object, string]>([
    [{ name: "x".repeat(11) }, "name: found 11 characters, wanted at most 10"],
    [{ webhook_url: `${url}?${"x".repeat(40)}` }, "webhook_url: found 70 characters, wanted at most 60"],
    [{ events: ["a", "b", "c"] }, "events: found 3 patterns, wanted at most 2"],
    [{ headers: { a: "1", b: "2" } }, "headers: found 2 headers, wanted at most 1"],
    [{ headers: { a: "123456789" } }, "headers.a: found 9 characters, wanted at most 8"],
    [{ retry_schedule_s: [1, 1, 1, 1] }, "retry_schedule_s: found 4 delays, wanted at most 3"],
  ])("of an app with too much in %j is refused, and says so", async (members, why) => {
    const { status, body } = await call("PUT", "/v1/apps/large", { webhook_url: url, ...members });
    expect([status, body.detail]).toEqual([400, `app large: ${why}`]);
  });

  test.each<[object, string]>([
    [{ organization_id: "x".repeat(41) }, "organization_id: found 41 characters, wanted at most 40"],
    [{ project_ids: [1, 2, 3] }, "project_ids: found 3 projects, wanted at most 2"],
  ])("of an installation with too much in %j is refused, and says so", async (members, why) => {
    const uuid = "1f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f";
    const { status, body } = await call("PUT", `/v1/installations/${uuid}`, {
      app: "acme",
      organization_id: "42",
      allow_duplicate: true,
      ...members,
    });
    expect([status, body.detail]).toEqual([400, `installation ${uuid}: ${why}`]);
  });
});

describe("an event", () => {
  const invalid = async () => {
    const { body } = await call("GET", "/v1/dead-letters?limit=1");
    const [letter] = body.items as Array<Record<string, unknown> & { sequence: number }>;
    return letter;
  };

  test.each<[string, string | object, Record<string, string>, string]>([
    ["large", { organization_id: "42", data: { text: "x".repeat(3_000) } }, {}, "body: found 3043 bytes, wanted at most 2048"],
    ["long of id", { id: "x".repeat(41), organization_id: "42", data: {} }, {}, "id: found 41 characters, wanted 1 to 40"],
    ["deep", '{"organization_id":"42","data":{"a":[[[[1]]]]}}', {}, "body: found objects and arrays 6 deep, wanted at most 5"],
    [
      "full of keys",
      { organization_id: "42", data: Object.fromEntries(Array.from({ length: 20 }, (_, n) => [n, n])) },
      {},
      "body: found 22 keys, wanted at most 20",
    ],
    [
      "full of headers",
      { organization_id: "42", data: {} },
      Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`x-${n}`, "1"])),
      "headers: found 11, wanted at most 10",
    ],
    [
      "compressed",
      gzipSync('{"organization_id":"42","data":{}}').toString("latin1"),
      { "content-encoding": "gzip" },
      "body: not valid JSON",
    ],
  ])("that is %s goes to dead letters with the reason, once", async (_what, body, given, reason) => {
    const headers = natsHeaders();
    for (const [name, value] of Object.entries(given)) headers.set(name, value);
    await bus.publish("issue.created", body, headers);
    const letter = await eventually(invalid);
    expect(letter).toMatchObject({ reason: "invalid", error: expect.stringContaining(reason) });
    await eventually(async () => {
      const metrics = (await call("GET", "/metrics")).body as string;
      return metrics.includes('posthorn_messages_in_hand{stream="events"} 0');
    });
    const manager = await bus.connection.jetstreamManager();
    const stream = `${posthorn.prefix}_DEAD_LETTERS`.toUpperCase().replaceAll("-", "_");
    expect((await manager.streams.info(stream)).state.messages).toBe(1);
    await manager.streams.purge(stream);
  });

  test("over HTTP is refused with the same reason", async () => {
    const { status, body } = await call("POST", "/v1/events", '{"type":"a.b","organization_id":"42","data":{"a":[[[[1]]]]}}');
    expect([status, body.errors]).toEqual([400, [{ path: "body", message: "found objects and arrays 6 deep, wanted at most 5" }]]);
    expect((await call("POST", "/v1/apps/acme/test", '{"data":{"a":[[[[[1]]]]]}}')).body.errors).toEqual([
      { path: "data", message: "found objects and arrays 6 deep, wanted at most 5" },
    ]);
  });

  test("with names such as __proto__ is delivered as it is, from the bus, over HTTP and by a test call", async () => {
    const data = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"n":1.0}';
    await bus.publish("issue.created", `{"organization_id":"42","data":${data}}`);
    await receiver.waitFor(1);
    await call("POST", "/v1/events", `{"type":"issue.created","organization_id":"42","data":${data}}`);
    await receiver.waitFor(2);
    expect((await call("POST", "/v1/apps/acme/test", `{"data":${data}}`)).body.outcome).toBe("delivered");
    const bodies = (await receiver.waitFor(3)).map(({ body }) => body.toString());
    for (const body of bodies) expect(body).toContain(`"data":${data},"actor":`);
    expect((await call("GET", "/readyz")).status).toBe(200);
  });
});

test("events of an ordered app over the limit of one of two replicas are delivered or dead letters, never lost", async () => {
  // The first is the owner of ordered apps; events are read by both.
  const small = await startPosthornHere({ nats, redis, settings: { POSTHORN_MAX_EVENT_SIZE: "2KiB" } });
  const large = await startPosthornHere({ nats, redis, prefix: small.prefix });
  const { slug } = await small.install({ webhook_url: receiver.url, ordered: true, max_in_flight: 1 });
  const ofPrefix = await connectBus(nats, small.prefix);
  await eventually(async () => (await large.api("GET", `/v1/apps/${slug}`)).status === 200);
  const ids = Array.from({ length: 20 }, (_, n) => `large-${n}`);
  for (const id of ids) await ofPrefix.publish("issue.created", { id, organization_id: "42", data: { text: "x".repeat(3_000) } });
  await ofPrefix.publish("issue.created", { organization_id: "42", data: { is: "last" } });
  await eventually(() => receiver.requests.some(({ body }) => String(body).includes('"last"')));
  const found = async () =>
    (await small.api("GET", "/v1/dead-letters?limit=100")).body.items.map((item: Record<string, string>) => item["error"]);
  await eventually(async () => (await found()).length === ids.length);
  for (const error of await found()) expect(error).toMatch(/^body: found 3\d+ bytes, wanted at most 2048$/);
  await ofPrefix.close();
  await Promise.all([small.end(), large.end()]);
});

test("a rotated secret overlaps for as long as the setting says, with both signatures", async () => {
  const { body } = await call("POST", "/v1/apps/acme/secret/rotate");
  const minutes = (Date.parse(body.previous_valid_until as string) - Date.now()) / 60_000;
  expect(Math.round(minutes)).toBe(60);
  const before = receiver.requests.length;
  await call("POST", "/v1/apps/acme/test");
  const request = (await receiver.waitFor(before + 1)).at(-1);
  expect(request?.headers["webhook-signature"]).toMatch(/^v1,\S+ v1,\S+$/);
});

describe("a webhook URL that is not allowed any more", () => {
  test("is blocked in deliveries and test calls, and can't be saved", async () => {
    const first = await startPosthornHere({ nats, redis });
    const { slug, uuid } = await first.install({ webhook_url: receiver.url });
    expect(await first.end()).toBe(0);
    const second = await startPosthornHere({ nats, redis, prefix: first.prefix, settings: { POSTHORN_TARGET_ALLOW: "" } });
    const own = await connectBus(nats, first.prefix);
    const before = receiver.requests.length;
    const message = "127.0.0.1 is not a public address (POSTHORN_TARGET_ALLOW opens networks)";
    expect((await second.api("POST", `/v1/apps/${slug}/test`)).body).toMatchObject({
      outcome: "blocked",
      response_code: 0,
      error: message,
    });
    await own.publish("issue.created", { organization_id: "42", data: {} });
    const [letter] = await eventually(async () => {
      const { items } = (await second.api("GET", `/v1/dead-letters?app=${slug}`)).body;
      return items.length > 0 && items;
    });
    expect(letter).toMatchObject({ reason: "blocked", error: message, attempts_made: 1 });
    await eventually(async () => {
      const { days } = (await second.api("GET", `/v1/installations/${uuid}/health`)).body;
      return days.at(-1)?.error === 1;
    });
    for (const [path, body] of [
      [`/v1/apps/${slug}`, { webhook_url: receiver.url }],
      ["/v1/installations/0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f", { app: slug, organization_id: "1", webhook_url: receiver.url }],
    ] as const) {
      const { status, body: problem } = await second.api("PUT", path, body);
      expect([status, problem.errors]).toEqual([400, [{ path: "webhook_url", message: `found "${receiver.url}", ${message}` }]]);
    }
    expect(receiver.requests).toHaveLength(before);
    await own.close();
    expect(await second.end()).toBe(0);
  });
});

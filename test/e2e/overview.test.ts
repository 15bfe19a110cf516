/** What the dashboard is fed with: the overview and its changes, stats, the past of the status stream, and the page itself. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createEventReader } from "../../src/web/event-stream.ts";
import type { AppRow, OverviewMessage } from "../../src/web/wire.ts";
import { eventually } from "../support/eventually.ts";
import { createDocumentChecker, type DocumentChecker } from "../support/openapi.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Behaviour, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let receiver: Receiver;
let document: DocumentChecker;
const settings = {
  POSTHORN_API_TOKENS: "admin:admin-token-12345,read:read-token-123456",
  POSTHORN_TRACE_URL: 'https://traces.example/explore?left=["{trace_id}"]',
  POSTHORN_DASHBOARD_URL: "https://ops.example/posthorn/",
};
/** 200, or the status that is the path. */
const asThePathSays: Behaviour = ({ path }, response) => void response.writeHead(Number(path.slice(1)) || 200).end();
const admin = { authorization: "Bearer admin-token-12345" };
const read = { authorization: "Bearer read-token-123456" };

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver(asThePathSays)]);
  posthorn = await startPosthornHere({ nats, redis, settings });
  document = createDocumentChecker((await posthorn.api("GET", "/openapi.json")).body);
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

/** Every answer is held against the document. */
const callsOf =
  (one: () => Posthorn) =>
  async (method: string, path: string, body?: unknown, headers: Record<string, string> = admin) => {
    const answered = await one().api(method, path, body, headers);
    document.check(method, path, answered);
    return answered;
  };
const call = callsOf(() => posthorn);

async function install(app: object = {}): Promise<{ slug: string; uuid: string; organization: string }> {
  const [slug, uuid, organization] = [`app-${randomUUID().slice(0, 8)}`, randomUUID(), randomUUID()];
  expect((await call("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url, events: ["*"], ...app })).status).toBe(201);
  expect((await call("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: organization })).status).toBe(201);
  return { slug, uuid, organization };
}

const rowOf = async (slug: string): Promise<AppRow> => (await call("GET", `/v1/apps/${slug}/overview`, undefined, read)).body.items[0];
const sum = (values: readonly number[] | null): number => (values ?? []).reduce((all, value) => all + value, 0);

/** Answers 429 to more than so many requests a second. */
function takes(perS: number): Behaviour {
  let [second, count] = [0, 0];
  return (_request, response) => {
    const now = Math.floor(Date.now() / 1_000);
    if (now !== second) [second, count] = [now, 0];
    response.writeHead(++count > perS ? 429 : 200).end();
  };
}

// Some ten seconds: the rate is limited only when one attempt at a time has turned out to be too much (PACE-2).
test.concurrent("what waits for its receiver's pace says so, and a rate_limit that is set counts at once", async ({ onTestFinished }) => {
  const own = await startReceiver(takes(5));
  onTestFinished(own.stop);
  const { slug, organization } = await install({ webhook_url: own.url });
  await Promise.all(
    Array.from({ length: 600 }, (_, n) => bus.publish("issue.created", { id: `paced-${n}`, organization_id: organization, data: {} })),
  );
  const waiting = await eventually(async () => (await rowOf(slug)).waiting);
  expect(waiting).toMatchObject({ because: "pace", per_s: expect.any(Number) });
  const parked = async () => (await call("GET", `/v1/deliveries?app=${slug}&state=parked&limit=1`, undefined, read)).body.items[0];
  const found = await eventually(async () => {
    const one = await parked();
    return one.parked.because === "pace" && one.next_attempt_at !== null && one;
  });
  expect(found.detail).toMatch(
    /: it waits for the pace that the app's receiver takes \(about [\d.]+ a second, .* its turn comes at about /,
  );
  own.behave(answer(200));
  expect((await call("PATCH", `/v1/apps/${slug}`, { rate_limit: { per_s: 1_000, burst: 1_000 } })).status).toBe(200);
  // At the learned pace it would take over a minute.
  await eventually(async () => (await rowOf(slug)).parked_in_app_queue === 0, 60_000);
});

test.concurrent("what can't be read is null and named, and comes back", async ({ onTestFinished }) => {
  const [ownNats, ownRedis] = await Promise.all([startNatsServer(), startRedisServer()]);
  const own = await startPosthornHere({ nats: ownNats, redis: ownRedis, settings });
  onTestFinished(async () => {
    await own.end();
    await Promise.all([ownNats.stop(), ownRedis.stop()]);
  });
  const ask = callsOf(() => own);
  const slug = "acme";
  await ask("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url });
  const live: OverviewMessage[] = [];
  const stop = new AbortController();
  const response = await fetch(`${own.url}/v1/overview/live`, { headers: read, signal: stop.signal });
  const reader = createEventReader(({ event, data }) => event === "overview" && live.push(JSON.parse(data) as OverviewMessage));
  void (async () => {
    const decoder = new TextDecoder();
    for await (const piece of response.body ?? []) reader(decoder.decode(piece, { stream: true }));
  })().catch(() => {});
  const overview = async () => (await ask("GET", `/v1/apps/${slug}/overview`, undefined, read)).body as OverviewMessage;

  await ownRedis.kill();
  const withoutRedis = await eventually(async () => {
    const found = await overview();
    return found.items[0]?.attempts === null && found;
  });
  expect(withoutRedis.problems).toMatchObject([
    { code: "REDIS_UNREACHABLE", missing: expect.arrayContaining(["attempts", "delivered", "health.attempts"]) },
  ]);
  expect(withoutRedis.items).toMatchObject([{ slug, attempts: null, delivered: null, parked: 0, dead_letters: 0 }]);
  expect((await ask("GET", `/v1/apps/${slug}/stats`)).status).toBe(503);
  await eventually(() => live.some(({ problems }) => problems[0]?.code === "REDIS_UNREACHABLE"));

  await ownNats.kill();
  const withoutBoth = await eventually(async () => {
    const found = await overview();
    return found.problems.length === 2 && found;
  });
  expect(withoutBoth.problems.map(({ code }) => code).sort()).toEqual(["NATS_UNREACHABLE", "REDIS_UNREACHABLE"]);
  expect(withoutBoth.items).toMatchObject([{ slug, parked: null, dead_letters: null }]);

  await Promise.all([ownNats.restart(), ownRedis.restart()]);
  await eventually(async () => (await overview()).problems.length === 0);
  await eventually(() => live.at(-1)?.problems.length === 0);
  // All apps come again, because status events may have been missed.
  await eventually(() => live.slice(1).some(({ removed }) => removed === undefined));
  stop.abort();
});

describe.concurrent("the system", () => {
  test("has its streams with their limits, its checks, the busiest apps now, and every replica with its load", async () => {
    const { slug, organization } = await install();
    for (let n = 0; n < 3; n++) await bus.publish("issue.created", { organization_id: organization, data: {} });
    const system = async (from = posthorn) => (await from.api("GET", "/v1/system", undefined, read)).body;
    await eventually(async () => (await system()).busiest_apps.find(({ app }: { app: string }) => app === slug)?.attempts === 3);
    const { body } = await call("GET", "/v1/system", undefined, read);
    expect(body.streams.map(({ purpose }: { purpose: string }) => purpose)).toEqual([
      ...["events", "retries", "parked", "dead-letters", "status", "audit"],
    ]);
    expect(body.streams[0]).toMatchObject({ max_age_s: 7 * 86_400, max_bytes: null, replicas: 1, refusing: false });
    expect(body.streams[0].messages).toBeGreaterThanOrEqual(3);
    expect(body.streams[0].bytes).toBeGreaterThan(0);
    expect(body.checks).toMatchObject({ nats: { ok: true }, redis: { ok: true }, streams: { ok: true } });
    // The number is asked for every few seconds, and other tests publish meanwhile.
    await eventually(async () => (await system()).events.pending === 0);
    const [natsServer, redisServer] = body.servers;
    expect(natsServer).toMatchObject({ kind: "nats", version: bus.connection.info?.version, address: `127.0.0.1:${nats.port}` });
    expect(redisServer).toMatchObject({ kind: "redis", address: `127.0.0.1:${redis.port}`, max_memory_bytes: null });
    expect(redisServer.version).toMatch(/^\d+\.\d+/);
    expect(redisServer.used_memory_bytes).toBeGreaterThan(100_000);
    for (const { connected_since: since } of body.servers) expect(Date.parse(since)).toBeLessThanOrEqual(Date.now() + 1_000);

    const other = await startPosthornHere({
      ...{ nats, redis, prefix: posthorn.prefix },
      settings: { POSTHORN_API_TOKENS: "read:read-token-123456", POSTHORN_MAX_IN_FLIGHT: "256" },
    });
    try {
      await eventually(async () => {
        const [one, two] = [await system(), await system(other)];
        const ids = (body: { replicas: Array<{ id: string }> }): string =>
          body.replicas
            .map(({ id }) => id)
            .sort()
            .join();
        return one.replicas.length === 2 && ids(one) === ids(two) && one.replicas.every((replica: { ready: boolean }) => replica.ready);
      });
      const { replicas } = await system();
      expect(replicas.map((replica: { this: boolean }) => replica.this)).toEqual([true, false]);
    } finally {
      await other.end();
    }
    // A replica that has stopped is not shown for long.
    await eventually(async () => (await system()).replicas.length === 1);
  });
});

describe.concurrent("the overview", () => {
  test("has each app with its installations, circuit, streams and hours", async () => {
    const webhook_url = `${receiver.url}/422`;
    const { slug, uuid, organization } = await install({ webhook_url, name: "All of it", retry_schedule_s: [], status: "published" });
    await bus.publish("issue.created", { organization_id: organization, data: {} });
    await eventually(async () => (await rowOf(slug)).dead_letters === 1);
    await call("POST", `/v1/installations/${uuid}/disable`);
    await bus.publish("issue.created", { organization_id: organization, data: {} });
    const row = await eventually(async () => {
      const found = await rowOf(slug);
      return found.parked === 1 && sum(found.attempts) === 1 && found;
    });
    // An hour may have ended meanwhile.
    expect(row.attempts?.slice(0, 22)).toEqual(new Array(22).fill(0));
    expect(row).toEqual({
      slug,
      name: "All of it",
      status: "published",
      webhook_url,
      installations: { active: 0, broken: 0, disabled: 1 },
      circuit: { state: "closed", open_until: null },
      throttled: null,
      stopped: null,
      health: {
        state: "healthy",
        since: null,
        attempts: 1,
        failures: 1,
        by_code: { 422: 1 },
        blocked: 0,
        sender_failed: 0,
        last_success_at: null,
      },
      waiting: null,
      unknown: [],
      parked: 1,
      parked_in_app_queue: 0,
      dead_letters: 1,
      attempts: expect.any(Array),
      delivered: new Array<number>(24).fill(0),
    });
    const { body } = await call("GET", "/v1/overview", undefined, read);
    expect(body).toMatchObject({ problems: [], unreadable: 0, hours_from: expect.stringMatching(/:00:00\.000Z$/) });
    expect(body.items.map((item: AppRow) => item.slug)).toContain(slug);
    expect((await call("GET", "/v1/apps/nobody/overview")).status).toBe(404);
  });

  test("comes as server-sent events: all first, then what changes, and status events", async () => {
    const { slug, uuid } = await install();
    const other = await install();
    const heard: Array<{ event: string; data: any }> = [];
    const stop = new AbortController();
    const response = await fetch(`${posthorn.url}/v1/apps/${slug}/overview/live`, { headers: read, signal: stop.signal });
    expect([response.status, response.headers.get("content-type"), response.headers.get("cache-control")]).toEqual([
      200,
      "text/event-stream",
      "no-store",
    ]);
    const reader = createEventReader(({ event, data }) => heard.push({ event, data: JSON.parse(data) }));
    void (async () => {
      const decoder = new TextDecoder();
      for await (const piece of response.body ?? []) reader(decoder.decode(piece, { stream: true }));
    })().catch(() => {});
    await eventually(() => heard.length > 0);
    expect(heard[0]).toMatchObject({ event: "overview", data: { items: [{ slug }] } });
    await call("POST", `/v1/installations/${other.uuid}/disable`);
    await call("POST", `/v1/installations/${uuid}/disable`);
    const change = await eventually(() => heard.slice(1).find(({ event }) => event === "overview"));
    expect((change.data as OverviewMessage).items).toMatchObject([{ slug, installations: { active: 0, disabled: 1 } }]);
    const events = () => heard.filter(({ event }) => event === "status").map(({ data }) => data);
    await eventually(() => events().length > 0);
    expect(events()).toMatchObject([{ type: "integration.disabled", data: { app: slug, installation_uuid: uuid } }]);
    expect(events()[0].data.dashboard_url).toBe(`https://ops.example/posthorn/#/installations/${uuid}`);
    stop.abort();
  });

  test("lists an app's installations with what is parked and why they are broken", async () => {
    const { slug, uuid, organization } = await install({ webhook_url: `${receiver.url}/410` });
    const second = randomUUID();
    await call("PUT", `/v1/installations/${second}`, { app: slug, organization_id: "elsewhere" });
    await bus.publish("issue.created", { organization_id: organization, data: {} });
    const list = async (query: string) => (await call("GET", `/v1/apps/${slug}/installations?${query}`, undefined, read)).body;
    const broken = await eventually(async () => (await list("status=broken")).items[0]);
    expect(broken).toMatchObject({
      uuid,
      status: "broken",
      parked: 0,
      broken: {
        at: expect.stringMatching(/Z$/),
        reason: { rule: "fatal", fatal: 1, last_response_code: 410, last_error: expect.any(String) },
      },
    });
    expect((await list("organization_id=elsewhere")).items).toMatchObject([{ uuid: second, status: "active", broken: null }]);
    const first = await list("limit=1");
    expect([first.items.length, first.items[0].uuid]).toEqual([1, second]);
    expect(await list(`limit=1&cursor=${first.next}`)).toMatchObject({ items: [{ uuid }], next: null });
  });
});

test.concurrent("an app's stats have what came of its attempts, in every range", async ({ onTestFinished }) => {
  const own = await startReceiver(
    ({ headers }, response) => void response.writeHead(headers["sentry-hook-resource"] === "comment" ? 503 : 200).end(),
  );
  onTestFinished(own.stop);
  const { slug, organization } = await install({ webhook_url: own.url, retry_schedule_s: [] });
  for (const type of ["issue.created", "issue.resolved", "comment.created"])
    await bus.publish(type, { organization_id: organization, data: {} });
  const stats = async (query = "") => (await call("GET", `/v1/apps/${slug}/stats${query}`, undefined, read)).body;
  const day = await eventually(async () => {
    const found = await stats();
    return found.totals.attempts === 3 && found;
  });
  expect(day).toMatchObject({
    app: slug,
    range: "24h",
    step_s: 3_600,
    totals: { attempts: 3, success_rate: 0.6667, outcomes: { delivered: 2, failed: 1, timed_out: 0 }, latency_ms: { count: 3 } },
    event_types: expect.arrayContaining(["issue.created", "issue.resolved", "comment.created"]),
  });
  // An hour may have ended meanwhile.
  const newest = day.periods.slice(-2).map(({ attempts }: { attempts: number }) => attempts);
  expect([day.periods.length, sum(newest), day.periods[0].success_rate]).toEqual([24, 3, null]);
  for (const [range, periods, step] of [["7d", 28, 21_600] as const, ["30d", 30, 86_400] as const]) {
    const found = await stats(`?range=${range}`);
    expect([found.periods.length, found.step_s, found.totals.attempts]).toEqual([periods, step, 3]);
    expect(Date.parse(found.end) - Date.parse(found.start)).toBe(periods * step * 1000);
  }
  expect((await call("GET", `/v1/apps/${slug}/stats?range=1y`)).status).toBe(400);
  expect((await call("GET", "/v1/apps/nobody/stats")).status).toBe(404);
});

test.concurrent("status events are listed newest first, by app and topic", async () => {
  const { slug, uuid } = await install();
  await call("POST", `/v1/installations/${uuid}/disable`);
  await call("POST", `/v1/installations/${uuid}/enable`);
  const list = async (query: string) => (await call("GET", `/v1/status-events?app=${slug}&${query}`, undefined, read)).body;
  const all = await eventually(async () => {
    const found = await list("");
    return found.items.length === 2 && found;
  });
  expect(all.items.map(({ type }: { type: string }) => type)).toEqual(["integration.enabled", "integration.disabled"]);
  expect(all.items[0]).toMatchObject({ specversion: "1.0", sequence: expect.any(Number), data: { app: slug, installation_uuid: uuid } });
  const page = await list("limit=1&topics=integration,circuit");
  expect([page.items.length, (await list(`limit=1&cursor=${page.next}`)).items[0].type]).toEqual([1, "integration.disabled"]);
  expect((await list("topics=circuit,delivery")).items).toEqual([]);
  expect((await list("start=2100-01-01")).items).toEqual([]);
  expect((await list("end=2100-01-01")).items).toHaveLength(2);
  expect((await call("GET", "/v1/status-events?topics=weather")).status).toBe(400);
});

test.concurrent("dead letters are listed newest first, or oldest first when that is asked for", async () => {
  const { slug, organization } = await install({ webhook_url: `${receiver.url}/422` });
  for (const n of [1, 2, 3]) {
    await bus.publish("issue.created", { organization_id: organization, data: { n } });
    await eventually(async () => (await rowOf(slug)).dead_letters === n);
  }
  const list = async (query: string) => {
    const { items, next } = (await call("GET", `/v1/dead-letters?app=${slug}&${query}`, undefined, read)).body;
    return { n: items.map(({ event }: { event: { data: { n: number } } }) => event.data.n), next };
  };
  for (const [order, n] of [["", [3, 2, 1]] as const, ["order=oldest", [1, 2, 3]] as const]) {
    expect((await list(order)).n).toEqual(n);
    const first = await list(`${order}&limit=2`);
    expect(first.n).toEqual(n.slice(0, 2));
    expect(await list(`${order}&limit=2&cursor=${first.next}`)).toEqual({ n: n.slice(2), next: null });
  }
  expect((await list("event_type=comment.created")).n).toEqual([]);
});

test.concurrent("a session says what the token covers", async () => {
  const traceUrl = 'https://traces.example/explore?left=["{trace_id}"]';
  const session = async (headers: Record<string, string>) => (await call("GET", "/v1/session", undefined, headers)).body;
  expect(await session(admin)).toEqual({
    ...{ scope: "admin", app: null, organization_id: null, may: ["read", "act", "manage"], name: "admin", expires_at: null },
    ...{ version: expect.any(String), trace_url: traceUrl },
  });
  expect((await session(read)).scope).toBe("read");
  expect((await call("GET", "/v1/session", undefined, {})).status).toBe(401);
});

test.concurrent("who looks on does not hold up a stop", async () => {
  const other = await startPosthornHere({ nats, redis });
  const response = await fetch(`${other.url}/v1/overview/live`);
  const stream = response.body?.getReader();
  for (let text = ""; !text.includes("event: overview"); ) text += Buffer.from((await stream?.read())?.value ?? []).toString();
  expect(await other.end()).toBe(0);
  let end = await stream?.read();
  while (end?.done === false) end = await stream?.read();
  expect(end?.done).toBe(true);
});

describe.concurrent("the page", () => {
  const get = (path: string, headers: Record<string, string> = {}) => fetch(posthorn.url + path, { headers });

  test("is there for everybody, and may load nothing but itself", async () => {
    const response = await get("/");
    const policy = response.headers.get("content-security-policy") ?? "";
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*|data:|blob:/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    for (const [, path = ""] of (await response.text()).matchAll(/(?:src|href)="\.(\/assets\/[^"]+)"/g)) {
      const asset = await get(path);
      expect([asset.status, asset.headers.get("cache-control")]).toEqual([200, "public, max-age=31536000, immutable"]);
      expect(asset.headers.get("content-type")).toMatch(/^(text\/(javascript|css); charset=utf-8|image\/svg\+xml)$/);
    }
  });

  test("is sent compressed to whom takes that, and once", async () => {
    const plain = await get("/", { "accept-encoding": "identity" });
    expect([plain.headers.get("content-encoding"), plain.headers.get("vary")]).toEqual([null, "accept-encoding"]);
    const gzip = await get("/", { "accept-encoding": "gzip" });
    expect(gzip.headers.get("content-encoding")).toBe("gzip");
    expect(await gzip.text()).toBe(await plain.text());
    const again = await get("/", { "if-none-match": plain.headers.get("etag") ?? "" });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });

  test.each(["/assets/nothing.js", "/assets/..%2f..%2fpackage.json", "/..%2fpackage.json", "/index.html"])(
    "has nothing at %s",
    async (path) => {
      expect((await get(path)).status).toBe(404);
    },
  );
});

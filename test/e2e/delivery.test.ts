/** The main job: an event on the bus becomes a webhook and a row in Redis. */
import { createHmac, randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { Redis } from "ioredis";
import { headers as natsHeaders } from "nats";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { startRawServer } from "../support/raw-server.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redisServer: Server;
let redis: Redis;
let posthorn: Posthorn;
let bus: Bus;
const receivers: Receiver[] = [];

beforeAll(async () => {
  [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
  redis = new Redis(redisServer.url);
  posthorn = await startPosthornHere({ nats, redis: redisServer });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  expect(await posthorn.end()).toBe(0);
  redis.disconnect();
  await Promise.all([...receivers.map(({ stop }) => stop()), nats.stop(), redisServer.stop()]);
});

async function receiver(...given: Parameters<typeof startReceiver>): Promise<Receiver> {
  const started = await startReceiver(...given);
  receivers.push(started);
  return started;
}

const organization = (): string => randomUUID();
const rows = async (kind: "request" | "error", app: string, type = "issue.created") =>
  (await redis.lrange(`posthorn:${kind}:{${app}}:${type}`, 0, -1)).map((text) => JSON.parse(text) as Record<string, any>);
const deadLetters = async (app: string) =>
  (await posthorn.api("GET", `/v1/dead-letters?app=${app}&order=oldest`)).body.items as Array<Record<string, any>>;

describe.concurrent("a delivery that fails", () => {
  test("waits as long as Retry-After says", async () => {
    const { url, waitFor, behave } = await receiver(answer(429, "", { "retry-after": "3" }));
    const organizationId = organization();
    await posthorn.install({ webhook_url: url, organization_id: organizationId, retry_schedule_s: [0.1, 0.1] });
    await bus.publish("issue.created", { organization_id: organizationId, data: {} });
    await waitFor(1);
    behave(answer(200));
    const [first, second] = await waitFor(2);
    expect((second?.receivedAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThanOrEqual(2_990);
  });

  test("goes to dead letters with every attempt when its schedule is used up, and comes back by a replay", async () => {
    const { url, waitFor, behave, requests } = await receiver(answer(503));
    const organizationId = organization();
    const { slug, uuid } = await posthorn.install({ webhook_url: url, organization_id: organizationId, retry_schedule_s: [0.2] });
    await bus.publish("issue.created", `{"organization_id":"${organizationId}","data":{"n":12345678901234567890}}`);
    const [letter] = await eventually(async () => {
      const found = await deadLetters(slug);
      return found.length > 0 && found;
    });
    expect(letter).toMatchObject({
      app: slug,
      reason: "exhausted",
      error: "answered with status 503",
      installation_uuid: uuid,
      attempts_made: 2,
      attempts: [
        { attempt: 1, outcome: "failed", response_code: 503 },
        { attempt: 2, outcome: "failed", response_code: 503 },
      ],
    });
    behave(answer(200));
    expect(await replayDeadLetters(posthorn.api, { app: slug, dry_run: true })).toMatchObject({ state: "done", matched: 1, replayed: 0 });
    expect(await replayDeadLetters(posthorn.api, { app: slug })).toMatchObject({ state: "done", matched: 1, replayed: 1, skipped: 0 });
    await waitFor(3);
    expect(requests[2]?.headers["webhook-id"]).toBe(requests[0]?.headers["webhook-id"]);
    expect(requests[2]?.body.equals(requests[0]?.body ?? Buffer.alloc(0))).toBe(true);
    expect(await deadLetters(slug)).toEqual([]);
  });

  test("can be sent again by its id, any number of times", async () => {
    const { url, waitFor, requests } = await receiver();
    const organizationId = organization();
    const { uuid } = await posthorn.install({ webhook_url: url, organization_id: organizationId });
    const id = randomUUID();
    await bus.publish("issue.created", { id, organization_id: organizationId, data: {} });
    await waitFor(1);
    const delivery = deliveryIdOf(id, uuid);
    for (let times = 2; times <= 3; times++) {
      const resent = await eventually(async () => {
        const { status, body } = await posthorn.api("POST", `/v1/deliveries/${delivery}/resend`);
        return status === 202 && body;
      });
      expect(resent).toEqual({ delivery_id: delivery, resend_id: expect.any(String) });
      await waitFor(times);
    }
    expect(new Set(requests.map(({ headers }) => headers["webhook-id"]))).toEqual(new Set([delivery]));
    expect((await posthorn.api("POST", `/v1/deliveries/dlv_${"0".repeat(32)}/resend`)).status).toBe(404);
    const health = await redis.hgetall((await redis.keys(`posthorn:health:{${uuid}}:*`))[0] ?? "");
    expect(health).toEqual({ success: "1" });
  });

  test("is tried again after the app's schedule, with the same id, trace and body, until it is delivered", async () => {
    const { url, waitFor, behave } = await receiver(
      answer(500, "out of order", { "Sentry-Hook-Error": "err-9", "Sentry-Hook-Project": "proj-3" }),
    );
    const organizationId = organization();
    const { slug } = await posthorn.install({ webhook_url: url, organization_id: organizationId, retry_schedule_s: [1, 1] });
    await bus.publish("issue.created", { organization_id: organizationId, data: { n: 1 } });
    await waitFor(1);
    behave(answer(200));
    const [first, second] = await waitFor(2);
    if (first === undefined || second === undefined) throw new Error("no requests");
    expect(second.body.equals(first.body)).toBe(true);
    expect(second.headers["webhook-id"]).toBe(first.headers["webhook-id"]);
    expect(second.headers["request-id"]).not.toBe(first.headers["request-id"]);
    expect(String(second.headers["traceparent"]).slice(0, 36)).toBe(String(first.headers["traceparent"]).slice(0, 36));
    await eventually(async () => (await rows("request", slug)).length === 2);
    const [errorRow, ...more] = await rows("error", slug);
    expect(more).toEqual([]);
    expect(errorRow).toMatchObject({
      attempt: 1,
      response_code: 500,
      outcome: "failed",
      error_id: "err-9",
      project_id: "proj-3",
      request_body: first.body.toString(),
      response_body: "out of order",
      error: "answered with status 500",
    });
    expect((await rows("request", slug)).map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
      [2, "delivered"],
      [1, "failed"],
    ]);
  });

  test("asks for no pause of the app when the app has another receiver by then", async () => {
    const next = await receiver();
    let refuse = (): void => {};
    const former = await receiver((_request, response) => {
      refuse = () => void response.writeHead(429, { "retry-after": "3600" }).end();
    });
    const organizationId = organization();
    const { slug } = await posthorn.install({ webhook_url: former.url, organization_id: organizationId });
    await bus.publish("issue.created", { organization_id: organizationId, data: {} });
    await former.waitFor(1);
    await posthorn.api("PATCH", `/v1/apps/${slug}`, { webhook_url: next.url });
    refuse();
    await next.waitFor(1);
    expect((await posthorn.api("GET", `/v1/apps/${slug}/overview`)).body.items[0].throttled).toBe(null);
  });

  test.each<[string, Parameters<typeof answer>, string, string]>([
    ["400", [400], "rejected", "rejected"],
    ["422", [422], "rejected", "rejected"],
    ["404 and retry: never", [404, "", { retry: "never" }], "rejected", "rejected"],
    ["410", [410], "gone", "gone"],
    ["204 and webhook-delivery: disable", [204, "", { "webhook-delivery": "disable" }], "gone", "gone"],
  ])("with %s is not tried again", async (_what, given, outcome, reason) => {
    const { url, requests } = await receiver(answer(...given));
    const organizationId = organization();
    const { slug } = await posthorn.install({ webhook_url: url, organization_id: organizationId, retry_schedule_s: [0.1] });
    await bus.publish("issue.created", { organization_id: organizationId, data: {} });
    const [letter] = await eventually(async () => {
      const found = await deadLetters(slug);
      return found.length > 0 && found;
    });
    expect(letter).toMatchObject({ reason, attempts: [{ outcome }] });
    expect(requests).toHaveLength(1);
  });

  test("has a row that people can read, whatever came back", async () => {
    const head = (status: string, headers: string, body: Buffer): Buffer =>
      Buffer.concat([Buffer.from(`HTTP/1.1 ${status}\r\n${headers}Content-Length: ${body.length}\r\n\r\n`), body]);
    const answers: ReadonlyArray<readonly [answer: Buffer, row: Record<string, unknown>]> = [
      [head("500 X", "Content-Encoding: gzip\r\n", gzipSync("Café")), { response_code: 500, response_body: "Café" }],
      [head("400 X", "Content-Type: text/html; charset=latin1\r\n", Buffer.from("Café", "latin1")), { response_body: "Café" }],
      [head("404 X", "Content-Type: image/png\r\n", Buffer.from("89504e47", "hex")), { response_body: "[not text: 4 bytes, image/png]" }],
      [
        head("302 X", "Location: https://user:secret@login.example/in?next=secret\r\n", Buffer.from("")),
        { error: "answered with status 302, a redirect to https://[redacted]@login.example/in?[redacted], which is not followed" },
      ],
      [head("000 X", "", Buffer.from("")), { outcome: "unreachable", response_code: 0, error: expect.stringMatching(/status 000/) }],
      [head("099 X", "", Buffer.from("")), { outcome: "unreachable", response_code: 0, error: expect.stringMatching(/status 099/) }],
      [head("9999 X", "", Buffer.from("")), { outcome: "unreachable", response_code: 0, error: expect.stringMatching(/status 9999/) }],
      [head("600 X", "", Buffer.from("no")), { outcome: "failed", response_code: 600, response_body: "no" }],
      [head("101 X", "", Buffer.from("")), { outcome: "unreachable", response_code: 0, error: expect.stringMatching(/status 101/) }],
    ];
    let next = 0;
    const server = await startRawServer((socket) => socket.end(answers[next++]?.[0] ?? ""));
    const { slug } = await posthorn.install({
      webhook_url: `http://127.0.0.1:${server.port}/`,
      organization_id: organization(),
      events: [],
    });
    for (let call = 0; call < answers.length; call++) expect((await posthorn.api("POST", `/v1/apps/${slug}/test`)).status).toBe(200);
    const shown = await eventually(async () => {
      const { items } = (await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests`)).body;
      return items.length === answers.length && items.reverse();
    });
    expect(shown).toEqual(answers.map(([, row]) => expect.objectContaining(row)));
    await server.stop();
  });

  test("times out and is refused without a response", async () => {
    const hanging = await receiver(() => {});
    const organizationId = organization();
    const { slug } = await posthorn.install({
      webhook_url: hanging.url,
      organization_id: organizationId,
      timeout_ms: 150,
      retry_schedule_s: [],
    });
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const refused = await posthorn.install({ webhook_url: nobody, organization_id: organizationId, retry_schedule_s: [] });
    await bus.publish("issue.created", { organization_id: organizationId, data: {} });
    const row = async (app: string) => (await eventually(async () => (await rows("error", app))[0])) as Record<string, any>;
    expect(await row(slug)).toMatchObject({
      outcome: "timed_out",
      response_code: 0,
      response_body: null,
      error: expect.stringMatching(/150 ms/),
    });
    expect(await row(refused.slug)).toMatchObject({
      outcome: "unreachable",
      response_code: 0,
      error: expect.stringMatching(/ECONNREFUSED/),
    });
  });
});

describe.concurrent("an event", () => {
  test("becomes a webhook with the contract's body and headers, and a row in the log", async () => {
    const { url, waitFor } = await receiver();
    const organizationId = organization();
    const { slug, uuid, clientSecret } = await posthorn.install({
      webhook_url: `${url}/in?x=1`,
      organization_id: organizationId,
      headers: { "X-Team": "blue", "Webhook-Id": "forged" },
    });
    const id = randomUUID();
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const headers = natsHeaders();
    headers.set("traceparent", `00-${traceId}-b7ad6b7169203331-01`);
    headers.set("tracestate", "vendor=1");
    await bus.publish(
      "issue.created",
      `{"id":"${id}","organization_id":"${organizationId}","data":{"z":1.0,"big":12345678901234567890,"text":"Grüße 🚀"}}`,
      headers,
    );
    const [request] = await waitFor(1);
    if (request === undefined) throw new Error("no request");
    expect([request.method, request.path]).toEqual(["POST", "/in?x=1"]);
    expect(request.body.toString("utf8")).toBe(
      `{"action":"created","installation":{"uuid":"${uuid}"},"data":{"z":1.0,"big":12345678901234567890,"text":"Grüße 🚀"},"actor":{"type":"application","id":"sentry","name":"Sentry"}}`,
    );
    expect(request.headers).toMatchObject({
      "content-type": "application/json",
      "content-length": String(request.body.length),
      "user-agent": expect.stringMatching(/^Posthorn\/\d+\.\d+\.\d+$/),
      "request-id": expect.stringMatching(/^[0-9a-f]{32}$/),
      "sentry-hook-resource": "issue",
      "sentry-hook-timestamp": expect.stringMatching(/^\d{10}$/),
      "sentry-hook-signature": createHmac("sha256", clientSecret).update(request.body).digest("hex"),
      "webhook-id": deliveryIdOf(id, uuid),
      traceparent: expect.stringMatching(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`)),
      tracestate: "vendor=1",
      "x-team": "blue",
    });
    new Webhook(Buffer.from(clientSecret).toString("base64")).verify(request.body, request.headers as Record<string, string>);

    const [row] = await eventually(async () => {
      const found = await rows("request", slug);
      return found.length > 0 && found;
    });
    expect(row).toMatchObject({
      event_type: "issue.created",
      event_id: id,
      delivery_id: deliveryIdOf(id, uuid),
      installation_uuid: uuid,
      organization_id: organizationId,
      webhook_url: `${url}/in`,
      attempt: 1,
      response_code: 200,
      outcome: "delivered",
      trace_id: traceId,
    });
    const line = await eventually(() =>
      posthorn.log.find(({ message, delivery_id }) => message === "delivery.attempted" && delivery_id === deliveryIdOf(id, uuid)),
    );
    expect(line).toMatchObject({ level: "info", trace_id: traceId, app: slug, outcome: "delivered", attempt: 1 });
  });

  test("reaches the installations of its organization, project and app that want it, and no others", async () => {
    const { url, requests, waitFor } = await receiver();
    const [here, elsewhere] = [organization(), organization()];
    const install = (name: string, more: object = {}) =>
      posthorn.install({ webhook_url: `${url}/${name}`, organization_id: here, events: ["issue"], ...more });
    const all = await install("all");
    await install("project-7", { project_ids: ["7"] });
    await install("project-8", { project_ids: [8] });
    await install("other-organization", { organization_id: elsewhere });
    await install("other-events", { events: ["comment", "issue.resolved"] });
    const reached = async (event: object, count: number): Promise<string[]> => {
      requests.length = 0;
      await bus.publish("issue.created", { organization_id: here, data: {}, ...event });
      await waitFor(count);
      // One more event that everybody gets shows that nothing else is on its way.
      await bus.publish("issue.created", { organization_id: here, data: { last: true }, app: all.slug });
      await eventually(() => requests.some((request) => request.json().data["last"] === true));
      return requests
        .filter((request) => request.json().data["last"] !== true)
        .map(({ path }) => path.slice(1))
        .sort();
    };
    expect(await reached({ project_id: 7 }, 2)).toEqual(["all", "project-7"]);
    expect(await reached({ project_id: "8" }, 2)).toEqual(["all", "project-8"]);
    expect(await reached({}, 3)).toEqual(["all", "project-7", "project-8"]);
    expect(await reached({ app: all.slug }, 1)).toEqual(["all"]);
    expect(await reached({ installation_uuid: all.uuid }, 1)).toEqual(["all"]);
  });

  test("of the installation itself goes to the app concerned without a subscription", async () => {
    const { url, waitFor } = await receiver();
    const organizationId = organization();
    const { uuid } = await posthorn.install({ webhook_url: url, organization_id: organizationId, events: [] });
    await bus.publish("issue.created", { organization_id: organizationId, data: {} });
    await bus.publish("installation.created", {
      organization_id: organizationId,
      installation_uuid: uuid,
      data: { installation: { uuid } },
    });
    const [request] = await waitFor(1);
    expect(request?.headers["sentry-hook-resource"]).toBe("installation");
  });

  test("may be a CloudEvent, structured or binary", async () => {
    const { url, waitFor } = await receiver();
    const organizationId = organization();
    await posthorn.install({ webhook_url: url, organization_id: organizationId });
    const attributes = { specversion: "1.0", id: randomUUID(), source: "/shop", type: "issue.created", organizationid: organizationId };
    const structured = natsHeaders();
    structured.set("content-type", "application/cloudevents+json");
    await bus.publish("issue.created", { ...attributes, data: { mode: "structured" } }, structured);
    const binary = natsHeaders();
    for (const [name, value] of Object.entries({ ...attributes, id: randomUUID() })) binary.set(`ce-${name}`, value);
    binary.set("content-type", "application/json");
    await bus.publish("issue.created", { mode: "binary" }, binary);
    const found = await waitFor(2);
    expect(found.map((request) => request.json().data["mode"]).sort()).toEqual(["binary", "structured"]);
  });

  test("of every sample payload arrives as it was published", async () => {
    const { url, waitFor } = await receiver();
    const organizationId = organization();
    await posthorn.install({ webhook_url: url, organization_id: organizationId });
    const folder = new URL("../../examples/payloads/", import.meta.url);
    const files = readdirSync(folder).filter((file) => file.endsWith(".json"));
    expect(files.length).toBeGreaterThan(10);
    const expected = new Map<string, unknown>();
    for (const file of files) {
      const { data, actor, action } = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Record<string, unknown>;
      const type = file.replace(".json", "");
      expected.set(type, { data, actor, action });
      await bus.publish(type, { organization_id: organizationId, data, actor });
    }
    for (const request of await waitFor(files.length)) {
      const { data, actor, action } = request.json();
      expect({ data, actor, action }).toEqual(expected.get(`${request.headers["sentry-hook-resource"]}.${action}`));
    }
  });

  test("that can't be read goes to dead letters with the reason, and is never seen again", async () => {
    await bus.publish("issue.created", "garbage");
    await bus.publish("issue.Created", { organization_id: "1", data: {} });
    const letters = await eventually(async () => {
      const { body } = await posthorn.api("GET", "/v1/dead-letters?order=oldest");
      const found = (body.items as Array<Record<string, any>>).filter(({ reason }) => reason === "invalid");
      return found.length >= 2 && found;
    });
    expect(letters.map(({ error, body }) => [error, body])).toEqual([
      [expect.stringMatching(/^body: not valid JSON/), "garbage"],
      [expect.stringMatching(/^action in the subject: found "Created"/), '{"organization_id":"1","data":{}}'],
    ]);
    const subjects = await (await bus.connection.jetstreamManager()).streams.info(
      `${posthorn.prefix}_DEAD_LETTERS`.toUpperCase().replaceAll("-", "_"),
      { subjects_filter: ">" },
    );
    expect(subjects.state.subjects?.[`${posthorn.prefix}.dead-letters._invalid`]).toBe(2);
    expect((await posthorn.api("GET", "/metrics")).body).toContain('posthorn_events_total{result="unreadable"} 2');
  });
});

describe.concurrent("an ordered app", () => {
  test("gets one delivery after the other, also over a failure, and the next after one that is given up", async () => {
    const { url, requests, waitFor, behave } = await receiver();
    let failures = 0;
    behave((request, response) => {
      const n = request.json().data["n"];
      const fails = (n === 2 && failures++ < 2) || n === 4;
      response.writeHead(fails ? 500 : 200).end();
    });
    const organizationId = organization();
    const { slug } = await posthorn.install({
      webhook_url: url,
      organization_id: organizationId,
      ordered: true,
      retry_schedule_s: [0.2, 0.2],
    });
    for (let n = 0; n < 7; n++) await bus.publish("issue.created", { organization_id: organizationId, data: { n } });
    await waitFor(11);
    expect(requests.map((request) => request.json().data["n"])).toEqual([0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6]);
    const [letter] = await deadLetters(slug);
    expect(letter).toMatchObject({ reason: "exhausted", attempts_made: 3 });
    const manager = await bus.connection.jetstreamManager();
    const parked = `${posthorn.prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
    await eventually(async () => (await manager.streams.info(parked)).state.consumer_count === 0);
  });

  test("whose order_by is changed and changed back while an attempt is in flight flows on", async () => {
    const { url, requests, waitFor, behave } = await receiver();
    const changed = Promise.withResolvers<void>();
    behave((_request, response) => void changed.promise.then(() => response.end("ok")));
    const organizationId = organization();
    const { slug } = await posthorn.install({ webhook_url: url, organization_id: organizationId, order_by: "/k" });
    await bus.publish("issue.created", { organization_id: organizationId, data: { n: 0 } });
    await waitFor(1);
    for (const order_by of ["app", "/k"]) await posthorn.api("PUT", `/v1/apps/${slug}`, { webhook_url: url, events: ["*"], order_by });
    changed.resolve();
    for (let n = 1; n < 4; n++) await bus.publish("issue.created", { organization_id: organizationId, data: { n } });
    await waitFor(4);
    expect(requests.map((request) => request.json().data["n"])).toEqual([0, 1, 2, 3]);
  });
});

describe.concurrent("a test call", () => {
  test("is attempted at once, logged, and not counted", async () => {
    const { url, waitFor } = await receiver(answer(500, "no"));
    const { slug, uuid } = await posthorn.install({ webhook_url: url, organization_id: organization(), events: [] });
    const { status, body } = await posthorn.api("POST", `/v1/apps/${slug}/test`);
    expect([status, body]).toEqual([200, expect.objectContaining({ installation_uuid: uuid, outcome: "failed", response_code: 500 })]);
    const [request] = await waitFor(1);
    expect(request?.headers["sentry-hook-resource"]).toBe("test");
    await eventually(async () => (await rows("error", slug, "test.ping")).length === 1);
    expect(await redis.keys(`posthorn:health:{${uuid}}:*`)).toEqual([]);
  });

  test("takes a place or is refused, and never the ones of another app at the same receiver", async () => {
    const open: Array<() => void> = [];
    const { url, waitFor, requests } = await receiver((request, response) => {
      if (request.path === "/hangs" && open.length < 4) open.push(() => response.end());
      else response.end("ok");
    });
    const hanging = await posthorn.install({ webhook_url: `${url}/hangs`, organization_id: organization(), events: [] });
    const other = organization();
    await posthorn.install({ webhook_url: `${url}/works`, organization_id: other, events: ["issue"] });
    let answeredCalls = 0;
    const calls = Array.from({ length: 200 }, () =>
      posthorn.api("POST", `/v1/apps/${hanging.slug}/test`).finally(() => {
        answeredCalls++;
      }),
    );
    await waitFor(4);
    await eventually(() => answeredCalls === 196);
    await bus.publish("issue.created", { organization_id: other, data: {} });
    await eventually(() => requests.some(({ path }) => path === "/works"));
    for (const end of open) end();
    const answered = await Promise.all(calls);
    const refused = answered.filter(({ status }) => status === 429);
    expect(answered.filter(({ status, body }) => status === 200 && body.outcome === "delivered")).toHaveLength(4);
    expect(refused).toHaveLength(196);
    expect([refused[0]?.body.code, refused[0]?.headers.get("retry-after")]).toEqual(["BUSY", "1"]);
    expect((await posthorn.api("POST", `/v1/apps/${hanging.slug}/test`)).status).toBe(200);
  });

  test("needs an installation", async () => {
    await posthorn.api("PUT", "/v1/apps/installed-nowhere", { webhook_url: "http://127.0.0.1:1/" });
    expect((await posthorn.api("POST", "/v1/apps/installed-nowhere/test")).status).toBe(409);
    expect((await posthorn.api("POST", "/v1/apps/nobody/test")).status).toBe(404);
  });
});

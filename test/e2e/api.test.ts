/** The HTTP API as a caller has it. */
import { randomUUID } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { createDocumentChecker, type DocumentChecker, type OpenApiDocument } from "../support/openapi.ts";
import { connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let receiver: Receiver;
let document: DocumentChecker;
const settings = { POSTHORN_API_TOKENS: "admin:admin-token-12345,read:read-token-123456", POSTHORN_ENCRYPTION_KEY: "ab".repeat(32) };
const admin = { authorization: "Bearer admin-token-12345" };
const read = { authorization: "Bearer read-token-123456" };

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  posthorn = await startPosthornHere({ nats, redis, settings });
  document = createDocumentChecker((await posthorn.api("GET", "/openapi.json")).body as OpenApiDocument);
});
afterAll(async () => {
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

/** Every answer of this file is held against the document. */
const callsOf =
  (one: () => Posthorn) =>
  async (method: string, path: string, body?: unknown, headers: Record<string, string> = admin) => {
    const answered = await one().api(method, path, body, headers);
    document.check(method, path, answered);
    const told = [answered.headers.get("x-content-type-options"), answered.headers.get("cache-control")];
    expect([method, path, ...told]).toEqual([method, path, "nosniff", "no-store"]);
    return answered;
  };
const call = callsOf(() => posthorn);

test.concurrent("while NATS is away a call that needs it can be made again later, and says so", async ({ onTestFinished }) => {
  const own = await startNatsServer();
  const other = await startPosthornHere({ nats: own, redis, settings });
  onTestFinished(async () => {
    await other.end();
    await own.stop();
  });
  const ask = callsOf(() => other);
  const uuid = randomUUID();
  await ask("PUT", "/v1/apps/away", { webhook_url: receiver.url });
  await ask("PUT", `/v1/installations/${uuid}`, { app: "away", organization_id: "80" });
  await own.kill();
  await eventually(async () => !(await ask("GET", "/readyz")).body.checks.nats.ok);
  const path = `/v1/installations/${uuid}`;
  // A publish may be stored although its answer did not come.
  const publishing = ask("POST", "/v1/events", { type: "issue.created", organization_id: "80", data: {} });
  // Each waits for NATS for five seconds.
  const answers = await Promise.all([
    ...[path, `${path}/health`, "/v1/dead-letters", "/v1/dead-letters/1", "/v1/status-events", "/v1/events/evt-1"].map((one) =>
      ask("GET", one),
    ),
    ask("PUT", "/v1/apps/away", { webhook_url: receiver.url, events: ["issue"] }),
    ask("DELETE", "/v1/apps/away"),
    ask("POST", "/v1/dead-letters/1/replay"),
    ask("POST", "/v1/apps/away/test"),
    ...["enable", "disable", "discard"].map((what) => ask("POST", `${path}/${what}`)),
  ]);
  expect(answers.map(({ status, body }) => [status, body.code])).toEqual(answers.map(() => [503, "NATS_UNREACHABLE"]));
  const published = await publishing;
  expect([published.status, published.body.code]).toEqual([503, "PUBLISH_FAILED"]);
  await own.restart();
  await eventually(async () => (await ask("GET", "/readyz")).status === 200);
  await eventually(async () => (await ask("GET", path)).status === 200);
});

test.concurrent("the calls about what was given up answer as they are documented", async () => {
  const rejecting = await startReceiver(answer(400, "no"));
  await call("PUT", "/v1/apps/given-up", { webhook_url: rejecting.url, events: ["*"] });
  const uuid = randomUUID();
  await call("PUT", `/v1/installations/${uuid}`, { app: "given-up", organization_id: uuid });
  const tried = await call("POST", "/v1/apps/given-up/test", { event_type: "issue.created" });
  expect(tried.body).toMatchObject({ outcome: "rejected", response_code: 400 });
  for (const id of ["1", "2"])
    await call("POST", "/v1/events", { type: "issue.created", id: `${uuid}-${id}`, organization_id: uuid, data: {} });
  const letters = await eventually(async () => {
    const { items } = (await call("GET", "/v1/dead-letters?app=given-up")).body;
    return items.length === 2 && (items as Array<{ sequence: number; delivery_id: string }>);
  });
  const [letter] = letters;
  expect((await call("GET", "/v1/dead-letters?app=given-up&limit=1")).body.next).toBe(`dead-letters.${letter?.sequence}`);
  expect((await call("GET", `/v1/dead-letters/${letter?.sequence}`)).body).toEqual(letter);
  await call("PUT", `/v1/installations/${randomUUID()}`, { app: "given-up", organization_id: "nothing happens here" });
  const ofInstallation = async (uuid: string) => (await call("GET", `/v1/dead-letters?installation_uuid=${uuid}`)).body.items;
  expect(await ofInstallation(uuid)).toEqual(letters);
  const times = (letters as Array<{ dead_lettered_at?: string }>).map(({ dead_lettered_at: at }) => at ?? "").sort();
  const [earliest = "", latest = ""] = times;
  const inTime = async (query: string) => (await call("GET", `/v1/dead-letters?app=given-up&${query}`)).body.items.length;
  // From the start on, and before the end.
  expect(await inTime(`start=${earliest}`)).toBe(2);
  expect(await inTime(`end=${earliest}`)).toBe(0);
  expect(await inTime(`start=${latest}&end=${latest}`)).toBe(0);
  rejecting.behave(answer(200));
  expect((await call("POST", `/v1/dead-letters/${letter?.sequence}/replay`)).status).toBe(202);
  expect((await call("POST", `/v1/deliveries/${letter?.delivery_id}/resend`)).status).toBe(202);
  const replayed = await replayDeadLetters(call, { app: "given-up" });
  expect(replayed).toMatchObject({ state: "done", matched: 1, replayed: 1 });
  expect((await call("GET", `/v1/dead-letters/replays/${replayed.replay_id}`)).body).toEqual(replayed);
  // The test call, two events, and three that were sent again.
  await rejecting.waitFor(6);
  await call("POST", `/v1/installations/${uuid}/disable`);
  expect((await call("POST", `/v1/installations/${uuid}/discard`)).body).toEqual({ discarded: 0 });
  await rejecting.stop();
});

describe.concurrent("apps", () => {
  test("are made, read, replaced and removed", async () => {
    const url = receiver.url;
    const made = await call("PUT", "/v1/apps/acme", {
      name: "Acme",
      webhook_url: url,
      events: ["issue"],
      headers: { "X-Team": "blue" },
      timeout_ms: 5_000,
      retry_schedule_s: [5, 30.5],
      max_in_flight: 8,
      rate_limit: { per_s: 20, burst: 40 },
      ordered: true,
      status: "published",
    });
    expect(made.status).toBe(201);
    expect(made.headers.get("location")).toBe("/v1/apps/acme");
    const { client_secret: secret, webhook_secret: webhookSecret, ...shown } = made.body;
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    expect(webhookSecret).toBe(`whsec_${Buffer.from(secret as string).toString("base64")}`);
    expect(shown).toEqual({
      ...{ slug: "acme", name: "Acme", webhook_url: url, status: "published", events: ["issue"], headers: { "X-Team": "[redacted]" } },
      ...{ timeout_ms: 5_000, retry_schedule_s: [5, 30.5], max_in_flight: 8, ordered: true, order_by: "app", on_exhausted: "continue" },
      ...{ retry_on: null, rate_limit: { per_s: 20, burst: 40 } },
      ...{ created_at: shown.updated_at, updated_at: expect.stringMatching(/^20\d\d-\d\d-\d\dT/) },
    });
    const found = await call("GET", "/v1/apps/acme");
    expect([found.status, found.body, found.headers.get("etag")]).toEqual([200, shown, made.headers.get("etag")]);
    for (const [patch, wanted] of [
      [{ per_s: 2.5 }, { per_s: 2.5, burst: 40 }],
      [{ burst: null }, { per_s: 2.5, burst: 3 }],
      [null, null],
      [{ per_s: 0.5 }, { per_s: 0.5, burst: 1 }],
    ])
      expect((await call("PATCH", "/v1/apps/acme", { rate_limit: patch })).body.rate_limit).toEqual(wanted);
    const replaced = await call("PUT", "/v1/apps/acme", { webhook_url: url });
    expect([replaced.status, replaced.body]).toEqual([
      200,
      {
        ...{ slug: "acme", name: "acme", webhook_url: url, status: "unpublished", events: [], headers: {} },
        ...{ timeout_ms: null, retry_schedule_s: null, max_in_flight: null, ordered: false, order_by: "none", on_exhausted: "continue" },
        ...{ retry_on: null, rate_limit: null },
        ...{ created_at: shown.created_at, updated_at: expect.any(String) },
      },
    ]);
    const rotated = await call("POST", "/v1/apps/acme/secret/rotate");
    expect(rotated.body.client_secret).not.toBe(secret);
    expect(Object.keys(rotated.body).sort()).toEqual(["client_secret", "previous_valid_until", "slug", "webhook_secret"]);
    expect((await call("DELETE", "/v1/apps/acme")).status).toBe(204);
    expect((await call("GET", "/v1/apps/acme")).status).toBe(404);
    expect((await call("DELETE", "/v1/apps/acme")).status).toBe(404);
  });

  test("have the order that ordered and order_by name together", async () => {
    const webhook_url = receiver.url;
    const put = (members: object) => call("PUT", "/v1/apps/order", { webhook_url, ...members });
    const patch = (members: object) => call("PATCH", "/v1/apps/order", members);
    const order = ({ body: { ordered, order_by } }: { body: Record<string, unknown> }) => ({ ordered, order_by });
    for (const [members, wanted] of [
      [{}, "none"],
      [{ ordered: false }, "none"],
      [{ ordered: true }, "app"],
      [{ ordered: true, order_by: null }, "app"],
      [{ order_by: "project" }, "project"],
      // Clients that fill in defaults send both.
      [{ ordered: false, order_by: "/issue/id" }, "/issue/id"],
    ] as const) {
      const made = await put(members);
      expect(order(made)).toEqual({ ordered: wanted !== "none", order_by: wanted });
      const { body: shown, headers } = await call("GET", "/v1/apps/order");
      for (const method of ["PUT", "PATCH"]) {
        const repeated = await call(method, "/v1/apps/order", shown);
        expect([repeated.status, repeated.headers.get("etag")]).toEqual([200, headers.get("etag")]);
      }
    }
    expect(order(await patch({ order_by: "none" }))).toEqual({ ordered: false, order_by: "none" });
    expect(order(await patch({ ordered: true }))).toEqual({ ordered: true, order_by: "app" });
    for (const change of [put, patch]) {
      const refused = await change({ ordered: true, order_by: "none" });
      expect([refused.status, refused.body.errors]).toEqual([
        400,
        [{ path: "order_by", message: 'found "none" with ordered: true, wanted another order_by or ordered: false' }],
      ]);
      expect(order(await call("GET", "/v1/apps/order")).order_by).toBe("app");
    }
    expect(order(await patch({ ordered: false }))).toEqual({ ordered: false, order_by: "none" });
  });

  test("change under a condition only", async () => {
    const made = await call("PUT", "/v1/apps/etag", { webhook_url: receiver.url }, { ...admin, "if-none-match": "*" });
    expect(made.status).toBe(201);
    expect(
      (await call("PUT", "/v1/apps/etag", { webhook_url: receiver.url, ordered: true }, { ...admin, "if-none-match": "*" })).status,
    ).toBe(412);
    expect(
      (await call("PUT", "/v1/apps/etag", { webhook_url: receiver.url, ordered: true }, { ...admin, "if-match": '"1234567"' })).status,
    ).toBe(412);
    expect(
      (
        await call(
          "PUT",
          "/v1/apps/etag",
          { webhook_url: receiver.url, ordered: true },
          { ...admin, "if-match": made.headers.get("etag") ?? "" },
        )
      ).status,
    ).toBe(200);
    expect((await call("DELETE", "/v1/apps/etag", undefined, { ...admin, "if-match": made.headers.get("etag") ?? "" })).status).toBe(412);
    for (const [condition, value, status] of [
      ["if-match", `"1", ${(await call("GET", "/v1/apps/etag")).headers.get("etag") ?? ""}`, 200],
      ["if-match", '"1", "2"', 412],
      ["if-match", "17", 400],
      ["if-none-match", '"17"', 400],
    ] as const) {
      const conditional = { ...admin, [condition]: value };
      const answered = await call("PATCH", "/v1/apps/etag", { name: value }, conditional);
      expect([value, answered.status]).toEqual([value, status]);
      if (status === 400) expect(answered.body.detail).toMatch(/^If-(None-)?Match: found ".*17.*", wanted \*/);
    }
    const wherever = { ...admin, "if-match": "*" };
    expect((await call("PUT", "/v1/apps/no-etag", { webhook_url: receiver.url }, wherever)).status).toBe(412);
    expect((await call("PUT", "/v1/apps/etag", { webhook_url: receiver.url }, wherever)).status).toBe(200);
  });

  test("are not sent again to who has them", async () => {
    const made = await call("PUT", "/v1/apps/known", { webhook_url: receiver.url });
    const known = { ...admin, "if-none-match": made.headers.get("etag") ?? "" };
    expect((await call("GET", "/v1/apps/known", undefined, known)).status).toBe(304);
    for (const tags of ["*", `"1", W/${known["if-none-match"]}`])
      expect((await call("GET", "/v1/apps/known", undefined, { ...admin, "if-none-match": tags })).status).toBe(304);
    expect((await call("GET", "/v1/apps/known", undefined, { ...admin, "if-none-match": "1" })).status).toBe(200);
    await call("PUT", "/v1/apps/known", { webhook_url: receiver.url, ordered: true });
    expect((await call("GET", "/v1/apps/known", undefined, known)).status).toBe(200);
  });

  test("stay as they are when the same is put again", async () => {
    const body = { webhook_url: receiver.url, events: ["issue"] };
    const [first, second] = [await call("PUT", "/v1/apps/same", body), await call("PUT", "/v1/apps/same", body)];
    expect([first.status, second.status, second.headers.get("etag")]).toEqual([201, 200, first.headers.get("etag")]);
  });
});

describe.concurrent("installations", () => {
  test("are made, listed, disabled, enabled and removed", async () => {
    await call("PUT", "/v1/apps/inst", { webhook_url: receiver.url });
    const [one, two] = [randomUUID(), randomUUID()].sort() as [string, string];
    const made = await call("PUT", `/v1/installations/${one}`, { app: "inst", organization_id: 77, project_ids: [7] });
    expect([made.status, made.body]).toEqual([
      201,
      {
        ...{ uuid: one, app: "inst", organization_id: "77", project_ids: ["7"], status: "active", webhook_url: null },
        ...{ created_at: expect.stringMatching(/^20\d\d-/), updated_at: made.body.created_at },
      },
    ]);
    await call("PUT", `/v1/installations/${two.toUpperCase()}`, { app: "inst", organization_id: "78" });
    const uuids = async (query: string) =>
      (await call("GET", `/v1/installations?${query}`)).body.items.map(({ uuid }: { uuid: string }) => uuid);
    expect((await uuids("app=inst")).sort()).toEqual([one, two].sort());
    expect(await uuids("app=inst&organization_id=78")).toEqual([two]);
    expect(await uuids("organization_id=nobody")).toEqual([]);
    expect((await call("GET", `/v1/installations/${one}/health`)).body).toMatchObject({ status: "active", broken: null });
    expect((await call("POST", `/v1/installations/${one}/disable`)).body.status).toBe("disabled");
    expect((await call("PUT", `/v1/installations/${one}`, { app: "inst", organization_id: "77", status: "active" })).body.status).toBe(
      "disabled",
    );
    expect((await call("POST", `/v1/installations/${one}/enable`)).body.status).toBe("active");
    expect((await call("POST", `/v1/installations/${one}/discard`)).status).toBe(409);
    expect((await call("POST", `/v1/installations/${randomUUID()}/enable`)).status).toBe(404);
    expect((await call("DELETE", `/v1/installations/${one}`)).status).toBe(204);
    expect((await call("GET", `/v1/installations/${one}`)).status).toBe(404);
  });

  test("are enabled, disabled and discarded for under a condition only", async () => {
    const uuid = randomUUID();
    await call("PUT", "/v1/apps/conditions", { webhook_url: receiver.url });
    const body = { app: "conditions", organization_id: "79" };
    const made = await call("PUT", `/v1/installations/${uuid}`, body);
    const under = (what: string, { headers }: { headers: Headers }) =>
      call("POST", `/v1/installations/${uuid}/${what}`, undefined, { ...admin, "if-match": headers.get("etag") ?? "" });
    expect((await call("GET", `/v1/installations/${uuid}`)).headers.get("etag")).toBe(made.headers.get("etag"));
    const disabled = await under("disable", made);
    expect([disabled.status, disabled.body.status]).toEqual([200, "disabled"]);
    // Also where there is nothing to change: the caller has not seen what it is asking for.
    for (const what of ["enable", "disable", "discard"]) {
      const refused = await under(what, made);
      expect([refused.status, refused.body.code]).toEqual([412, "PRECONDITION_FAILED"]);
    }
    const discarded = await under("discard", disabled);
    expect([discarded.status, discarded.headers.get("etag")]).toEqual([200, disabled.headers.get("etag")]);
    const enabled = await under("enable", disabled);
    expect(enabled.body.status).toBe("active");
    // Active as at first, but not the same record.
    expect((await under("disable", made)).status).toBe(412);
    const replaced = await call("PUT", `/v1/installations/${uuid}`, { ...body, project_ids: ["7"] });
    expect((await under("disable", enabled)).status).toBe(412);
    expect((await under("disable", replaced)).status).toBe(200);
    const any = { ...admin, "if-match": "*" };
    expect((await call("POST", `/v1/installations/${uuid}/enable`, undefined, any)).status).toBe(200);
    expect((await call("POST", `/v1/installations/${randomUUID()}/enable`, undefined, any)).status).toBe(404);
  });
});

describe.concurrent("events over HTTP", () => {
  test("are published as the caller wrote them", async () => {
    const organization = randomUUID();
    const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url }).catch(() => ({ slug: "http-events", uuid: randomUUID() }));
    await call("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url, events: ["*"] });
    await call("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: organization });
    const traceparent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const published = await call(
      "POST",
      "/v1/events",
      `{"type":"issue.created","id":"http-1","organization_id":"${organization}","data":{"big":12345678901234567890}}`,
      { ...admin, traceparent },
    );
    expect([published.status, published.body]).toEqual([
      202,
      { id: "http-1", type: "issue.created", stream: expect.stringMatching(/_EVENTS$/), sequence: expect.any(Number), duplicate: false },
    ]);
    const again = await call("POST", "/v1/events", { type: "issue.created", id: "http-1", organization_id: organization, data: {} });
    expect(again.body.duplicate).toBe(true);
    const request = await eventually(() => receiver.requests.find(({ body }) => body.toString().includes('"big":12345678901234567890')));
    expect(request.headers["traceparent"]).toContain("1af7651916cd43dd8448eb211c80319c");
    const cloudEvent = await call(
      "POST",
      "/v1/events",
      JSON.stringify({
        specversion: "1.0",
        id: "ce-http",
        source: "/x",
        type: "issue.created",
        organizationid: organization,
        data: { ce: true },
      }),
      {
        ...admin,
        "content-type": "application/cloudevents+json",
      },
    );
    expect(cloudEvent.status).toBe(202);
    await eventually(() => receiver.requests.find(({ body }) => body.toString().includes('"ce":true')));
  });

  test("have the Idempotency-Key as their id when they have none", async () => {
    const publish = async (body: string | object, key: string, type = "application/json") =>
      (await call("POST", "/v1/events", body, { ...admin, "idempotency-key": key, "content-type": type })).body;
    const event = { type: "issue.created", organization_id: "nobody", data: {} };
    const first = await publish(event, "key-1");
    expect(first).toMatchObject({ id: "key-1", duplicate: false });
    for (const key of ["key-1", '"key-1"']) expect(await publish(event, key)).toMatchObject({ id: "key-1", duplicate: true });
    expect(await publish({ ...event, id: null }, "key-1")).toMatchObject({ id: "key-1", duplicate: true });
    // Another type is another event, as on the bus.
    expect(await publish({ ...event, type: "issue.resolved" }, "key-1")).toMatchObject({ id: "key-1", duplicate: false });
    expect(await publish({ ...event, id: "own" }, "key-1")).toMatchObject({ id: "own", duplicate: false });
    const cloudEvent = { specversion: "1.0", source: "/key", type: "issue.created", organizationid: "nobody", data: {} };
    expect(await publish(cloudEvent, "key-1", "application/cloudevents+json")).toMatchObject({ id: "key-1", duplicate: false });
    const bus = await connectBus(nats, posthorn.prefix);
    const manager = await bus.connection.jetstreamManager();
    expect((await manager.streams.getMessage(first.stream, { seq: first.sequence })).json()).toEqual({ ...event, id: "key-1" });
    await bus.close();
    for (const key of ["", "a b", "x".repeat(201), "\u00e9"])
      expect((await call("POST", "/v1/events", event, { ...admin, "idempotency-key": key })).body.code, key).toBe("RECORD_INVALID");
  });

  test("come in batches, with an answer for each", async () => {
    const event = (n: number) => `{"type":"issue.created","id":"batch-${n}","organization_id":"nobody","data":{"n":${n}.0}}`;
    const texts = [event(1), '{"type":"issue.created","data":{}}', "7", event(1), event(2)];
    for (const [at, body] of [`{ "events": [${texts.join(" , ")}] }`, `[${texts.join(",")}]`].entries()) {
      const { status, body: answered } = await call("POST", "/v1/events", body);
      expect([status, answered.stored, answered.refused]).toEqual([207, 3, 2]);
      const results = answered.results as Array<{ status: number; event: Record<string, unknown>; problem: Record<string, unknown> }>;
      expect(results.map((result) => result.status)).toEqual([202, 400, 400, 202, 202]);
      expect(results.map((result) => result.event?.["duplicate"])).toEqual([at === 1, undefined, undefined, true, at === 1]);
      expect(results[1]?.problem).toMatchObject({ code: "RECORD_INVALID", errors: [{ path: "organization_id" }] });
      const sequences = results.flatMap((result) => (result.event === null ? [] : [Number(result.event["sequence"])]));
      expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
    }
    const keyed = await call(
      "POST",
      "/v1/events",
      { events: [{ type: "a.b", organization_id: "nobody", data: {} }] },
      { ...admin, "idempotency-key": "k" },
    );
    expect(keyed.body.results[0].event.id).toBe("k:0");
    const most = JSON.stringify({ events: Array.from({ length: 1_000 }, (_, n) => JSON.parse(event(n + 10)) as object) });
    const all = (await call("POST", "/v1/events", most)).body;
    expect([all.stored, all.refused]).toEqual([1_000, 0]);
    const ordered = all.results.map((result: { event: { sequence: number } }) => result.event.sequence);
    expect(ordered).toEqual([...ordered].sort((a: number, b: number) => a - b));
  });

  test.each<[string, string]>([
    ['{"events":[]}', "events: found 0, wanted 1 to 1000"],
    ["[]", "events: found 0, wanted 1 to 1000"],
    [JSON.stringify(Array.from({ length: 1_001 }, () => 0)), "events: found 1001, wanted 1 to 1000"],
    ['{"events":{}}', "events: found an object, wanted an array of events"],
    ['{"events":[{}],"id":1}', "id: unknown member, wanted events alone"],
  ])("in the batch %.40s are refused", async (body, problem) => {
    const answered = await call("POST", "/v1/events", body);
    expect([answered.status, answered.body.detail]).toEqual([400, `body: ${problem}`]);
  });

  test.each<[string, string | object, string, RegExp]>([
    ["no JSON", "{", "", /not valid JSON/],
    ["no type", { organization_id: "1", data: {} }, "type", /found nothing, wanted <resource>\.<action>/],
    ["a type with one part", { type: "issue", organization_id: "1", data: {} }, "type", /found "issue"/],
    ["a type with a capital", { type: "Issue.created", organization_id: "1", data: {} }, "type", /found "Issue\.created", wanted .*a-z/],
    ["no organization", { type: "issue.created", data: {} }, "organization_id", /missing/],
    ["data that is no object", { type: "issue.created", organization_id: "1", data: [] }, "data", /found an array, wanted an object/],
  ])("with %s are refused", async (_what, body, path, message) => {
    const { status, body: problem } = await call("POST", "/v1/events", body);
    expect([status, problem.code, problem.errors]).toEqual([400, "RECORD_INVALID", [{ path, message: expect.stringMatching(message) }]]);
  });
});

describe.concurrent("the request log", () => {
  test("is asked by type, errors, organization and time", async () => {
    const failing = await startReceiver(answer(500, "broken"));
    const bus = await connectBus(nats, posthorn.prefix);
    const organization = randomUUID();
    await call("PUT", "/v1/apps/log", { webhook_url: failing.url, events: ["*"], retry_schedule_s: [] });
    await call("PUT", `/v1/installations/${randomUUID()}`, { app: "log", organization_id: organization });
    const query = async (text: string) =>
      (await call("GET", `/v1/apps/log/webhook-requests?${text}`, undefined, read)).body.items as Array<Record<string, unknown>>;
    expect(await query("")).toEqual([]);
    await bus.publish("issue.created", { organization_id: organization, data: {} });
    await eventually(async () => (await query("")).length === 1);
    failing.behave(answer(200));
    await bus.publish("comment.created", { organization_id: organization, data: {} });
    await eventually(async () => (await query("")).length === 2);
    const types = async (text: string) => (await query(text)).map(({ event_type }) => event_type);
    expect(await types("")).toEqual(["comment.created", "issue.created"]);
    expect(await types("errors_only=true")).toEqual(["issue.created"]);
    expect(await types("event_type=comment.created")).toEqual(["comment.created"]);
    expect(await types(`organization_id=${organization}&limit=1`)).toEqual(["comment.created"]);
    expect(await types("organization_id=other")).toEqual([]);
    expect(await types("start=2020-01-01T00:00:00+02:00&end=2020-01-01 02:00:00Z")).toEqual([]);
    expect(await types("start=2100-01-01T00:00:00Z")).toEqual([]);
    const [{ date: newest } = {}] = await query("");
    expect(await types(`start=${String(newest)}`)).toEqual(["comment.created"]);
    expect(await types(`end=${String(newest)}`)).toEqual(["issue.created"]);
    expect(await types(`end=${encodeURIComponent(new Date(Date.now() + 60_000).toISOString())}`)).toHaveLength(2);
    const first = (await call("GET", "/v1/apps/log/webhook-requests?limit=1")).body;
    const second = (await call("GET", `/v1/apps/log/webhook-requests?limit=1&cursor=${first.next}`)).body;
    expect([first.items[0].event_type, second.items[0].event_type, second.next]).toEqual(["comment.created", "issue.created", null]);
    // A row that has fallen out of its list: the page goes on with what is older.
    const gone = (first.next as string).replace(/dlv_[0-9a-f]{32}/, `dlv_${"f".repeat(32)}`);
    expect(await types(`cursor=${gone}`)).toEqual(["issue.created"]);
    for (const wrong of [
      "cursor=yesterday",
      "limit=1001",
      "start=2026-02-01&end=2026-01-01",
      "event_type=Issue",
      "errors_only=maybe",
      "start=yesterday",
      "limit=0",
    ]) {
      expect((await call("GET", `/v1/apps/log/webhook-requests?${wrong}`)).status).toBe(400);
    }
    expect((await call("GET", "/v1/apps/nobody/webhook-requests")).status).toBe(404);
    await bus.close();
    await failing.stop();
  });
});

describe.concurrent("a token", () => {
  test("is needed, and covers what its scope says", async () => {
    const statuses = async (headers: Record<string, string>) => [
      (await call("GET", "/v1/apps", undefined, headers)).status,
      (await call("PUT", "/v1/apps/token", { webhook_url: receiver.url }, headers)).status,
      (await call("GET", "/metrics", undefined, headers)).status,
      (await call("GET", "/healthz", undefined, headers)).status,
      (await call("GET", "/readyz", undefined, headers)).status,
      (await call("GET", "/openapi.json", undefined, headers)).status,
    ];
    expect(await statuses({})).toEqual([401, 401, 401, 200, 200, 200]);
    expect(await statuses({ authorization: "Bearer wrong" })).toEqual([401, 401, 401, 200, 200, 200]);
    expect(await statuses(read)).toEqual([200, 403, 200, 200, 200, 200]);
    expect(await statuses(admin)).toEqual([200, 201, 200, 200, 200, 200]);
    expect((await call("GET", "/v1/apps", undefined, {})).headers.get("www-authenticate")).toBe("Bearer");
  });
});

describe.concurrent("a query", () => {
  test("with a parameter that the call doesn't know is refused, and the answer names it and the known ones", async () => {
    const { paths } = (await call("GET", "/openapi.json")).body as OpenApiDocument;
    for (const [template, operations] of Object.entries(paths)) {
      const path = template
        .replace("{slug}", "nobody")
        .replace("{sequence}", "1")
        .replace(/deliveries\/\{id\}/, `deliveries/dlv_${"0".repeat(32)}`)
        .replace("/v1/replays/{id}", `/v1/replays/rpl_${"0".repeat(32)}`)
        .replace(/\{(?:uuid|id)\}/, randomUUID());
      for (const [method, operation] of Object.entries(operations)) {
        const { parameters } = operation as unknown as { parameters: Array<{ name: string; in: string }> };
        const known = parameters.filter((parameter) => parameter.in === "query").map(({ name }) => name);
        const answered = await call(method.toUpperCase(), `${path}?no_such_parameter=1`);
        const message = `unknown parameter, ${known.length === 0 ? "the call takes no parameters" : `wanted ${known.join(", ")}`}`;
        expect([method, path, answered.status, answered.body.errors]).toEqual([
          method,
          path,
          400,
          [{ path: "no_such_parameter", message }],
        ]);
        expect(answered.body.detail).toContain("no_such_parameter");
      }
    }
  });

  test.each([
    ["/v1/installations?app=acme&app=other", "query: app: given 2 times, wanted once"],
    ["/v1/installations?app=", "query: app: empty, wanted a value or no parameter"],
    ["/v1/installations?stauts=broken", /did you mean status\?/],
    ["/v1/installations?status=sleepy", 'query: status: found "sleepy", wanted active, broken or disabled'],
    ["/v1/apps?limit=1e2", 'query: limit: found "1e2", wanted a whole number, 1 to 1000'],
    ["/v1/apps?limit=0", 'query: limit: found "0", wanted a whole number, 1 to 1000'],
    ["/v1/dead-letters?cursor=-1", 'query: cursor: found "-1", wanted the `next` of a page of this list, dead-letters.…'],
    ["/v1/dead-letters?cursor=events.7", 'query: cursor: found "events.7", wanted the `next` of a page of this list, dead-letters.…'],
    ["/v1/dead-letters?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z", "query: start: later than end, wanted start ≤ end"],
    [
      "/v1/apps/nobody/webhook-requests?start=2026-02-01T00:00:00Z&end=2026-01-01T00:00:00Z",
      "query: start: later than end, wanted start ≤ end",
    ],
  ])("%s is refused", async (path, detail) => {
    const answered = await call("GET", path);
    expect([answered.status, answered.body.detail]).toEqual([400, typeof detail === "string" ? detail : expect.stringMatching(detail)]);
  });

  test("lists the installations of a status", async () => {
    await call("PUT", "/v1/apps/by-status", { webhook_url: receiver.url });
    const [one, two] = [randomUUID(), randomUUID()];
    for (const uuid of [one, two]) await call("PUT", `/v1/installations/${uuid}`, { app: "by-status", organization_id: uuid });
    await call("POST", `/v1/installations/${two}/disable`);
    const uuids = async (status: string) =>
      (await call("GET", `/v1/installations?app=by-status&status=${status}`)).body.items.map(({ uuid }: { uuid: string }) => uuid);
    expect([await uuids("active"), await uuids("disabled"), await uuids("broken")]).toEqual([[one], [two], []]);
  });

  test.each([
    ["GET", "/v1/installations?app=nope", "no app nope"],
    ["GET", "/v1/dead-letters?app=nope", "no app nope"],
    ["GET", "/v1/dead-letters?order=newest&app=nope", "no app nope"],
    ["GET", `/v1/dead-letters?installation_uuid=${"0".repeat(8)}-0000-4000-8000-${"0".repeat(12)}`, /^no installation 0/],
    ["POST", "/v1/dead-letters/replay", "no app nope"],
    ["GET", "/v1/status-events?app=nope", "no app nope"],
    ["DELETE", "/v1/apps/nope/debug-log", "no app nope"],
    ["DELETE", `/v1/installations/${"0".repeat(8)}-0000-4000-8000-${"0".repeat(12)}/debug-log`, /^no installation 0/],
  ])("%s %s is about something that isn't there", async (method, path, detail) => {
    const answered = await call(method, path, method === "POST" ? { app: "nope" } : undefined);
    expect([answered.status, answered.body.detail]).toEqual([404, typeof detail === "string" ? detail : expect.stringMatching(detail)]);
  });
});

describe.concurrent("every error is a problem", () => {
  test.each<[string, Parameters<typeof call>, number]>([
    ["a path that is not there", ["GET", "/v1/nothing"], 404],
    ["a method that the path does not take", ["POST", "/v1/apps"], 405],
    ["a path that is no path", ["GET", "/v1/apps/%zz"], 400],
    ["a path that is too long", ["GET", `/v1/apps/${"a".repeat(4_000)}`], 414],
    ["headers that are too long", ["GET", "/v1/apps", undefined, { ...admin, "x-long": "x".repeat(20_000) }], 431],
    ["a slug that is none", ["GET", "/v1/apps/Not%20A%20Slug"], 400],
    ["a UUID that is none", ["GET", "/v1/installations/7"], 400],
    ["malformed JSON", ["PUT", "/v1/apps/x", "{", { ...admin, "content-type": "application/json" }], 400],
    [
      "a member called __proto__",
      ["PUT", "/v1/apps/x", '{"__proto__":{"admin":true}}', { ...admin, "content-type": "application/json" }],
      400,
    ],
    ["a batch in another format", ["POST", "/v1/events", "[]", { ...admin, "content-type": "application/cloudevents-batch+avro" }], 415],
    ["a body that nobody reads", ["POST", "/v1/apps/x/secret/rotate", { overlap: "1h" }], 400],
    ["another content type", ["PUT", "/v1/apps/x", "<x/>", { ...admin, "content-type": "text/xml" }], 415],
    ["a body of 2 MB", ["PUT", "/v1/apps/x", JSON.stringify({ name: "x".repeat(2_000_000) })], 413],
    ["an event of 1 MB", ["POST", "/v1/events", { type: "a.b", organization_id: "1", data: { text: "x".repeat(1_040_000) } }], 413],
    [
      "a body that is not UTF-8",
      ["POST", "/v1/events", new Blob([Buffer.from([0x7b, 0x22, 0xff])]), { ...admin, "content-type": "application/json" }],
      400,
    ],
    ["an unusable URL", ["PUT", "/v1/apps/x", { webhook_url: "http://169.254.169.254/latest" }], 400],
    ["an unknown event pattern", ["PUT", "/v1/apps/x", { webhook_url: "https://x.example", events: ["Issue Created"] }], 400],
  ])("%s", async (_what, given, status) => {
    const answered = await call(...given);
    expect(answered.status).toBe(status);
    expect(answered.headers.get("content-type")).toBe("application/problem+json");
    expect(answered.body).toMatchObject({ status, title: expect.any(String), detail: expect.any(String) });
    const { type, code } = answered.body as { type: string; code: string };
    const section = new URL(type, posthorn.url);
    expect(section.hash).toBe(`#${code.toLowerCase()}`);
    expect(await (await fetch(section)).text()).toContain(`\n## ${code}\n`);
    expect(JSON.stringify(answered.body)).not.toMatch(/node_modules|\.ts:\d+/);
  });
});

test.concurrent("a body that is no JSON is refused with where it stops being JSON", async () => {
  const { status, body } = await call("PUT", "/v1/apps/x", '{"name":x}');
  expect([status, body.code, body.detail]).toEqual([400, "REQUEST_INVALID", expect.stringMatching(/^body: not valid JSON \(.*'x'.*\)$/)]);
});

test.concurrent("a body that is refused unread is thrown away, and its sender reads why, every time", async () => {
  const body = JSON.stringify({ name: "x".repeat(8_000_000) });
  for (let times = 0; times < 20; times++) expect((await call("PUT", "/v1/apps/x", body)).status).toBe(413);
  expect((await call("PUT", "/v1/apps/x", body, {})).status).toBe(401);
});

test.concurrent("what is no HTTP at all gets a problem too", async () => {
  const socket = connect(Number(new URL(posthorn.url).port), "127.0.0.1");
  socket.write("this is not HTTP\r\n\r\n");
  const text = Buffer.concat(await socket.toArray()).toString();
  expect(text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\ncontent-type: application\/problem\+json\r\n/);
  expect(text).toMatch(/\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n/);
  expect(JSON.parse(text.split("\r\n\r\n")[1] ?? "")).toMatchObject({ status: 400, detail: expect.stringContaining("HTTP") });
});

const APP = '"webhook_url":"https://hooks.acme.example/"';

test.each<[string, string, string, string, RegExp]>([
  [
    "PUT",
    "/v1/apps/x",
    `{${APP},"headers":{"__proto__":"1"}}`,
    "headers.__proto__",
    /^found the name "__proto__", wanted another header name$/,
  ],
  [
    "PUT",
    "/v1/apps/x",
    `{${APP},"headers":{"\\u005f_proto__":{"a":1}}}`,
    "headers.__proto__",
    /^found the name "__proto__", wanted another/,
  ],
  [
    "PATCH",
    "/v1/apps/names",
    '{"headers":{"X-Team":"a","__proto__":null}}',
    "headers.__proto__",
    /^found the name "__proto__", wanted another/,
  ],
  ["PUT", "/v1/apps/x", `{${APP},"__proto__":{"status":"internal"}}`, "", /^unknown member "__proto__", wanted slug, name, /],
  ["PUT", "/v1/apps/x", `{${APP},"rate_limit":{"per_s":1,"__proto__":{"burst":1}}}`, "rate_limit", /^unknown member "__proto__"$/],
  ["PUT", "/v1/apps/x", `{${APP},"constructor":{"prototype":{"a":1}}}`, "", /^unknown member "constructor", wanted slug, name, /],
  ["PUT", "/v1/apps/x", `{${APP},"headers":{"constructor":{"prototype":1}}}`, "headers.constructor", /^found an object, wanted a string$/],
  ["POST", "/v1/replays", '{"__proto__":{"app":"names"},"what":"all"}', "", /^unknown member "__proto__", wanted app, /],
  ["POST", "/v1/apps/names/secret/rotate", '{"__proto__":{"a":1}}', "__proto__", /^the call takes no body$/],
])("a %s of %s with %s is refused, and says which name is wrong", async (method, path, body, at, message) => {
  await call("PUT", "/v1/apps/names", { webhook_url: receiver.url });
  const { status, body: problem } = await call(method, path, body);
  expect([status, problem.code, problem.errors]).toEqual([
    400,
    "RECORD_INVALID",
    expect.arrayContaining([{ path: at, message: expect.stringMatching(message) }]),
  ]);
});

test("a header may have the name of a member of every object", async () => {
  const headers = { constructor: "1", prototype: "2", toString: "3" };
  expect((await call("PUT", "/v1/apps/names", { webhook_url: receiver.url, headers })).status).toBeLessThan(300);
  expect(Object.keys((await call("GET", "/v1/apps/names")).body.headers)).toEqual(Object.keys(headers));
});

// Sequential: no other test creates an app meanwhile.
test("apps are listed in pages", async () => {
  for (const slug of ["list-a", "list-b", "list-c"]) await call("PUT", `/v1/apps/${slug}`, { webhook_url: receiver.url });
  const page = async (cursor: string) => (await call("GET", `/v1/apps?limit=2${cursor}`)).body;
  const first = await page("");
  expect(first.items.map(({ slug }: { slug: string }) => slug)).toEqual(["list-c", "list-b"]);
  // An app that is created between two calls moves nothing.
  await call("PUT", "/v1/apps/list-d", { webhook_url: receiver.url });
  expect((await page(`&cursor=${first.next}`)).items[0].slug).toBe("list-a");
});

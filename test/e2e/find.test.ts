/** Finding what happened without knowing an id, and with one: lists, filters, payloads, one search. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthorn } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let good: Receiver;
let bad: Receiver;

beforeAll(async () => {
  [nats, redis, good, bad] = await Promise.all([
    startNatsServer(),
    startRedisServer({ arguments: ["--appendfsync", "always"] }),
    startReceiver((_request, response) => void response.writeHead(200, { "x-receiver": "fine" }).end("thanks")),
    startReceiver(answer(503, "out of order")),
  ]);
  posthorn = await startPosthorn({
    ...{ nats, redis },
    settings: { POSTHORN_LOG_DELIVERED_BODIES: "true", POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000" },
  });
  bus = await connectBus(nats, posthorn.prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), redis.stop(), good.stop(), bad.stop()]);
});

const get = async (path: string) => {
  const { status, body } = await posthorn.api("GET", path);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body;
};
/** An app installed in an organization of its own. */
const installed = async (app: { webhook_url: string; [member: string]: unknown }) => {
  const organization = randomUUID();
  return { organization, ...(await posthorn.install({ organization_id: organization, ...app })) };
};
const publish = (organization: string, id: string, more: object = {}, type = "issue.created") =>
  bus.publish(type, { id, organization_id: organization, data: {}, ...more });

describe("the request log", () => {
  test("is filtered by event, delivery, installation, outcome, code and time", async () => {
    const { slug, uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [] });
    await publish(organization, "log-1");
    await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items.length === 1);
    await posthorn.api("PATCH", `/v1/apps/${slug}`, { webhook_url: good.url });
    await publish(organization, "log-2");
    const { items } = await eventually(async () => {
      const page = await get(`/v1/apps/${slug}/webhook-requests`);
      return page.items.length === 2 && page;
    });
    const found = async (query: string): Promise<string[]> =>
      (await get(`/v1/apps/${slug}/webhook-requests?${query}`)).items.map((row: { event_id: string }) => row.event_id);
    expect(await found("event_id=log-1")).toEqual(["log-1"]);
    expect(await found(`delivery_id=${deliveryIdOf("log-2", uuid)}`)).toEqual(["log-2"]);
    expect(await found(`installation_uuid=${uuid}`)).toEqual(["log-2", "log-1"]);
    expect(await found(`installation_uuid=${randomUUID()}`)).toEqual([]);
    expect(await found("outcome=failed&response_code=503")).toEqual(["log-1"]);
    expect(await found("outcome=delivered")).toEqual(["log-2"]);
    expect(await found(`start=${items[0].date}`)).toEqual(["log-2"]);
    expect(await found(`end=${items[0].date}`)).toEqual(["log-1"]);
    for (const [query, path] of [
      [`start=${items[0].date}&end=${items[1].date}`, "start"],
      ["outcome=lost", "outcome"],
      ["response_code=5xx", "response_code"],
      ["delivery_id=dlv_1", "delivery_id"],
      ["events_id=log-1", "events_id"],
    ]) {
      const { status, body } = await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests?${query}`);
      expect([status, body.errors?.[0].path]).toEqual([400, path]);
    }
  });

  test("has request and response of delivered attempts when POSTHORN_LOG_DELIVERED_BODIES says so", async () => {
    const { slug, organization } = await installed({ webhook_url: good.url, headers: { "X-Key": "secret-of-theirs" } });
    await publish(organization, "whole", { data: { number: 1 } });
    const row = await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items[0]);
    expect(row).toMatchObject({ outcome: "delivered", response_body: "thanks", error: null });
    expect(row.request_headers).toMatchObject({ "X-Key": "[redacted]", "webhook-id": row.delivery_id });
    expect(JSON.parse(row.request_body).data).toEqual({ number: 1 });
  });

  test("has both bodies and headers of a test call, as its answer has", async () => {
    const { slug, clientSecret } = await installed({ webhook_url: good.url });
    const { body } = await posthorn.api("POST", `/v1/apps/${slug}/test`, { data: { secret: clientSecret } });
    expect(body).toMatchObject({ outcome: "delivered", response_body: "thanks", response_headers: { "x-receiver": "fine" } });
    expect(body.request_headers).toMatchObject({ "webhook-id": body.delivery_id });
    expect(JSON.parse(body.request_body).data).toEqual({ secret: "[redacted]" });
    const row = await eventually(async () => (await get(`/v1/apps/${slug}/webhook-requests`)).items[0]);
    const { request_headers, request_body, response_headers, response_body } = body;
    expect(row).toMatchObject({ request_headers, request_body, response_headers, response_body });
  });
});

describe("dead letters", () => {
  test("are deleted by filter, and all of them only when that is said", async () => {
    const [first, second] = [
      await installed({ webhook_url: bad.url, retry_schedule_s: [] }),
      await installed({ webhook_url: bad.url, retry_schedule_s: [] }),
    ];
    for (let at = 0; at < 3; at++) await publish(first.organization, `gone-${at}`);
    await publish(first.organization, "gone-3", {}, "comment.created");
    await publish(second.organization, "kept");
    const count = async (slug: string): Promise<number> => (await get(`/v1/dead-letters?app=${slug}`)).items.length;
    await eventually(async () => (await count(first.slug)) === 4 && (await count(second.slug)) === 1);

    expect((await posthorn.api("DELETE", "/v1/dead-letters")).body.errors).toMatchObject([{ path: "all" }]);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?app=nobody")).status).toBe(404);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?start=2026-01-02&end=2026-01-01")).status).toBe(400);
    const dry = await posthorn.api("DELETE", `/v1/dead-letters?app=${first.slug}&event_type=issue.created&dry_run=true`);
    expect(dry.body).toEqual({ deleted: 3, complete: true, dry_run: true });
    const done = await posthorn.api("DELETE", `/v1/dead-letters?app=${first.slug}&event_type=issue.created`);
    expect(done.body).toEqual({ deleted: 3, complete: true, dry_run: false });
    expect([await count(first.slug), await count(second.slug)]).toEqual([1, 1]);
    expect((await posthorn.api("DELETE", "/v1/dead-letters?all=true")).body.deleted).toBeGreaterThanOrEqual(2);
    expect(await count(second.slug)).toBe(0);
  });
});

describe("an event that is explained", () => {
  const explain = (id: string, query = "") => get(`/v1/events/${encodeURIComponent(id)}${query}`);

  test("has its data as it was published, and so has the event of a delivery", async () => {
    const { uuid, organization } = await installed({ webhook_url: good.url });
    const data = '{"b":1.0,"a":12345678901234567890}';
    await bus.publish("issue.created", `{"id":"with-data","organization_id":"${organization}","data":${data},"actor":{"id":"7"}}`);
    const text = await (await fetch(`${posthorn.url}/v1/events/with-data`)).text();
    expect(text).toContain(`"data":${data},"actor":{"id":"7"}`);
    await eventually(async () => (await get(`/v1/deliveries/${deliveryIdOf("with-data", uuid)}`)).delivery.state === "delivered");
    expect((await get(`/v1/deliveries/${deliveryIdOf("with-data", uuid)}`)).event).toMatchObject({ data: { b: 1 }, actor: { id: "7" } });
  });

  test("says why one app did not get it: not installed in the organization, or no such app", async () => {
    const { slug, organization } = await installed({ webhook_url: good.url, events: ["comment"] });
    const elsewhere = await installed({ webhook_url: good.url });
    await publish(organization, "why");
    expect((await explain("why", `?app=${slug}`)).not_wanted).toMatchObject([{ app: slug, because: "not_subscribed" }]);
    expect((await explain("why", `?app=${elsewhere.slug}`)).not_wanted).toEqual([
      {
        ...{ app: elsewhere.slug, installation_uuid: null, because: "not_installed" },
        detail: `app ${elsewhere.slug} is not installed in organization ${organization}; it is installed once elsewhere`,
      },
    ]);
    expect((await explain("why", "?app=unheard-of")).not_wanted).toMatchObject([{ because: "no_app", detail: "no app unheard-of" }]);
  });

  test("is not hidden by a delivered event of another type with the same id", async () => {
    const { organization } = await installed({ webhook_url: good.url, events: ["issue"] });
    await publish(organization, "twin");
    await eventually(async () => (await explain("twin")).deliveries[0]?.state === "delivered");
    await publish(organization, "twin", {}, "comment.created");
    const both = await eventually(async () => {
      const found = await explain("twin");
      return found.others.length === 1 && found;
    });
    expect([both.event.type, both.others[0].event.type]).toEqual(["comment.created", "issue.created"]);
  });

  test("has a timeline of each delivery up to what is due next", async () => {
    const { uuid, organization } = await installed({ webhook_url: bad.url, retry_schedule_s: [600] });
    await publish(organization, "long-way");
    const { delivery } = await eventually(async () => {
      const found = await get(`/v1/deliveries/${deliveryIdOf("long-way", uuid)}`);
      return found.delivery.state === "retrying" && found;
    });
    expect(delivery.timeline.map(({ kind }: { kind: string }) => kind)).toEqual(["event", "attempt", "waiting", "due"]);
    expect(delivery.timeline.at(-1).at).toBe(delivery.next_attempt_at);
  });
});

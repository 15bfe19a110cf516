/** Which events are the same, what happens to the second message of one, and what can be no event's name. */
import { randomUUID } from "node:crypto";
import { headers as natsHeaders } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPublisher, type Publisher } from "../../src/client/create-publisher.ts";
import type { EventAnswer, ExplainedDelivery } from "../../src/explain/answer-schemas.ts";
import { deliveryId } from "../../src/model/event-key.ts";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { PROTOTYPE_NAMES, PROTOTYPE_SLUGS } from "../support/prototype-names.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;
let posthorn: Posthorn;
let bus: Bus;
let receiver: Receiver;
let publisher: Publisher;

beforeAll(async () => {
  [nats, redis, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  posthorn = await startPosthornHere({ nats, redis });
  bus = await connectBus(nats, posthorn.prefix);
  publisher = await createPublisher({ nats: bus.connection, subjectPrefix: posthorn.prefix });
});
afterAll(async () => {
  await publisher.close();
  await bus.close();
  expect(await posthorn.end()).toBe(0);
  await Promise.all([nats.stop(), redis.stop(), receiver.stop()]);
});

/** An app installed in an organization of its own, whose receiver answers by the number of the request, from 1. */
const installed = async (statusOf: (nth: number) => number | Promise<number> = () => 200) => {
  const organization = randomUUID();
  const requests: Array<{ readonly id: string; readonly body: string }> = [];
  const own = await startReceiver(async ({ headers, body }, response) => {
    requests.push({ id: String(headers["webhook-id"]), body: body.toString() });
    response.writeHead(await statusOf(requests.length)).end();
  });
  receivers.push(own);
  const app = await posthorn.install({ webhook_url: own.url, organization_id: organization, retry_schedule_s: [1, 1] });
  return { ...app, organization, requests, receiver: own };
};
const receivers: Receiver[] = [];
afterAll(() => Promise.all(receivers.map(({ stop }) => stop())));

const delivered = (id: string): Promise<ExplainedDelivery> =>
  eventually(async () => {
    const { status, body } = await posthorn.api("GET", `/v1/deliveries/${id}`);
    if (status !== 200 || body.delivery.state !== "delivered") throw new Error(`${status} ${JSON.stringify(body)}`);
    return body.delivery as ExplainedDelivery;
  });
const explainEvent = async (id: string, query = ""): Promise<EventAnswer> => {
  const { status, body } = await posthorn.api("GET", `/v1/events/${encodeURIComponent(id)}${query}`);
  if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
  return body as EventAnswer;
};
const cloudEvent = (source: string, id: string, organization: string, more: object = {}) => ({
  ...{ specversion: "1.0", type: "issue.created", id, source, organizationid: organization, data: { source } },
  ...more,
});
const linesOf = (id: string) => posthorn.log.filter(({ message, delivery_id }) => message === "delivery.skipped" && delivery_id === id);
const metric = async (name: string): Promise<number> =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec((await posthorn.api("GET", "/metrics")).body)?.[1] ?? 0);

describe("events with the same id", () => {
  test("are two when they are CloudEvents of different sources, and the one that fails at first is tried again", async () => {
    const { organization, uuid, requests } = await installed((nth) => (nth === 2 ? 503 : 200));
    const id = `A234-${organization}`;
    const of = (source: string): string => deliveryId({ id, source, type: "issue.created" }, uuid);
    await bus.publish("issue.created", cloudEvent("/shop", id, organization));
    expect((await delivered(of("/shop"))).attempts).toMatchObject([{ response_code: 200 }]);
    await bus.publish("issue.created", cloudEvent("/billing", id, organization));
    expect((await delivered(of("/billing"))).attempts).toMatchObject([{ response_code: 503 }, { response_code: 200 }]);
    expect(requests.map(({ id: webhookId }) => webhookId)).toEqual([of("/shop"), of("/billing"), of("/billing")]);

    const { event, deliveries, others } = await explainEvent(id);
    expect([event.source, deliveries.map((one) => one.delivery_id)]).toEqual(["/billing", [of("/billing")]]);
    expect(others.map((other) => [other.event.source, other.deliveries.map((one) => one.delivery_id)])).toEqual([["/shop", [of("/shop")]]]);
    const shop = await explainEvent(id, "?source=%2Fshop");
    expect([shop.event.source, shop.deliveries.length, shop.others]).toEqual(["/shop", 1, []]);
  });

  test("are two when they are plain events of different types", async () => {
    const { organization, uuid, requests } = await installed((nth) => (nth === 2 ? 503 : 200));
    const id = `issue-7-${organization}`;
    const { id: sentId, sequence } = await publisher.publish({ type: "issue.created", id, organizationId: organization, data: {} });
    const second = await publisher.publish({ type: "issue.resolved", id, organizationId: organization, data: {} });
    expect([sentId, second.duplicate, second.sequence > sequence]).toEqual([id, false, true]);
    await delivered(deliveryIdOf(id, uuid));
    await delivered(deliveryIdOf(id, uuid, "issue.resolved"));
    expect(requests.map((request) => request.id)).toHaveLength(3);
    expect(new Set(requests.map((request) => request.id)).size).toBe(2);
    expect((await explainEvent(id, "?type=issue.created")).event).toMatchObject({ type: "issue.created", sequence });
  });

  test("are stored once when type and id are the same, over HTTP and by the client", async () => {
    const { organization } = await installed();
    const event = { id: `once-${organization}`, organization_id: organization, data: {} };
    const post = async (body: object) => (await posthorn.api("POST", "/v1/events", body)).body;
    const first = await post({ ...event, type: "issue.created" });
    expect(first).toMatchObject({ id: event.id, duplicate: false });
    expect(await post({ ...event, type: "issue.created" })).toMatchObject({ duplicate: true, sequence: first.sequence });
    expect(await post({ ...event, type: "issue.resolved" })).toMatchObject({ duplicate: false });
    expect(await publisher.publish({ type: "issue.created", id: event.id, organizationId: organization, data: {} })).toMatchObject({
      duplicate: true,
    });
    const ce = (source: string) => post(cloudEvent(source, event.id, organization));
    expect([(await ce("/a")).duplicate, (await ce("/b")).duplicate, (await ce("/a")).duplicate]).toEqual([false, false, true]);
    const made = await post({ organization_id: organization, data: {}, type: "issue.created" });
    expect((await explainEvent(made.id)).event).toMatchObject({ id: made.id, sequence: made.sequence });
  });
});

describe("a second message of an event", () => {
  test("that comes while the first is being delivered waits, and is skipped for all to see", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { organization, uuid, requests } = await installed(async () => {
      await held;
      return 200;
    });
    const event = { id: `twice-${organization}`, organization_id: organization, data: {} };
    const before = await metric("posthorn_deliveries_duplicate_total");
    const first = await bus.publish("issue.created", event);
    await eventually(() => requests.length === 1);
    const second = await bus.publish("issue.created", event);
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes('posthorn_messages_in_hand{stream="events"} 2'));
    release();
    const id = deliveryIdOf(event.id, uuid);
    const skipped = await eventually(async () => {
      const { skipped: lines } = await delivered(id);
      return lines.length > 0 && lines;
    });
    expect(requests.map((request) => request.id)).toEqual([id]);
    expect(skipped).toMatchObject([
      {
        event_sequence: second,
        delivered_event_sequence: first,
        detail: `event message ${second} has the same event as message ${first}, which was delivered already: skipped`,
      },
    ]);
    await expect
      .poll(() => linesOf(id))
      .toMatchObject([{ level: "info", event_sequence: second, delivered_event_sequence: first, why: "duplicate" }]);
    expect(await metric("posthorn_deliveries_duplicate_total")).toBe(before + 1);
  });

  test("is delivered itself when the first one was not, and then the first one's retry is skipped", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { organization, uuid, requests } = await installed(async (nth) => {
      if (nth === 1) await held;
      return nth === 1 ? 503 : 200;
    });
    const event = { id: `other-${organization}`, organization_id: organization, data: {} };
    const first = await bus.publish("issue.created", event);
    await eventually(() => requests.length === 1);
    const second = await bus.publish("issue.created", event);
    release();
    const id = deliveryIdOf(event.id, uuid);
    await eventually(() => linesOf(id).length === 1);
    expect(requests.map((request) => request.id)).toEqual([id, id]);
    expect(linesOf(id)).toMatchObject([{ event_sequence: first, delivered_event_sequence: second, why: "duplicate" }]);
  });
});

test.each([false, true])(
  "several messages of an event that were parked are one delivery when they are drained (ordered: %s)",
  async (ordered) => {
    const { slug, organization, uuid, requests } = await installed(() => new Promise((resolve) => setTimeout(() => resolve(200), 50)));
    const app = (await posthorn.api("GET", `/v1/apps/${slug}`)).body;
    await posthorn.api("PUT", `/v1/apps/${slug}`, { webhook_url: app.webhook_url, events: ["*"], ordered });
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    const event = { id: `parked-${organization}`, organization_id: organization, data: {} };
    const sequences: number[] = [];
    for (let n = 0; n < 3; n++) sequences.push(await bus.publish("issue.created", event));
    const id = deliveryIdOf(event.id, uuid);
    // Messages that meet in the hands of the queues' owner are one there already, and only then.
    await eventually(async () => {
      const { parked } = (await posthorn.api("GET", `/v1/installations/${uuid}/health`)).body;
      return parked.deliveries + linesOf(id).length >= 3;
    });
    await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    await eventually(() => linesOf(id).length === 2);
    await eventually(() => requests.length === 1);
    expect(requests.map((request) => request.id)).toEqual([id]);
    const skipped = linesOf(id).map((line) => line["event_sequence"]);
    expect(new Set(skipped).size).toBe(2);
    expect(sequences).toEqual(expect.arrayContaining(skipped));
  },
);

describe("an id that can be no event's", () => {
  const wrong: ReadonlyArray<readonly [string, string]> = [
    ["half a surrogate pair", '"a\\ud800"'],
    ["a line break", '"a\\r\\nX-Injected: 1"'],
    ["a null character", '"a\\u0000"'],
    ["no characters", '""'],
  ];

  test.each(wrong)("with %s is refused over HTTP, by the client and on the bus", async (_what, json) => {
    const { organization, uuid, requests } = await installed();
    const body = `{"type":"issue.created","id":${json},"organization_id":"${organization}","data":{}}`;
    const answered = await posthorn.api("POST", "/v1/events", body);
    expect([answered.status, answered.body.errors?.[0]?.path ?? answered.body.detail]).toEqual([400, "id"]);
    await expect(
      publisher.publish({ type: "issue.created", id: JSON.parse(json) as string, organizationId: organization, data: {} }),
    ).rejects.toMatchObject({ code: "PUBLISH_INVALID", message: expect.stringMatching(/^id: /) });
    const sequence = await bus.publish("issue.created", body);
    const letter = await eventually(async () => {
      const { items } = (await posthorn.api("GET", "/v1/dead-letters")).body;
      return items.find((item: Record<string, unknown>) => item["source_sequence"] === sequence);
    });
    expect(letter).toMatchObject({ reason: "invalid", app: null, error: expect.stringMatching(/^id: found /) });
    expect([uuid.length, requests]).toEqual([36, []]);
  });

  test("with a source that has a line break is refused", async () => {
    const answered = await posthorn.api("POST", "/v1/events", cloudEvent("/a\nb", "1", "42"));
    expect([answered.status, answered.body.errors?.[0]?.path]).toEqual([400, "source"]);
  });
});

describe("a CloudEvent", () => {
  test("without any header, with base64 data and a trace, is delivered in its trace", async () => {
    const { organization, uuid, receiver: own } = await installed();
    const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
    const extension = {
      traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      data: undefined,
      data_base64: Buffer.from('{"n":1.0}').toString("base64"),
    };
    await bus.publish("issue.created", cloudEvent("/go", "ce-1", organization, extension));
    const [request] = await own.waitFor(1);
    expect(request?.body.toString()).toContain('"data":{"n":1.0}');
    expect(request?.headers["traceparent"]).toMatch(new RegExp(`^00-${traceId}-`));
    expect(request?.headers["webhook-id"]).toBe(deliveryId({ id: "ce-1", source: "/go", type: "issue.created" }, uuid));
  });

  test("over HTTP continues its trace, and may come in a batch", async () => {
    const { organization, receiver: own } = await installed();
    const traceId = "0af7651916cd43dd8448eb211c80319c";
    const event = cloudEvent("/http", "ce-1", organization, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` });
    expect((await posthorn.api("POST", "/v1/events", event, { "content-type": "application/cloudevents+json" })).status).toBe(202);
    const [request] = await own.waitFor(1);
    expect(request?.headers["traceparent"]).toMatch(new RegExp(`^00-${traceId}-`));
    const batch = await posthorn.api("POST", "/v1/events", [event], { "content-type": "application/cloudevents-batch+json" });
    expect([batch.status, batch.body.results[0]]).toMatchObject([207, { status: 202, event: { id: "ce-1", duplicate: true } }]);
    const bare = await posthorn.api("POST", "/v1/events", { ...event, id: "ce-2" }, { "content-type": "application/cloudevents" });
    expect(bare.status).toBe(202);
  });

  test("as a batch on the bus goes to dead letters with the reason", async () => {
    const headers = natsHeaders();
    headers.set("content-type", "application/cloudevents-batch+json");
    const sequence = await bus.publish("issue.created", JSON.stringify([cloudEvent("/b", "1", "42")]), headers);
    const letter = await eventually(async () => {
      const { items } = (await posthorn.api("GET", "/v1/dead-letters")).body;
      return items.find((item: Record<string, unknown>) => item["source_sequence"] === sequence);
    });
    expect(letter.error).toBe(
      'content-type: found "application/cloudevents-batch+json", wanted application/cloudevents+json, one event per message',
    );
  });
});

test.each(["start=2026-01-05T10:11:12", "end=2026-02-30T00:00:00Z", "start=2026-01-05T24:00:00Z", "end=2026-01-05 10:11"])(
  "a time that is none, or none of a zone, is refused in a query: %s",
  async (query) => {
    const { slug } = await installed();
    const { status, body } = await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests?${query}`);
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining("RFC 3339")]);
  },
);

describe("names that every object has of itself", () => {
  test("are apps, event types, ids and organizations like any other, also in a fan-out that is stored in parts", async () => {
    const large = `large-${randomUUID()}`;
    const sink = await startReceiver();
    receivers.push(sink);
    const got = (path: string) => sink.requests.filter((request) => request.path === `/${path}`).length;
    for (const slug of PROTOTYPE_SLUGS) await posthorn.install({ slug, webhook_url: `${sink.url}/${slug}`, organization_id: large });
    await posthorn.api("PUT", "/v1/apps/neighbour", { webhook_url: `${sink.url}/neighbour`, events: ["*"] });
    const putInstallation = () =>
      posthorn.api("PUT", `/v1/installations/${randomUUID()}`, { app: "neighbour", organization_id: large, allow_duplicate: true });
    for (let made = 0; made < 505; made += 101) await Promise.all(Array.from({ length: 101 }, putInstallation));

    await bus.publish("__proto__.constructor", { id: "__proto__", organization_id: large, data: { ["__proto__"]: 1 } });
    await eventually(() => sink.requests.length >= 505 + PROTOTYPE_SLUGS.length);
    expect(got("neighbour")).toBe(505);
    for (const slug of PROTOTYPE_SLUGS) expect([slug, got(slug)]).toEqual([slug, 1]);
    expect((await posthorn.api("GET", "/v1/dead-letters?app=constructor")).body.items).toEqual([]);
    for (const slug of PROTOTYPE_SLUGS) {
      const rows = async () =>
        (await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests?event_type=__proto__.constructor`)).body.items as unknown[];
      await expect.poll(rows).toMatchObject([{ event_id: "__proto__", outcome: "delivered" }]);
      expect((await posthorn.api("GET", `/v1/apps/${slug}/stats`)).status).toBe(200);
      const counted = `posthorn_app_attempts_total{app="${slug}",outcome="delivered"} 1`;
      await eventually(async () => String((await posthorn.api("GET", "/metrics")).body).includes(counted));
    }
    expect((await explainEvent("__proto__")).deliveries.length).toBe(100);
  });

  test("are organizations, projects and headers", async () => {
    for (const name of PROTOTYPE_NAMES) {
      const sink = await startReceiver();
      receivers.push(sink);
      const headers = name === "__proto__" ? {} : { [name]: "mine" };
      await posthorn.install({ webhook_url: sink.url, organization_id: name, project_ids: [name], headers });
      const message = natsHeaders();
      message.set(name, "x");
      await bus.publish("issue.created", { id: `${name}-1`, organization_id: name, project_id: name, data: {} }, message);
      const [request] = await sink.waitFor(1);
      expect(request?.headers[name.toLowerCase()]).toBe(headers[name]);
    }
    for (const id of PROTOTYPE_NAMES) {
      const { status } = await posthorn.api("GET", `/v1/events/${encodeURIComponent(`${id}-`)}?${id}=1`);
      expect([id, status]).toEqual([id, expect.toSatisfy((code: number) => code === 404 || code === 400)]);
    }
  });
});

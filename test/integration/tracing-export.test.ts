/**
 * Spans as they arrive at an OTLP receiver, of whole runs: a success, a retry, a parked delivery, a replay, a crash. Who is
 * whose parent, what is linked, what the attributes say, and that the receiver's traceparent is the client span.
 */
import { randomUUID } from "node:crypto";
import { context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { Redis } from "ioredis";
import { type MsgHdrs, nanos, headers as natsHeaders } from "nats";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createPublisher } from "../../src/client/client.ts";
import { VERSION } from "../../src/config/version.ts";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type ExportedSpan, type OtlpCollector, SPAN_KIND, startOtlpCollector } from "../support/otlp-collector.ts";
import { type AppOptions, type Bus, connectBus, type PosthornProcess, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let nats: Server;
let redis: Server;
let collector: OtlpCollector;
let receiver: Receiver;
let posthorn: PosthornProcess;
let bus: Bus;
/** Of this test: its apps alone get its events. */
let organization: string;
let shared: { readonly posthorn: PosthornProcess; readonly bus: Bus };

beforeAll(async () => {
  [nats, redis, collector] = await Promise.all([startNatsServer(), startRedisServer(), startOtlpCollector()]);
  shared = await start({ POSTHORN_TARGET_ALLOW: "127.0.0.0/8, ::1/128" });
});
afterAll(async () => {
  await shared.bus.close();
  await shared.posthorn.end("SIGKILL");
  await Promise.all([nats.stop(), redis.stop(), collector.stop()]);
});
beforeEach(async () => {
  receiver = await startReceiver();
  organization = randomUUID();
  ({ posthorn, bus } = shared);
});
afterEach(async () => {
  if (posthorn !== shared.posthorn) {
    await bus.close();
    await posthorn.end("SIGKILL");
  }
  await receiver.stop();
});

async function start(settings: Record<string, string> = {}, prefix?: string): Promise<{ posthorn: PosthornProcess; bus: Bus }> {
  const started = await startPosthorn({
    nats,
    redis,
    ...(prefix === undefined ? {} : { prefix }),
    settings: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: "20",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
      ...settings,
    },
  });
  return { posthorn: started, bus: await connectBus(nats, started.prefix) };
}

const serverOf = ({ url }: Server) => ({ "server.address": "127.0.0.1", "server.port": Number(new URL(url).port) });

const install = (app: Partial<AppOptions> = {}) => posthorn.install({ webhook_url: receiver.url, organization_id: organization, ...app });
const publish = (headers?: MsgHdrs) => bus.publish("issue.created", { organization_id: organization, data: {} }, headers);

/** The spans of one trace, by what they are. */
const spansOf = (traceId: string) => {
  const all = collector.spans.filter((span) => span.traceId === traceId);
  const children = (parent: ExportedSpan | undefined): ExportedSpan[] => all.filter(({ parentSpanId }) => parentSpanId === parent?.spanId);
  return { all, children, named: (name: string): ExportedSpan[] => all.filter((span) => span.name.startsWith(name)) };
};
const traceparentOf = (span: ExportedSpan | undefined): string => `00-${span?.traceId}-${span?.spanId}-01`;
const flagsOf = (request: ReceivedRequest): string => String(request.headers["traceparent"]).slice(-2);
const linked = (span: ExportedSpan | undefined): string[] => (span?.links ?? []).map(({ spanId }) => spanId);
const onlyOf = <T>(items: readonly T[]): T => {
  expect(items).toHaveLength(1);
  return items[0] as T;
};
/** The client span that a request was sent in. */
const attemptOf = (request: ReceivedRequest | undefined): ExportedSpan =>
  onlyOf(collector.spans.filter((span) => span.kind === SPAN_KIND.client && traceparentOf(span) === request?.headers["traceparent"]));
const parentOf = (span: ExportedSpan): ExportedSpan => onlyOf(collector.spans.filter(({ spanId }) => spanId === span.parentSpanId));
const isAttempt = (outcome: string, of: { slug: string }) => (span: ExportedSpan) =>
  span.attributes["posthorn.outcome"] === outcome && span.attributes["posthorn.app"] === of.slug;

/** Publishes with the client package as a service that has an SDK of its own would. */
const publishTraced = async (id: string = randomUUID()): Promise<ExportedSpan> => {
  const provider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: new OTLPTraceExporter({ url: `${collector.url}/v1/traces` }) })],
  });
  trace.setGlobalTracerProvider(provider);
  const publisher = await createPublisher({ nats: bus.connection, subjectPrefix: posthorn.prefix });
  const published = await publisher.publish({ type: "issue.created", data: {}, organizationId: organization, id });
  await provider.forceFlush();
  await provider.shutdown();
  trace.disable();
  context.disable();
  // Spans of what Posthorn stores are below this one, and may have come by now.
  const isFirst = ({ traceId, parentSpanId = "" }: ExportedSpan): boolean => traceId === published.traceId && parentSpanId === "";
  const producer = onlyOf(await collector.waitFor(isFirst));
  expect(producer.kind).toBe(SPAN_KIND.producer);
  return producer;
};

/** What a killed process held comes again after the consumer's ack_wait; here sooner, by way of this process. */
const bringBack = async (prefix: string): Promise<void> => {
  const stream = `${prefix}_EVENTS`.toUpperCase().replaceAll("-", "_");
  const manager = await bus.connection.jetstreamManager();
  await manager.consumers.update(stream, "posthorn-events", { ack_wait: nanos(100) });
  const consumer = await bus.jetStream.consumers.get(stream, "posthorn-events");
  const message = await consumer.next({ expires: 10_000 });
  message?.nak();
};

describe("one trace", () => {
  test("goes from the publisher through one deliver span per installation to each receiver", async () => {
    const [one, two] = [
      await install({ webhook_url: `${receiver.url}/one?token=s3cret` }),
      await install({ webhook_url: `${receiver.url}/two` }),
    ];
    const producer = await publishTraced("evt-1");
    const requests = await receiver.waitFor(2);
    await collector.waitFor(({ name, traceId }) => name.startsWith("process") && traceId === producer.traceId);

    const { all, children } = spansOf(producer.traceId);
    expect(producer).toMatchObject({
      name: `publish ${posthorn.prefix}.events.issue.created`,
      attributes: { ...serverOf(nats), "messaging.system": "nats", "messaging.operation.type": "send", "messaging.message.id": "evt-1" },
    });
    const process = onlyOf(children(producer));
    expect(process).toMatchObject({
      name: `process ${posthorn.prefix}.events.issue.created`,
      kind: SPAN_KIND.consumer,
      attributes: {
        ...serverOf(nats),
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": `${posthorn.prefix}.events.issue.created`,
        "messaging.consumer.group.name": "posthorn-events",
        "messaging.message.id": "evt-1",
        "posthorn.event.type": "issue.created",
        "posthorn.organization.id": organization,
      },
    });
    expect(linked(process)).toEqual([producer.spanId]);
    const delivers = children(process);
    expect(delivers.map(({ name, kind, attributes }) => [name, kind, attributes["posthorn.delivery.id"]]).sort()).toEqual(
      [one, two].map(({ uuid }) => ["deliver", SPAN_KIND.internal, deliveryIdOf("evt-1", uuid)]).sort(),
    );
    for (const deliver of delivers) {
      const attempt = onlyOf(children(deliver));
      const request = requests.find(({ headers }) => headers["webhook-id"] === deliver.attributes["posthorn.delivery.id"]);
      expect(request?.headers["traceparent"]).toBe(traceparentOf(attempt));
      expect(attempt).toMatchObject({
        name: "POST",
        kind: SPAN_KIND.client,
        attributes: {
          "http.request.method": "POST",
          "url.full": `${receiver.url}${request?.path.split("?")[0]}`,
          "server.address": "127.0.0.1",
          "server.port": receiver.port,
          "http.response.status_code": 200,
          "http.response.body.size": 2,
          "posthorn.attempt": 1,
          "posthorn.outcome": "delivered",
        },
      });
      expect(attempt.attributes["http.request.resend_count"]).toBeUndefined();
      expect(attempt.status.code ?? 0).toBe(0);
    }
    expect(all).toHaveLength(6);
    expect(collector.resources).toContainEqual({
      "service.name": "posthorn",
      "service.version": VERSION,
      "service.instance.id": expect.stringMatching(UUID),
      "deployment.environment.name": "test",
    });
    expect(collector.bodies.join()).not.toContain("s3cret");
  });

  test("continues over a retry: each attempt says what it followed from", async () => {
    receiver.behave(answer(503, "busy"));
    const app = await install({ retry_schedule_s: [0.3] });
    const producer = await publishTraced();
    await receiver.waitFor(1);
    receiver.behave(answer(200));
    const [first, second] = await receiver.waitFor(2);
    await collector.waitFor(isAttempt("delivered", app));

    const { children } = spansOf(producer.traceId);
    const [failed, delivered] = [attemptOf(first), attemptOf(second)];
    expect(failed).toMatchObject({
      attributes: { "http.response.status_code": 503, "error.type": "503", "posthorn.outcome": "failed", "http.response.body.size": 4 },
      status: { code: 2 },
    });
    expect(failed.status.message ?? "").toBe("");
    expect(delivered.attributes).toMatchObject({ "http.request.resend_count": 1, "posthorn.attempt": 2, "posthorn.outcome": "delivered" });
    const stored = onlyOf(children(parentOf(failed)).filter(({ kind }) => kind === SPAN_KIND.producer));
    expect(stored).toMatchObject({
      name: `publish ${posthorn.prefix}.retries.{tier}.{app}`,
      attributes: {
        ...serverOf(nats),
        "messaging.destination.name": `${posthorn.prefix}.retries.1.${app.slug}`,
        "posthorn.detail": expect.stringMatching(/^due in \d+ ms$/),
      },
    });
    const again = await eventually(() => onlyOf(children(stored)));
    expect(again).toMatchObject({ name: `process ${posthorn.prefix}.retries.{tier}.{app}`, kind: SPAN_KIND.consumer });
    expect(linked(again)).toEqual([stored.spanId, producer.spanId]);
    expect(parentOf(delivered).parentSpanId).toBe(again.spanId);
    expect([first, second].map((request) => request?.headers["traceparent"])).toEqual([failed, delivered].map(traceparentOf));
  });

  test("continues over a parked delivery and a replay from dead letters", async () => {
    receiver.behave(answer(400));
    const app = await install();
    await posthorn.api("POST", `/v1/installations/${app.uuid}/disable`);
    const producer = await publishTraced();
    const parked = onlyOf(await collector.waitFor(({ name, traceId }) => name.endsWith(".parked.{app}") && traceId === producer.traceId));
    expect(parked).toMatchObject({
      traceId: producer.traceId,
      attributes: { "posthorn.detail": "disabled", "messaging.destination.name": `${posthorn.prefix}.parked.${app.slug}.${app.uuid}` },
    });
    await posthorn.api("POST", `/v1/installations/${app.uuid}/enable`);
    const givenUp = onlyOf(
      await collector.waitFor(({ name, traceId }) => name.endsWith(".dead-letters.{app}") && traceId === producer.traceId),
    );
    const [first] = await receiver.waitFor(1);
    const drained = await eventually(() => parentOf(parentOf(attemptOf(first))));
    expect([drained.name, drained.parentSpanId]).toEqual([`process ${posthorn.prefix}.parked.{app}`, parked.spanId]);
    expect(linked(drained)).toEqual([parked.spanId, producer.spanId]);
    expect(givenUp.attributes).toMatchObject({ "posthorn.detail": "rejected", "posthorn.app": app.slug });

    receiver.behave(answer(200));
    expect((await replayDeadLetters(posthorn.api, { app: app.slug })).replayed).toBe(1);
    const [, second] = await receiver.waitFor(2);
    const replay = onlyOf(await collector.waitFor(({ name }) => name === "replay dead letters"));
    await collector.waitFor(isAttempt("delivered", app));
    const delivered = attemptOf(second);
    const process = await eventually(() => parentOf(parentOf(delivered)));
    const replayed = parentOf(process);
    expect(delivered.traceId).toBe(producer.traceId);
    expect(delivered.attributes).toMatchObject({ "posthorn.attempt": 1, "posthorn.replay": expect.any(String) });
    expect([replayed.name, replayed.parentSpanId, replayed.attributes["posthorn.detail"]]).toEqual([
      `publish ${posthorn.prefix}.retries.{tier}.{app}`,
      producer.spanId,
      "replayed",
    ]);
    // The replay is work on many traces: one of its own, linked both ways.
    expect(replay.traceId).not.toBe(producer.traceId);
    expect(replay.parentSpanId ?? "").toBe("");
    expect(replay.attributes["posthorn.deliveries"]).toBe(1);
    expect([linked(replay), linked(replayed)]).toEqual([[replayed.spanId], [replay.spanId]]);
  });

  test("continues after a crash: the message comes again and says so", async () => {
    receiver.behave(() => {});
    ({ posthorn, bus } = await start());
    const { prefix } = posthorn;
    await install();
    const producer = await publishTraced();
    const [lost] = await receiver.waitFor(1);
    await posthorn.end("SIGKILL");
    await bringBack(prefix);
    receiver.behave(answer(200));
    await bus.close();
    ({ posthorn, bus } = await start({}, prefix));
    const [, delivered] = await receiver.waitFor(2);
    const process = onlyOf(await collector.waitFor(({ name, traceId }) => name.startsWith("process") && traceId === producer.traceId));
    expect([process.parentSpanId, process.attributes["posthorn.redeliveries"]]).toEqual([producer.spanId, 2]);
    expect(parentOf(parentOf(attemptOf(delivered))).spanId).toBe(process.spanId);
    const replicas = collector.resources.filter((resource) => resource["service.name"] === "posthorn");
    expect(new Set(replicas.map((resource) => resource["service.instance.id"])).size).toBeGreaterThan(1);
    // What was cut off by the crash was not exported, but the receiver saw the same trace.
    expect(lost?.headers["traceparent"]).toContain(producer.traceId);
  });

  test("begins at Posthorn where the publisher has none, and is one over the retries too", async () => {
    receiver.behave(answer(503));
    const app = await install({ retry_schedule_s: [0.2] });
    await publish();
    await receiver.waitFor(1);
    receiver.behave(answer(200));
    const requests = await receiver.waitFor(2);
    await collector.waitFor(isAttempt("delivered", app));
    const [first, second] = requests.map(attemptOf);
    expect(first?.traceId).toBe(second?.traceId);
    const root = await eventually(() =>
      onlyOf(spansOf(first?.traceId ?? "").all.filter(({ parentSpanId }) => (parentSpanId ?? "") === "")),
    );
    expect([root.name, linked(root)]).toEqual([`process ${posthorn.prefix}.events.issue.created`, []]);
  });

  test("continues from the caller of POST /v1/events", async () => {
    await install();
    const caller = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" };
    const headers = { traceparent: `00-${caller.traceId}-${caller.spanId}-01` };
    await posthorn.api("POST", "/v1/events", { type: "issue.created", id: "http-1", organization_id: organization, data: {} }, headers);
    const isOfCaller = (kind: number) => (span: ExportedSpan) => span.kind === kind && span.traceId === caller.traceId;
    const producer = onlyOf(await collector.waitFor(isOfCaller(SPAN_KIND.producer)));
    expect(producer).toMatchObject({ ...caller, spanId: producer.spanId, parentSpanId: caller.spanId });
    expect(producer.attributes).toMatchObject({ ...serverOf(nats), "messaging.message.id": "http-1" });
    const process = onlyOf(await collector.waitFor(isOfCaller(SPAN_KIND.consumer)));
    expect(process.parentSpanId).toBe(producer.spanId);
  });
});

test("a failed attempt without an answer says in its status why", async () => {
  const app = await install({ webhook_url: "http://127.0.0.1:1/", retry_schedule_s: [] });
  await publish();
  const attempt = onlyOf(await collector.waitFor(isAttempt("unreachable", app)));
  expect(attempt.attributes["error.type"]).toBe("unreachable");
  expect(attempt.attributes["http.response.status_code"]).toBeUndefined();
  expect(attempt.status).toEqual({ code: 2, message: expect.stringContaining("ECONNREFUSED") });
});

describe("a large fan-out", () => {
  const fanOut = () => `${posthorn.prefix}.retries.0._fan-out`;

  test("is one publish span, from which its parts continue", async () => {
    const app = await install({ max_in_flight: 200 });
    const bucket = await bus.jetStream.views.kv(`${posthorn.prefix}-registry`);
    const record = (await bucket.get(`installation.${app.uuid}`))?.json<object>();
    const uuids = Array.from({ length: 500 }, () => randomUUID());
    await Promise.all(uuids.map((uuid) => bucket.put(`installation.${uuid}`, JSON.stringify({ ...record, uuid }))));
    const known = async () => (await posthorn.api("GET", `/v1/installations?organization_id=${organization}&limit=1000`)).body.items.length;
    await eventually(async () => (await known()) === 501);
    const producer = await publishTraced();
    await collector.waitFor(
      ({ traceId, attributes }) => traceId === producer.traceId && attributes["posthorn.outcome"] === "delivered",
      501,
    );

    const { named, children } = spansOf(producer.traceId);
    const stored = onlyOf(await eventually(() => named(`publish ${fanOut()}`).length > 0 && named(`publish ${fanOut()}`)));
    expect(stored).toMatchObject({
      kind: SPAN_KIND.producer,
      attributes: {
        ...serverOf(nats),
        "messaging.operation.type": "send",
        "messaging.destination.name": fanOut(),
        "messaging.batch.message_count": 4,
        "posthorn.event.type": "issue.created",
      },
    });
    expect(stored.attributes["messaging.message.id"]).toBeUndefined();
    expect(children(producer).map(({ spanId }) => spanId)).toEqual([stored.parentSpanId]);
    const parts = await eventually(() => {
      const found = spansOf(producer.traceId).named(`process ${fanOut()}`);
      return found.length === 4 && found;
    });
    for (const part of parts) {
      expect([part.kind, part.parentSpanId, linked(part)]).toEqual([SPAN_KIND.consumer, stored.spanId, [stored.spanId, producer.spanId]]);
      expect(part.attributes).toMatchObject({
        "messaging.destination.name": fanOut(),
        "messaging.consumer.group.name": "posthorn-fan-out",
      });
    }
    expect(
      spansOf(producer.traceId)
        .named("process ")
        .map(({ name }) => name)
        .filter((name) => name.includes("{tier}")),
    ).toEqual([]);
  });

  test("of a replayed event is linked with the replay", async () => {
    const app = await install();
    const traceId = "5af7651916cd43dd8448eb211c80319c";
    await bus.jetStream.publish(
      `${posthorn.prefix}.dead-letters._invalid`,
      JSON.stringify({
        ...{ reason: "redelivered", error: "redelivered 11 times", dead_lettered_at: new Date().toISOString(), app: null },
        ...{
          subject: `${posthorn.prefix}.events.issue.created`,
          source_stream: `${posthorn.prefix}_EVENTS`.toUpperCase().replaceAll("-", "_"),
        },
        ...{ source_sequence: 1, stored_at: new Date().toISOString(), headers: { traceparent: `00-${traceId}-b7ad6b7169203331-01` } },
        body: JSON.stringify({ organization_id: organization, data: {} }),
      }),
    );
    await replayDeadLetters(posthorn.api, {});
    await collector.waitFor(isAttempt("delivered", app));
    const stored = onlyOf(spansOf(traceId).named(`publish ${fanOut()}`));
    const replay = onlyOf(await collector.waitFor((span) => span.name === "replay dead letters" && linked(span).includes(stored.spanId)));
    expect(linked(stored)).toEqual([replay.spanId]);
    expect(stored).toMatchObject({ parentSpanId: "b7ad6b7169203331", attributes: { "messaging.batch.message_count": 1 } });
    const part = await eventually(() => parentOf(parentOf(onlyOf(collector.spans.filter(isAttempt("delivered", app))))));
    expect(part.parentSpanId).toBe(stored.spanId);
  });
});

test("an attempt has the size of the whole answer, where there is a way to know it", async () => {
  const sizeOf = async (body: string, headers: Record<string, string> = {}): Promise<unknown> => {
    receiver.behave(answer(200, body, headers));
    organization = randomUUID();
    const app = await install();
    await publish();
    return onlyOf(await collector.waitFor(isAttempt("delivered", app))).attributes["http.response.body.size"];
  };
  expect(await sizeOf("")).toBe(0);
  expect(await sizeOf("x".repeat(200_000), { "content-length": "200000" })).toBe(200_000);
  expect(await sizeOf("x".repeat(200_000), { "transfer-encoding": "chunked" })).toBeUndefined();
});

test("an IPv6 receiver's address is shown without brackets", async () => {
  const six = await startReceiver(answer(200), 0, "::1");
  const app = await install({ webhook_url: `http://[::1]:${six.port}/` });
  await publish();
  const attempt = onlyOf(await collector.waitFor(isAttempt("delivered", app)));
  expect(attempt.attributes).toMatchObject({ "server.address": "::1", "server.port": six.port, "url.full": `http://[::1]:${six.port}/` });
  await six.stop();
});

test("a publisher that is not sampled is not recorded, and its trace continues with the same decision", async () => {
  receiver.behave(answer(503));
  const app = await install({ retry_schedule_s: [0.2] });
  const headers = natsHeaders();
  headers.set("traceparent", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  headers.set("tracestate", "vendor=1");
  headers.set("baggage", "user=secret");
  await publish(headers);
  await receiver.waitFor(1);
  receiver.behave(answer(200));
  const requests = await receiver.waitFor(2);
  for (const request of requests) {
    expect(request.headers["traceparent"]).toMatch(/^00-1af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
    expect(request.headers["tracestate"]).toBe("vendor=1");
    expect(request.headers["baggage"]).toBeUndefined();
  }
  expect(new Set(requests.map(({ headers: { traceparent } }) => traceparent)).size).toBe(2);
  // Spans are exported in the order of their ends.
  await publish();
  await collector.waitFor(isAttempt("delivered", app));
  expect(collector.spans.filter(({ traceId }) => traceId === "1af7651916cd43dd8448eb211c80319c")).toEqual([]);
});

/** Publishes with this trace context and waits until the receiver's 400 has made it a dead letter. */
const publishDeadLetter = async (traceparent: string, app: { slug: string }): Promise<void> => {
  const count = async (): Promise<number> => (await posthorn.api("GET", `/v1/dead-letters?app=${app.slug}`)).body.items.length;
  const before = await count();
  const headers = natsHeaders();
  headers.set("traceparent", traceparent);
  await publish(headers);
  await eventually(async () => (await count()) === before + 1);
};

/** A batch that is under way holds up the next one. */
const isWritten = (look: Redis, key: string): Promise<boolean> => eventually(async () => (await look.keys(`*${key}*`)).length > 0);

test("a sampler of the settings decides where the publisher has not, and work on many traces is sampled with those of them that are", async () => {
  const [sampled, unsampled] = ["3af7651916cd43dd8448eb211c80319c", "4af7651916cd43dd8448eb211c80319c"];
  ({ posthorn, bus } = await start({ OTEL_TRACES_SAMPLER: "parentbased_always_off" }));
  const app = await install();
  const headers = natsHeaders();
  headers.set("traceparent", "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  await publish();
  await publish(headers);
  const undecided = [...(await receiver.waitFor(2))];
  receiver.behave(answer(400));
  const look = new Redis(redis.url);
  await publishDeadLetter(`00-${unsampled}-b7ad6b7169203331-00`, app);
  await isWritten(look, `stores:{${app.slug}}`);
  await look.call("CLIENT", "PAUSE", "1500", "WRITE");
  await publishDeadLetter(`00-${sampled}-b7ad6b7169203331-01`, app);
  receiver.behave(answer(200));
  look.disconnect();
  expect((await replayDeadLetters(posthorn.api, { app: app.slug })).replayed).toBe(2);
  const requests = await receiver.waitFor(6);
  await collector.waitFor((span) => isAttempt("delivered", app)(span) && span.traceId === sampled);
  const isLinked = (name: string) => (span: ExportedSpan) =>
    span.name === name && (span.links ?? []).some(({ traceId }) => traceId === sampled);
  const replay = onlyOf(await collector.waitFor(isLinked("replay dead letters")));
  const late = onlyOf(await collector.waitFor(isLinked("EVALSHA write-batch")));
  expect(await posthorn.end()).toBe(0);

  const recorded = new Set(collector.spans.map(({ traceId }) => traceId));
  const traces = undecided.map((request) => String(request.headers["traceparent"]).slice(3, 35));
  expect(traces.filter((traceId) => recorded.has(traceId))).toEqual(["2af7651916cd43dd8448eb211c80319c"]);
  expect(undecided.map(flagsOf).sort()).toEqual(["00", "01"]);

  const { all, children } = spansOf(sampled);
  const replayed = onlyOf(all.filter(({ attributes }) => attributes["posthorn.detail"] === "replayed"));
  expect([linked(replay), linked(replayed)]).toEqual([[replayed.spanId], [replay.spanId]]);
  expect(replay.attributes["posthorn.deliveries"]).toBe(2);
  // It began with the work, of which this was the second delivery.
  expect(BigInt(replay.startTimeUnixNano)).toBeLessThan(BigInt(replayed.startTimeUnixNano));
  expect(children(replayed).map(({ kind }) => kind)).toEqual([SPAN_KIND.consumer]);
  expect(linked(late)).toEqual([onlyOf(all.filter(isAttempt("rejected", app))).spanId]);
  expect(spansOf(unsampled).all).toEqual([]);
  expect(requests.filter((request) => request.headers["traceparent"]?.includes(unsampled)).map(flagsOf)).toEqual(["00", "00"]);
});

test("nothing is linked with a batch that is not sampled", async () => {
  // By the ratio this trace id is sampled, and hardly another one.
  const traceId = "00000000000000000000000000000001";
  ({ posthorn, bus } = await start({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.000001" }));
  receiver.behave(answer(400));
  const app = await install();
  await publishDeadLetter(`00-${traceId}-b7ad6b7169203331-01`, app);
  receiver.behave(answer(200));
  expect((await replayDeadLetters(posthorn.api, { app: app.slug })).replayed).toBe(1);
  await collector.waitFor(isAttempt("delivered", app));
  const replayed = onlyOf(spansOf(traceId).all.filter(({ attributes }) => attributes["posthorn.detail"] === "replayed"));
  expect(linked(replayed)).toEqual([]);
});

test("a batch that Redis took late is a span of its own, linked with its attempts", async () => {
  const app = await install();
  await publish();
  await collector.waitFor(isAttempt("delivered", app));
  const look = new Redis(redis.url);
  await isWritten(look, `dedup:{${app.slug}}`);
  await look.call("CLIENT", "PAUSE", "1500", "WRITE");
  await publish();
  const attempts = await collector.waitFor(isAttempt("delivered", app), 2);
  const [, last] = attempts;
  const isOfLast = (span: ExportedSpan): boolean => span.name === "EVALSHA write-batch" && linked(span).includes(last?.spanId ?? "");
  const batch = onlyOf(await collector.waitFor(isOfLast));
  expect(batch).toMatchObject({
    kind: SPAN_KIND.client,
    attributes: { ...serverOf(redis), "db.system.name": "redis", "db.operation.name": "EVALSHA", "posthorn.tries": 1 },
  });
  expect(attempts.map(({ traceId }) => traceId)).not.toContain(batch.traceId);
  look.disconnect();
});

test("spans and metrics are exported as protobuf where the settings ask for it", async () => {
  const aside = await startOtlpCollector();
  ({ posthorn, bus } = await start({
    OTEL_EXPORTER_OTLP_ENDPOINT: aside.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
    OTEL_METRIC_EXPORT_INTERVAL: "100",
  }));
  const app = await install();
  const headers = natsHeaders();
  headers.set("traceparent", "00-6af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  await publish(headers);
  const [request] = await receiver.waitFor(1);
  const attempt = onlyOf(await aside.waitFor(isAttempt("delivered", app)));
  const process = onlyOf(await aside.waitFor(({ name }) => name.startsWith("process ")));
  expect(traceparentOf(attempt)).toBe(request?.headers["traceparent"]);
  expect(attempt).toMatchObject({ name: "POST", kind: SPAN_KIND.client, attributes: { "server.port": receiver.port } });
  expect([process.parentSpanId, linked(process)]).toEqual(["b7ad6b7169203331", ["b7ad6b7169203331"]]);
  await eventually(() =>
    aside.metrics.get("posthorn_attempts_total")?.points.some(({ asDouble, asInt }) => Number(asInt ?? asDouble) === 1),
  );
  const age = aside.metrics.get("posthorn_delivery_age_seconds")?.points[0];
  expect([age?.count, age?.attributes, age?.explicitBounds?.length, age?.bucketCounts?.length]).toEqual([
    "1",
    { attempt: "first" },
    16,
    17,
  ]);
  expect(aside.resources[0]).toMatchObject({ "service.name": "posthorn", "deployment.environment.name": "test" });
  expect(new Set(aside.contentTypes)).toEqual(new Set(["application/x-protobuf"]));
  expect(new Set(collector.contentTypes)).toEqual(new Set(["application/json"]));
  expect(await posthorn.end()).toBe(0);
  await aside.stop();
});

test("without OTEL settings nothing is exported", async () => {
  const exports = collector.bodies.length;
  const silent = await startPosthornHere({ nats, redis });
  await silent.install({ webhook_url: receiver.url });
  const aside = await connectBus(nats, silent.prefix);
  await aside.publish("issue.created", { organization_id: "42", data: {} });
  const [request] = await receiver.waitFor(1);
  expect(request?.headers["traceparent"]).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-00$/);
  expect(await silent.end()).toBe(0);
  expect(silent.log.some(({ message }) => message === "exporting by OTLP")).toBe(false);
  expect(collector.spans.filter(({ traceId }) => traceId === String(request?.headers["traceparent"]).slice(3, 35))).toEqual([]);
  expect(exports).toBeGreaterThan(0);
  await aside.close();
});

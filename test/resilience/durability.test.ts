/** What one fault at a time does, and what is left of it. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { AckPolicy, DeliverPolicy, type JetStreamManager, type Msg, nanos } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import {
  type Bus,
  connectBus,
  type Posthorn,
  type PosthornProcess,
  type StartOptions,
  startPosthorn,
  startPosthornHere,
} from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { replayDeadLetters } from "../support/replay-dead-letters.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

let nats: Server;
let redisServer: Server;
let redis: Redis;
const stopping: Array<() => Promise<unknown> | unknown> = [];

beforeAll(async () => {
  [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
  redis = new Redis(redisServer.url);
});
afterAll(async () => {
  for (const stop of stopping.reverse()) await stop();
  redis.disconnect();
  await Promise.all([nats.stop(), redisServer.stop()]);
});

interface Platform {
  readonly prefix: string;
  readonly bus: Bus;
  readonly manager: JetStreamManager;
  readonly receiver: Receiver;
  stream(stream: "EVENTS" | "RETRIES" | "PARKED" | "DEAD_LETTERS" | "STATUS"): string;
  start(settings?: Readonly<Record<string, string>>, servers?: Partial<Pick<StartOptions, "nats" | "redis">>): Promise<Posthorn>;
  /** One that can be killed. */
  startProcess(settings?: Readonly<Record<string, string>>): Promise<PosthornProcess>;
  deadLetters(posthorn: Posthorn, count: number): Promise<Array<Record<string, any>>>;
}

async function aPlatform(): Promise<Platform> {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const bus = await connectBus(nats, prefix);
  const receiver = await startReceiver();
  stopping.push(bus.close, receiver.stop);
  return {
    prefix,
    bus,
    manager: await bus.connection.jetstreamManager(),
    receiver,
    stream: (stream) => `${prefix}_${stream}`.toUpperCase().replaceAll("-", "_"),
    async start(settings = {}, servers = {}) {
      const posthorn = await startPosthornHere({ nats, redis: redisServer, ...servers, prefix, settings });
      stopping.push(posthorn.end);
      return posthorn;
    },
    async startProcess(settings = {}) {
      const posthorn = await startPosthorn({ nats, redis: redisServer, prefix, settings });
      stopping.push(() => posthorn.end("SIGKILL"));
      return posthorn;
    },
    deadLetters: (posthorn, count) =>
      eventually(async () => {
        const { items } = (await posthorn.api("GET", "/v1/dead-letters?order=oldest")).body;
        if (items.length !== count) throw new Error(`${items.length} dead letters, wanted ${count}`);
        return items;
      }),
  };
}

const through = ({ port }: { readonly port: number }, scheme: "nats" | "redis") => ({ url: `${scheme}://127.0.0.1:${port}` });
const event = (n = 1) => ({ id: `e-${n}`, organization_id: "42", data: { n } });
const numbers = ({ requests }: Receiver): number[] => requests.map((request) => Number(request.json().data["n"]));

async function changed({ manager, stream }: Platform, name: Parameters<Platform["stream"]>[0], changes: object): Promise<void> {
  const { config } = await manager.streams.info(stream(name));
  await manager.streams.update(stream(name), { ...config, ...changes });
}

/** Hands the next message of a consumer out, and takes no notice of it, so often that it counts as redelivered. */
async function wearOut({ bus }: Platform, stream: string, consumer: string, count = 11): Promise<void> {
  const pull = await bus.jetStream.consumers.get(stream, consumer);
  for (let times = 0; times < count; times++) {
    const message = await pull.next({ expires: 60_000 });
    if (message === null) throw new Error("no message came");
    message.nak();
  }
  await bus.connection.flush();
}

// The longest tests come first, for all tests of this file run side by side.
describe.concurrent("many events for many", () => {
  test("have a bounded number of deliveries under way, while those for few and for an ordered app continue; a stop loses none of them", async () => {
    const platform = await aPlatform();
    const { bus, manager, receiver, stream } = platform;
    // 32 deliveries for each event that may be held: those of ten events here.
    const settings = { POSTHORN_MAX_IN_FLIGHT: "12", POSTHORN_DRAIN_TIMEOUT: "1s" };
    const posthorn = await platform.start(settings);
    const many = await posthorn.install({ webhook_url: receiver.url, events: ["issue"] });
    await posthorn.install({ webhook_url: receiver.url, events: ["comment"] });
    await posthorn.install({ webhook_url: receiver.url, events: ["project"], ordered: true });
    const uuids = [many.uuid, ...Array.from({ length: 39 }, () => randomUUID())];
    for (const uuid of uuids) {
      await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: many.slug, organization_id: "42", allow_duplicate: true });
      await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    }
    await changed(platform, "PARKED", { max_bytes: 1 });
    const gauge = async (name: string) => {
      const metrics = String((await posthorn.api("GET", "/metrics")).body).split("\n");
      return Number(metrics.find((line) => line.startsWith(`${name} `))?.split(" ")[1]);
    };
    const stores = async () => [await gauge("posthorn_publishes_pending"), await gauge("posthorn_publishes_waiting")];

    for (let n = 0; n < 12; n++) await bus.publish("issue.created", event(n));
    await bus.publish("project.created", event(12));
    await eventually(async () => (await gauge('posthorn_messages_in_hand{stream="events"}')) === 12);
    await bus.publish("comment.created", event(13));
    await receiver.waitFor(2);
    expect(numbers(receiver).sort()).toEqual([12, 13]);
    await eventually(async () => expect(await stores()).toEqual([256, 400 - 256]));

    // Deliveries that wait to be stored are left to the next process, which gets their events after ack_wait: 30 s.
    expect(await posthorn.end()).toBe(1);
    await changed(platform, "PARKED", { max_bytes: -1 });
    const next = await platform.start(settings);
    await eventually(async () => (await manager.streams.info(stream("PARKED"))).state.messages === 480);
    expect(await next.end()).toBe(0);
  });
});

describe.concurrent("a server that was killed", () => {
  test("or whose consumer is stalled, is not stalled for ever", async () => {
    const platform = await aPlatform();
    const { bus, manager, prefix, receiver } = platform;
    const events = platform.stream("EVENTS");
    // Pulls go to another consumer, which is alive and has nothing to hand out.
    await manager.streams.add({ name: `NOTHING-${prefix}`, subjects: [`${prefix}.nothing`] });
    await manager.consumers.add(`NOTHING-${prefix}`, { durable_name: "none", ack_policy: AckPolicy.Explicit });
    const proxy = await startTcpProxy(nats.port);
    stopping.push(proxy.stop);
    const asking = `$JS.API.CONSUMER.MSG.NEXT.${events}.posthorn-events`;
    proxy.divert(asking, `$JS.API.CONSUMER.MSG.NEXT.NOTHING-${prefix}.none`);
    const posthorn = await platform.start({}, { nats: through(proxy, "nats") });
    await posthorn.install({ webhook_url: receiver.url });
    const { created } = await manager.consumers.info(events, "posthorn-events");
    await bus.publish("issue.created", event());

    // Two checks find it, each after 10 s without a message.
    await eventually(() => posthorn.log.some(({ message }) => message === "stalled consumer recreated"));
    proxy.divert(asking, null);
    // A deletion is told to everyone who pulls from the consumer.
    await manager.consumers.delete(`NOTHING-${prefix}`, "none");
    await receiver.waitFor(1);
    await eventually(async () => {
      const info = await manager.consumers.info(events, "posthorn-events");
      return info.created !== created && info.num_pending + info.num_ack_pending === 0;
    });
    await posthorn.end();
    expect(receiver.requests).toHaveLength(1);
  });

  test("and brings back what was acknowledged, or forgets who holds it, makes nobody get it twice", async () => {
    const own = await startNatsServer();
    const prefix = `t-${randomUUID().slice(0, 8)}`;
    const bus = await connectBus(own, prefix);
    const manager = await bus.connection.jetstreamManager();
    const receiver = await startReceiver();
    stopping.push(bus.close, receiver.stop, own.stop);
    const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" };
    const posthorn = await startPosthornHere({ nats: own, redis: redisServer, prefix, settings });
    const seen = new Set<string>();
    receiver.behave((request, response) => {
      const id = String(request.headers["webhook-id"]);
      response.writeHead(seen.has(id) ? 200 : 500).end();
      seen.add(id);
    });
    const retries: Msg[] = [];
    bus.connection.subscribe(`${prefix}.retries.>`, { callback: (_, message) => void retries.push(message) });
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [0.1], max_in_flight: 1_000 });
    const count = 100;
    for (let n = 0; n < count; n++) void bus.publish("issue.created", event(n));
    await receiver.waitFor(2 * count);
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes('posthorn_messages_in_hand{stream="retries"} 0'));
    await own.kill();
    await own.restart();
    const stored = async () => (await manager.streams.info(`${prefix}_RETRIES`.toUpperCase().replaceAll("-", "_"))).state.messages;
    // Some servers have the messages still, and consumers that do not know of them.
    await eventually(async () => (await stored()) === 0);
    const skipped = async () =>
      Number(/^posthorn_deliveries_skipped_total (\d+)$/m.exec((await posthorn.api("GET", "/metrics")).body)?.[1] ?? 0);

    // And whatever this one did: all that was acknowledged is back, the same bytes under the same subjects.
    const before = await skipped();
    const acknowledged = retries.splice(0);
    expect(acknowledged.length).toBeGreaterThanOrEqual(count);
    for (const { subject, data } of acknowledged) await bus.jetStream.publish(subject, data);
    await eventually(async () => (await skipped()) >= before + acknowledged.length && (await stored()) === 0);
    expect(receiver.requests).toHaveLength(2 * count);
    await posthorn.end();
  });
});

describe.concurrent("a large fan-out", () => {
  const INSTALLATIONS = 700;
  const LARGEST_PART = 320;

  test("is stored in batches and dealt out, also when the process is killed in the middle, while other events continue", async () => {
    const platform = await aPlatform();
    const { bus, receiver, manager } = platform;
    const first = await platform.startProcess({ POSTHORN_MAX_IN_FLIGHT: "16" });
    const { uuid: small } = await first.install({ webhook_url: receiver.url, organization_id: "small", max_in_flight: 8 });
    const uuids = Array.from({ length: INSTALLATIONS }, () => randomUUID());
    const bucket = await bus.jetStream.views.kv(`${platform.prefix}-registry`);
    const record = (await bucket.get(`installation.${small}`))?.json<object>();
    await Promise.all(
      uuids.map((uuid) => bucket.put(`installation.${uuid}`, JSON.stringify({ ...record, uuid, organization_id: "large" }))),
    );
    await eventually(
      async () => (await first.api("GET", "/v1/installations?organization_id=large&limit=1000")).body.items.length === INSTALLATIONS,
    );
    receiver.behave((_request, response) => void setTimeout(() => response.end("ok"), 2));

    await bus.publish("issue.created", { id: "large", organization_id: "large", data: {} });
    await bus.publish("issue.created", { id: "small", organization_id: "small", data: {} });
    await receiver.waitFor(100);
    // Parts in its hands come again after their consumer's ack_wait: 10 s.
    await first.end("SIGKILL");
    const second = await platform.start();
    const wanted = new Set([...uuids.map((uuid) => deliveryIdOf("large", uuid))]);
    await eventually(() => {
      for (const { headers } of receiver.requests) wanted.delete(String(headers["webhook-id"]));
      return wanted.size === 0;
    });
    for (const stream of ["RETRIES", "PARKED"] as const) {
      await eventually(async () => (await manager.streams.info(platform.stream(stream))).state.messages === 0);
    }
    // A crash repeats at most what one part had not marked yet.
    expect(receiver.requests.length).toBeLessThanOrEqual(INSTALLATIONS + 1 + LARGEST_PART);
    expect((await second.api("GET", "/v1/dead-letters")).body.items).toEqual([]);
    await second.end();
  });
});

describe.concurrent("a consumer that vanishes", () => {
  test("while Posthorn is down starts at the saved floor, not at the oldest event", async () => {
    const platform = await aPlatform();
    const first = await platform.start();
    const { slug } = await first.install({ webhook_url: platform.receiver.url });
    for (let n = 0; n < 5; n++) await platform.bus.publish("issue.created", event(n));
    await platform.receiver.waitFor(5);
    const bucket = await platform.bus.jetStream.views.kv(`${platform.prefix}-registry`);
    // The floor is saved every 10 s.
    await eventually(async () => (await bucket.get("ack-floor.events"))?.json<{ sequence: number }>().sequence === 5);
    await first.end();
    await platform.manager.consumers.delete(platform.stream("EVENTS"), "posthorn-events");
    // Not even the marks are needed for that. Those of the tests beside this one stay.
    const marks = await redis.keys(`*{${slug}}*`);
    expect(marks.length).toBeGreaterThan(0);
    await redis.del(...marks);
    await platform.bus.publish("issue.created", event(5));
    const second = await platform.start();
    await platform.receiver.waitFor(6);
    const { config } = await platform.manager.consumers.info(platform.stream("EVENTS"), "posthorn-events");
    expect(config).toMatchObject({ deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: 6 });
    await second.end();
    expect(numbers(platform.receiver).sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("while Posthorn runs is recreated; nothing is lost and nothing comes twice", async () => {
    const platform = await aPlatform();
    const posthorn = await platform.start();
    await posthorn.install({ webhook_url: platform.receiver.url });
    for (let n = 0; n < 20; n++) await platform.bus.publish("issue.created", event(n));
    await platform.receiver.waitFor(20);
    await platform.manager.consumers.delete(platform.stream("EVENTS"), "posthorn-events");
    for (let n = 20; n < 40; n++) await platform.bus.publish("issue.created", event(n));
    await platform.receiver.waitFor(40);
    expect(numbers(platform.receiver).sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n));
    await posthorn.end();
  });

  test("of a first-ever start is made for all events that there are", async () => {
    const platform = await aPlatform();
    await platform.manager.streams.add({
      name: platform.stream("EVENTS"),
      subjects: [`${platform.prefix}.events.*.*`],
      duplicate_window: nanos(600_000),
    });
    await platform.bus.publish("issue.created", event(1));
    const posthorn = await platform.start();
    await eventually(async () => {
      const { ack_floor } = await platform.manager.consumers.info(platform.stream("EVENTS"), "posthorn-events");
      return ack_floor.stream_seq === 1;
    });
    await posthorn.end();
  });
});

describe.concurrent("streams that refuse", () => {
  test("do not keep a caller waiting, and what was answered with 503 is not made later", async () => {
    const platform = await aPlatform();
    const { bus, receiver } = platform;
    const posthorn = await platform.start();
    receiver.behave(answer(422));
    const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url });
    await bus.publish("issue.created", event());
    const [letter] = await platform.deadLetters(posthorn, 1);
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    await bus.publish("issue.created", event(2));
    await eventually(async () => (await platform.manager.streams.info(platform.stream("PARKED"))).state.messages === 1);
    await changed(platform, "RETRIES", { max_bytes: 1 });
    await changed(platform, "DEAD_LETTERS", { max_msgs: 1, discard: "new" });

    // The answers come after 5 s of real time: how long a person waits for what is to be stored.
    const [resent, replayed, all, discarded] = await Promise.all([
      posthorn.api("POST", `/v1/deliveries/${letter?.["delivery_id"]}/resend`),
      posthorn.api("POST", `/v1/dead-letters/${letter?.["sequence"]}/replay`),
      posthorn.api("POST", "/v1/dead-letters/replay", { app: slug }),
      posthorn.api("POST", `/v1/installations/${uuid}/discard`),
    ]);
    const refused = (stream: string) => ({ status: 503, code: "STREAM_REFUSED", detail: expect.stringMatching(`^the ${stream} stream`) });
    expect(resent.body).toMatchObject(refused("retries"));
    expect(replayed.body).toMatchObject(refused("retries"));
    expect(discarded.body).toMatchObject(refused("dead-letters"));
    const replay = await eventually(async () => {
      const { body } = await posthorn.api("GET", `/v1/dead-letters/replays/${all.body.replay_id}`);
      return body.state !== "running" && body;
    });
    expect(replay).toMatchObject({ state: "failed", replayed: 0, error: expect.stringMatching("^the retries stream") });
    expect((await posthorn.api("GET", "/metrics")).body).toContain("posthorn_publishes_pending 0\n");
    await platform.deadLetters(posthorn, 1);

    await changed(platform, "RETRIES", { max_bytes: -1 });
    receiver.behave(answer(200));
    await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    expect((await posthorn.api("POST", `/v1/dead-letters/${letter?.["sequence"]}/replay`)).status).toBe(202);
    await receiver.waitFor(3);
    expect(await posthorn.end()).toBe(0);
    expect(numbers(receiver)).toHaveLength(3);
  });

  test("are distinguished: what another stream takes does not hide that one refuses, nor is it logged again", async () => {
    const platform = await aPlatform();
    const { bus, manager, receiver, stream } = platform;
    const posthorn = await platform.start({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" });
    receiver.behave(answer(500));
    const { uuid } = await posthorn.install({ webhook_url: receiver.url, events: ["issue"] });
    await posthorn.install({ webhook_url: receiver.url, events: ["comment"], retry_schedule_s: [3_600] });
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    await changed(platform, "PARKED", { max_msgs: 1 });
    for (let n = 0; n < 2; n++) await bus.publish("issue.created", event(n));
    const streams = async () => (await posthorn.api("GET", "/readyz")).body.checks.streams;
    await eventually(async () => (await streams()).ok === false);
    for (let n = 2; n < 12; n++) {
      await bus.publish("comment.created", event(n));
      await eventually(async () => (await manager.streams.info(stream("RETRIES"))).state.messages === n - 1);
      // At first it has refused one, then the look at the stream names its limit.
      const detail = expect.stringMatching(/^(refusing messages: parked|stream T_\w+_PARKED is full: max_msgs: 1)$/);
      expect(await streams()).toEqual({ ok: false, required: true, detail });
    }
    const metrics = String((await posthorn.api("GET", "/metrics")).body);
    expect(metrics).toContain('posthorn_stream_refusing{stream="parked"} 1');
    expect(metrics).toContain('posthorn_stream_refusing{stream="retries"} 0');
    expect(posthorn.log.filter(({ message }) => String(message).startsWith("stream refuses"))).toHaveLength(1);
    await changed(platform, "PARKED", { max_msgs: -1 });
    await eventually(async () => (await streams()).ok);
    // A look at the stream may be what says so, before what was refused is stored.
    await eventually(async () => (await manager.streams.info(stream("PARKED"))).state.messages === 2);
    expect(await posthorn.end()).toBe(0);
  });

  test.for([
    ["RETRIES", "none"],
    ["PARKED", "installation"],
  ] as const)(
    "turn a delivery that is too large for %s into a dead letter after one attempt, cut to what fits there (order_by: %s)",
    async ([of, order_by], { expect }) => {
      const platform = await aPlatform();
      const { bus, receiver } = platform;
      const posthorn = await platform.start();
      receiver.behave(answer(500));
      const { uuid } = await posthorn.install({ webhook_url: receiver.url, order_by, retry_schedule_s: [3_600] });
      await changed(platform, of, { max_msg_size: 20_000 });
      await changed(platform, "DEAD_LETTERS", { max_msg_size: 16_384 });
      const large = { ...event(), data: { n: 1, text: "é".repeat(30_000) } };
      await bus.publish("issue.created", large);
      const [letter] = await platform.deadLetters(posthorn, 1);
      expect(letter).toMatchObject({
        ...{ reason: "overflow", error: expect.stringMatching(/found 6\d{4} bytes, wanted no more than the stream's max_msg_size/) },
        ...{ delivery_id: deliveryIdOf("e-1", uuid), attempts: [{ attempt: 1, response_code: 500 }] },
        ...{ body_cut: true, body_bytes: Buffer.byteLength(JSON.stringify(large.data)), event: { id: "e-1", data: {} } },
        body: expect.stringMatching(/^\{"n":1,"text":"é{3000,}$/),
      });
      const replayed = await posthorn.api("POST", `/v1/dead-letters/${letter?.["sequence"]}/replay`);
      expect(replayed).toMatchObject({ status: 409, body: { detail: expect.stringContaining("it was cut to fit") } });

      // The next ones are not held up.
      receiver.behave(answer(200));
      await bus.publish("issue.created", event(2));
      await receiver.waitFor(2);
      expect(numbers(receiver)).toEqual([1, 2]);
      const resent = await posthorn.api("POST", `/v1/deliveries/${letter?.["delivery_id"]}/resend`);
      expect(resent.body).toMatchObject({ status: 413, code: "TOO_LARGE" });
      expect((await posthorn.api("GET", "/readyz")).body.checks.streams.ok).toBe(true);
      expect(await posthorn.end()).toBe(0);
    },
  );
});

describe.concurrent("after NATS was down", () => {
  test("nothing is handled before it is known who was installed meanwhile", async () => {
    const platform = await aPlatform();
    const { bus, prefix, receiver } = platform;
    const proxy = await startTcpProxy(nats.port);
    const cutOff = await platform.start({}, { nats: through(proxy, "nats") });
    const other = await platform.start();
    await proxy.stop();
    await eventually(async () => (await cutOff.api("GET", "/readyz")).status === 503);

    // So many changes that the watch needs a while to catch up.
    const bucket = await bus.jetStream.views.kv(`${prefix}-registry`);
    for (let n = 0; n < 20; n++)
      await Promise.all(Array.from({ length: 250 }, (_, at) => bucket.put(`noise.${n}-${at}`, "x".repeat(1_000))));
    receiver.behave(answer(500));
    await other.install({ webhook_url: receiver.url, retry_schedule_s: [1] });
    await bus.publish("issue.created", event());
    await receiver.waitFor(1);
    await eventually(async () => (await platform.manager.streams.info(platform.stream("RETRIES"))).state.messages === 1);
    await other.end();
    // The retry is due when the link comes back.
    const storedAt = Date.now();
    await eventually(() => Date.now() - storedAt > 2_000);
    receiver.behave(answer(200));
    const again = await startTcpProxy(nats.port, proxy.port);
    stopping.push(again.stop);
    await receiver.waitFor(2);
    await platform.deadLetters(cutOff, 0);
    expect(await cutOff.end()).toBe(0);
  });
});

describe.concurrent("a message that keeps killing the process", () => {
  test("goes to dead letters before it is touched again, and a replay delivers it", async () => {
    const platform = await aPlatform();
    const first = await platform.start();
    const { uuid } = await first.install({ webhook_url: platform.receiver.url });
    await first.end();
    await platform.bus.publish("issue.created", { ...event(), data: { n: 1, exact: 1 } });
    await wearOut(platform, platform.stream("EVENTS"), "posthorn-events");

    const second = await platform.start();
    const [letter] = await platform.deadLetters(second, 1);
    expect(letter).toMatchObject({
      reason: "redelivered",
      error: "redelivered 11 times without being acknowledged",
      subject: `${platform.prefix}.events.issue.created`,
    });
    expect(platform.receiver.requests).toHaveLength(0);
    await platform.bus.publish("issue.created", event(2));
    await platform.receiver.waitFor(1);

    expect((await second.api("POST", `/v1/dead-letters/${letter?.["sequence"]}/replay`)).status).toBe(202);
    await platform.receiver.waitFor(2);
    expect(numbers(platform.receiver)).toEqual([2, 1]);
    expect(platform.receiver.requests[1]?.headers["webhook-id"]).toBe(deliveryIdOf("e-1", uuid));
    await platform.deadLetters(second, 0);
    await second.end();
  });

  test("is found by its type, and stays in dead letters while nobody wants it", async () => {
    const platform = await aPlatform();
    const first = await platform.start();
    const { slug, uuid } = await first.install({ webhook_url: platform.receiver.url });
    await first.end();
    await platform.bus.publish("issue.created", event());
    await wearOut(platform, platform.stream("EVENTS"), "posthorn-events");
    const second = await platform.start();
    const [letter] = await platform.deadLetters(second, 1);
    const matched = async (event_type: string) => (await replayDeadLetters(second.api, { event_type, dry_run: true })).matched;
    expect([await matched("issue.created"), await matched("issue.resolved")]).toEqual([1, 0]);
    expect((await second.api("GET", "/v1/dead-letters?event_type=issue.created&order=newest")).body.items).toHaveLength(1);

    await second.api("DELETE", `/v1/installations/${uuid}`);
    const path = `/v1/dead-letters/${letter?.["sequence"]}/replay`;
    expect(await second.api("POST", path)).toMatchObject({
      status: 409,
      body: { code: "CONFLICT", detail: expect.stringMatching("no installation wants its event now") },
    });
    expect(await replayDeadLetters(second.api, {})).toMatchObject({ matched: 1, replayed: 0, skipped: 1 });
    await platform.deadLetters(second, 1);
    await second.api("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: "42", allow_duplicate: true });
    expect((await second.api("POST", path)).status).toBe(202);
    await platform.receiver.waitFor(1);
    await platform.deadLetters(second, 0);
    expect((await second.api("POST", path)).status).toBe(404);
    await second.end();
  });

  test("also from the retries stream, and waiting for its time does not count", async () => {
    const platform = await aPlatform();
    const first = await platform.start();
    platform.receiver.behave(answer(500));
    const { slug } = await first.install({ webhook_url: platform.receiver.url, retry_schedule_s: [60] });
    await platform.bus.publish("issue.created", event());
    await eventually(async () => (await platform.manager.streams.info(platform.stream("RETRIES"))).state.messages === 1);
    const tier = async () => {
      const { state } = await platform.manager.streams.info(platform.stream("RETRIES"), { subjects_filter: ">" });
      return Number(Object.keys(state.subjects ?? {})[0]?.split(".")[2]);
    };
    await first.end();
    const before = await tier();
    await wearOut(platform, platform.stream("RETRIES"), `posthorn-rung-${before}`, 6);
    const second = await platform.start();
    // It is stored anew for the rest of its delay, and its count begins again.
    await eventually(async () => (await platform.manager.streams.info(platform.stream("RETRIES"))).state.last_seq === 2);
    await second.end();
    await wearOut(platform, platform.stream("RETRIES"), `posthorn-rung-${await tier()}`);
    const third = await platform.start();
    const [letter] = await platform.deadLetters(third, 1);
    expect(letter).toMatchObject({ reason: "redelivered", app: slug });
    platform.receiver.behave(answer(200));
    const replayed = await replayDeadLetters(third.api, { app: slug, event_type: "issue.created" });
    expect(replayed).toMatchObject({ matched: 1, replayed: 1 });
    await platform.receiver.waitFor(2);
    const another = await platform.start();
    await eventually(async () => {
      const { status, body } = await another.api("GET", `/v1/dead-letters/replays/${replayed.replay_id}`);
      if (status !== 200) throw new Error(JSON.stringify(body));
      expect(body).toEqual(replayed);
      return true;
    });
    await another.end();
    await third.end();
  });
});

describe.concurrent("dead letters that are replayed by several at the same time", () => {
  test("go out once each, whichever was first, and every answer says so", async () => {
    const platform = await aPlatform();
    const { bus, receiver, manager, stream } = platform;
    const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" };
    const replicas = await Promise.all([platform.start(settings), platform.start(settings)]);
    const [one, other] = replicas as [Posthorn, Posthorn];
    receiver.behave(answer(422));
    await one.install({ webhook_url: receiver.url });
    const count = 30;
    for (let n = 0; n < count; n++) await bus.publish("issue.created", event(n));
    const letters = await platform.deadLetters(one, count);
    receiver.behave(answer(200));

    const single = letters.slice(0, 5).flatMap(({ sequence }) => replicas.map((replica) => [replica, sequence] as const));
    const answers = await Promise.all([
      ...single.map(([replica, sequence]) => replica.api("POST", `/v1/dead-letters/${sequence}/replay`)),
      one.api("POST", "/v1/dead-letters/replay", {}),
      other.api("POST", "/v1/dead-letters/replay", {}),
    ]);
    expect(answers.filter(({ status }) => ![200, 202, 404].includes(status))).toEqual([]);
    for (const [at, replica] of replicas.entries()) {
      const { replay_id } = answers[single.length + at]?.body ?? {};
      await eventually(async () => (await replica.api("GET", `/v1/dead-letters/replays/${replay_id}`)).body.state === "done");
    }
    await eventually(async () => (await manager.streams.info(stream("RETRIES"))).state.messages === 0);
    for (const replica of replicas) expect(await replica.end()).toBe(0);
    expect(
      numbers(receiver)
        .slice(count)
        .sort((a, b) => a - b),
    ).toEqual(Array.from({ length: count }, (_, n) => n));
    expect((await manager.streams.info(stream("DEAD_LETTERS"))).state.messages).toBe(0);
  });

  test("go out once, too, when a process was killed before it had removed the dead letter", async () => {
    const platform = await aPlatform();
    const { bus, receiver, manager, prefix, stream } = platform;
    const proxy = await startCutProxy(nats.port);
    stopping.push(proxy.stop);
    const second = await platform.start();
    const first = await startPosthorn({ nats: through(proxy, "nats"), redis: redisServer, prefix });
    receiver.behave(answer(422));
    await second.install({ webhook_url: receiver.url });
    await bus.publish("issue.created", event());
    const [letter] = await platform.deadLetters(second, 1);
    receiver.behave(answer(200));
    // Long after it the server does not know any more what it has stored.
    await changed(platform, "RETRIES", { duplicate_window: nanos(100) });
    proxy.cut("before", "STREAM.MSG.DELETE");
    const path = `/v1/dead-letters/${letter?.["sequence"]}/replay`;
    const unanswered = first.api("POST", path).catch(() => null);
    await eventually(proxy.isCut);
    await first.end("SIGKILL");
    await unanswered;
    await receiver.waitFor(2);

    expect((await second.api("POST", path)).status).toBe(202);
    await eventually(async () => (await second.api("GET", "/metrics")).body.includes("posthorn_deliveries_skipped_total 1\n"));
    await eventually(async () => (await manager.streams.info(stream("RETRIES"))).state.messages === 0);
    await platform.deadLetters(second, 0);
    expect(await second.end()).toBe(0);
    expect(receiver.requests).toHaveLength(2);
  });
});

describe.concurrent("a stream that refuses", () => {
  test("holds its source back, says so in readiness, and continues when it takes messages again", async () => {
    const platform = await aPlatform();
    const { bus, manager, receiver } = platform;
    const posthorn = await platform.start();
    receiver.behave(answer(500));
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [0.1] });
    const retries = platform.stream("RETRIES");
    const { config } = await manager.streams.info(retries);
    await manager.streams.update(retries, { ...config, max_bytes: 1 });
    await bus.publish("issue.created", event());
    await receiver.waitFor(1);
    const refused = await eventually(async () => {
      const { status, body } = await posthorn.api("GET", "/readyz");
      return status === 503 && body;
    });
    expect(refused.checks.streams).toMatchObject({ ok: false, detail: "refusing messages: retries" });
    const { num_ack_pending } = await manager.consumers.info(platform.stream("EVENTS"), "posthorn-events");
    expect(num_ack_pending).toBe(1);
    receiver.behave(answer(200));
    await manager.streams.update(retries, { ...config, max_bytes: -1 });
    await receiver.waitFor(2);
    await eventually(async () => (await posthorn.api("GET", "/readyz")).status === 200);
    expect(await posthorn.end()).toBe(0);
  });
});

describe.concurrent("a replay", () => {
  test("leaves a dead letter as it is that is too large to be stored anywhere else", async () => {
    const platform = await aPlatform();
    const { bus, receiver } = platform;
    const posthorn = await platform.start();
    receiver.behave(answer(422));
    const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url });
    await bus.publish("issue.created", { ...event(), data: { n: 1, text: "x".repeat(60_000) } });
    const [letter] = await platform.deadLetters(posthorn, 1);
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    await changed(platform, "PARKED", { max_msg_size: 20_000 });
    await changed(platform, "DEAD_LETTERS", { max_msg_size: 16_384 });
    const { body } = await posthorn.api("POST", "/v1/replays", { app: slug, what: "failed" });
    await eventually(async () => (await posthorn.api("GET", `/v1/replays/${body.id}`)).body.state === "done", 30_000);
    const [kept] = await platform.deadLetters(posthorn, 1);
    expect(kept).toEqual(letter);
    expect(await posthorn.end()).toBe(0);
  });
});

describe.concurrent("events of unusual size", () => {
  test("a large one is retried as it is, and what can't be read is kept as far as a message holds it", async () => {
    const platform = await aPlatform();
    const { bus, receiver } = platform;
    const posthorn = await platform.start();
    receiver.behave(answer(500));
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [0.1] });
    const text = "é\u0001".repeat(115_000);
    await bus.publish("issue.created", { ...event(), data: { n: 1, text } });
    await receiver.waitFor(1);
    receiver.behave(answer(200));
    await receiver.waitFor(2);
    expect(receiver.requests[1]?.json().data["text"]).toBe(text);

    await bus.publish("issue.created", "\u0001".repeat(1_000_000));
    await bus.publish("issue.created", JSON.stringify({ ...event(2), data: { text: "x".repeat(1_030_000) } }));
    const letters = await platform.deadLetters(posthorn, 2);
    expect(letters[0]).toMatchObject({ reason: "invalid", body_cut: true, body_bytes: 1_000_000, error: expect.stringMatching(/JSON/) });
    expect(letters[1]).toMatchObject({ reason: "invalid", error: expect.stringMatching(/^body: found 10\d{5} bytes, wanted at most/) });
    await posthorn.end();
  });
});

describe.concurrent("what waits in the parked stream", () => {
  test("longer than POSTHORN_MAX_PARKED_AGE goes to dead letters", async () => {
    const platform = await aPlatform();
    const posthorn = await platform.start({ POSTHORN_MAX_PARKED_AGE: "1s" });
    const { uuid } = await posthorn.install({ webhook_url: platform.receiver.url });
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    await platform.bus.publish("issue.created", event());
    const [letter] = await platform.deadLetters(posthorn, 1);
    expect(letter).toMatchObject({ reason: "expired", delivery_id: deliveryIdOf("e-1", uuid), attempts: [] });
    expect(platform.receiver.requests).toHaveLength(0);
    await posthorn.end();
  });

  test("for a circuit is handed out to no replica that starts or stops, so that nothing counts against it", async () => {
    const platform = await aPlatform();
    const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1", POSTHORN_CIRCUIT_OPEN_TIME: "10m" };
    const first = await platform.start(settings);
    platform.receiver.behave(answer(500));
    const { slug } = await first.install({ webhook_url: platform.receiver.url, retry_schedule_s: [3600] });
    await platform.bus.publish("issue.created", event(1));
    await eventually(async () => (await platform.manager.streams.info(platform.stream("STATUS"))).state.messages === 1);
    await platform.bus.publish("issue.created", event(2));
    const parked = async () => (await platform.manager.streams.info(platform.stream("PARKED"))).state;
    await eventually(async () => (await parked()).messages === 1 && (await consumers(platform)) === 1);
    await first.end();
    await (await platform.start(settings)).end();
    const third = await platform.start(settings);
    expect(await parked()).toMatchObject({ messages: 1, last_seq: 1 });
    const { delivered } = await platform.manager.consumers.info(platform.stream("PARKED"), `posthorn-app-${slug}`);
    expect(delivered.consumer_seq).toBe(0);
    await platform.deadLetters(third, 0);
    await third.end();
  });
});

async function consumers({ manager, stream }: Platform): Promise<number> {
  return (await manager.streams.info(stream("PARKED"))).state.consumer_count;
}

describe.concurrent("while NATS is down", () => {
  test("what is in flight ends and nothing new starts; afterwards nothing comes twice", async () => {
    const platform = await aPlatform();
    const proxy = await startTcpProxy(nats.port);
    stopping.push(proxy.stop);
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    platform.receiver.behave(async (_request, response) => {
      await held;
      response.end("ok");
    });
    const posthorn = await platform.start({ POSTHORN_MAX_IN_FLIGHT: "2" }, { nats: through(proxy, "nats") });
    // Of two events for three apps two deliveries are under way and the others wait for their places.
    for (let app = 0; app < 3; app++) await posthorn.install({ webhook_url: platform.receiver.url });
    for (let n = 0; n < 2; n++) await platform.bus.publish("issue.created", event(n));
    await platform.receiver.waitFor(2);
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes("posthorn_waiting 4"));
    await proxy.stop();
    await eventually(async () => (await posthorn.api("GET", "/readyz")).status === 503);
    release();
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes("posthorn_in_flight 0"));
    expect(platform.receiver.requests).toHaveLength(2);
    const again = await startTcpProxy(nats.port, proxy.port);
    stopping.push(again.stop);
    await platform.receiver.waitFor(6);
    await eventually(async () => {
      const { num_pending, num_ack_pending } = await platform.manager.consumers.info(platform.stream("EVENTS"), "posthorn-events");
      return num_pending + num_ack_pending === 0;
    });
    expect(new Set(platform.receiver.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(6);
    expect(platform.receiver.requests).toHaveLength(6);
    expect(await posthorn.end()).toBe(0);
  });
});

describe.concurrent("while NATS and Redis say nothing", () => {
  test("what waits for them shows as a metric, and is gone when they are back", async () => {
    const platform = await aPlatform();
    const { bus, manager, receiver } = platform;
    const proxies = { nats: await startTcpProxy(nats.port), redis: await startTcpProxy(redisServer.port) };
    stopping.push(proxies.nats.stop, proxies.redis.stop);
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    receiver.behave(async (_request, response) => {
      await released;
      response.end("ok");
    });
    const posthorn = await platform.start({}, { nats: through(proxies.nats, "nats"), redis: through(proxies.redis, "redis") });
    await posthorn.install({ webhook_url: receiver.url });
    for (let n = 0; n < 3; n++) await bus.publish("issue.created", event(n));
    await receiver.waitFor(3);
    proxies.nats.freeze();
    proxies.redis.freeze();
    release();
    const waiting = (count: number) =>
      eventually(async () => {
        const lines = String((await posthorn.api("GET", "/metrics")).body).split("\n");
        const names = ["posthorn_acks_unconfirmed", "posthorn_log_buffered", "posthorn_log_notes_buffered"];
        return names.every((name) => lines.includes(`${name} ${count}`));
      });
    await waiting(3);
    proxies.nats.thaw();
    proxies.redis.thaw();
    await waiting(0);
    await eventually(async () => {
      const { num_pending, num_ack_pending } = await manager.consumers.info(platform.stream("EVENTS"), "posthorn-events");
      return num_pending + num_ack_pending === 0;
    });
    expect(await posthorn.end()).toBe(0);
    expect(receiver.requests).toHaveLength(3);
  });
});

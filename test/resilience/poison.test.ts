/**
 * Deliveries that are read without a consumer and kill the process each time that they are attempted.
 * After each kill the next process waits in real time: the lease of the owner expires after 10 s.
 */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, type PosthornProcess, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

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

const statusEvents = async (posthorn: Posthorn, type: string): Promise<Array<{ type: string }>> => {
  const { items } = (await posthorn.api("GET", "/v1/status-events")).body;
  return items.filter((one: { type: string }) => one.type.startsWith(type));
};

async function aPlatform() {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const stream = (name: string): string => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");
  const [bus, receiver] = await Promise.all([connectBus(nats, prefix), startReceiver()]);
  stopping.push(bus.close, receiver.stop);
  const manager = await bus.connection.jetstreamManager();
  return {
    bus,
    receiver,
    stream,
    parked: async () => (await manager.streams.info(stream("PARKED"))).state.messages,
    /** Events that would be read again after a kill. */
    async unacknowledged() {
      const consumers = await manager.consumers.list(stream("EVENTS")).next();
      return consumers.reduce((sum, { num_pending, num_ack_pending }) => sum + num_pending + num_ack_pending, 0);
    },
    numbers: () => receiver.requests.map((request) => Number(request.json().data["n"])),
    async start(settings: Readonly<Record<string, string>> = {}, waitForReady = true) {
      const posthorn = await startPosthorn({ nats, redis: redisServer, prefix, settings, waitForReady });
      stopping.push(() => posthorn.end("SIGKILL"));
      return posthorn;
    },
    /** One that nothing kills. */
    async startHere(settings: Readonly<Record<string, string>> = {}) {
      const posthorn = await startPosthornHere({ nats, redis: redisServer, prefix, settings });
      stopping.push(posthorn.end);
      return posthorn;
    },
    /** The counts of hand-outs, as Redis has them. */
    async counts() {
      const keys = await redis.keys(`*hand-outs:${stream("")}*`);
      return Promise.all(keys.map(async (key) => ({ key, count: Number(await redis.get(key)), ttl: await redis.ttl(key) })));
    },
  };
}

const COUNT = 5;
const POISON = 2;
/** The number of the event that is answered with a pause, if there is one. */
const PAUSING = COUNT;

test.concurrent.each([
  ["the queue of an installation", { ordered: false, isDirect: false }],
  ["the queue of an ordered app", { ordered: true, isDirect: false }],
  ["the events, and then the queue, of an ordered app", { ordered: true, isDirect: true }],
])("from %s it goes to dead letters before it is attempted again, and nothing else does", async (_from, { ordered, isDirect }) => {
  const { bus, receiver, parked, numbers, start, startHere, counts } = await aPlatform();
  let current: PosthornProcess = await start();
  const times = (wanted: number): number => numbers().filter((n) => n === wanted).length;
  receiver.behave((request, response) => {
    const { n } = request.json().data;
    if (n === PAUSING && times(n) === 1) response.writeHead(429, { "retry-after": "3600" }).end();
    else if (n !== POISON) response.end("ok");
    else if (!isDirect || times(n) === 1) current.child.kill("SIGKILL");
  });
  const order = isDirect ? { order_by: "/k" } : { ordered };
  const { slug, uuid } = await current.install({ webhook_url: receiver.url, timeout_ms: 60_000, ...order });
  const status = (change: "disable" | "enable") => current.api("POST", `/v1/installations/${uuid}/${change}`);
  if (!isDirect) await status("disable");
  for (let n = 0; n < COUNT; n++) await bus.publish("issue.created", { id: `e-${n}`, organization_id: "42", data: { n } });
  if (!isDirect) {
    await eventually(async () => (await parked()) === COUNT);
    // It may die before it has answered.
    await status("enable").catch(() => {});
  }
  const isAttempted = (count: number) => eventually(() => times(POISON) === count);
  const died = () => eventually(() => current.child.signalCode);
  await isAttempted(1);
  await died();
  current = await start();
  // Now that an owner has died it is a suspect.
  await isAttempted(2);
  if (isDirect) {
    await bus.publish("issue.created", { id: `e-${PAUSING}`, organization_id: "42", data: { n: PAUSING, k: "another" } });
    // Its record outlives the process from then on.
    await eventually(async () => (await statusEvents(current, "app.throttled")).length === 1);
    current.child.kill("SIGKILL");
  }
  await died();
  const found = await eventually(async () => {
    const all = await counts();
    return all.some(({ key: one, count }) => one.includes(`:${POISON + 1}:`) && count === 1) && all;
  });
  expect(found.every(({ count, ttl }) => count <= 1 && ttl > 0)).toBe(true);
  // Those that were in flight with it are counted, too.
  const key = found.map((one) => one.key).find((one) => one.includes(`:${POISON + 1}:`)) ?? "";
  await redis.set(key, 10, "KEEPTTL");

  const last = await startHere();
  if (isDirect) {
    // It waits for the end of the pause, and is stored.
    await eventually(async () => (await parked()) >= COUNT - POISON);
    await last.api("PATCH", `/v1/apps/${slug}`, { webhook_url: `${receiver.url}/another` });
  }
  const letters = await eventually(async () => {
    const { items } = (await last.api("GET", "/v1/dead-letters")).body;
    return items.length > 0 && items;
  });
  expect(letters).toMatchObject([
    {
      app: slug,
      reason: "redelivered",
      error: "handed out 11 times, and the process died each time",
      delivery_id: deliveryIdOf(`e-${POISON}`, uuid),
    },
  ]);
  await eventually(() => new Set(numbers()).size === COUNT + (isDirect ? 1 : 0));
  await eventually(async () => (await parked()) === 0);
  expect(times(POISON)).toBe(2);
  await eventually(async () => (await statusEvents(last, "delivery.")).length > 0);
  expect(await statusEvents(last, "delivery.")).toMatchObject([{ type: "delivery.rejected", data: { reason: "redelivered" } }]);
  await last.end();
});

/** Kills the process that decodes a stored delivery with it in its data; reading its event does no harm. */
const KILLS = "kills whoever decodes it";
const KILLER = `const parse = JSON.parse; JSON.parse = (text, ...more) => { if (["${KILLS}", "attempts_made"].every((one) => String(text).includes(one))) process.kill(process.pid, "SIGKILL"); return parse(text, ...more); };`;
const DEADLY = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(KILLER)}`, POSTHORN_BROKEN_PROBE_INTERVAL: "1s" };

test.concurrent.each([
  ["in the queue of an installation", { ordered: false, isBroken: false }],
  ["in the queue of an ordered app", { ordered: true, isBroken: false }],
  ["as the probe of a broken integration", { ordered: false, isBroken: true }],
])("a delivery that kills the process while it is decoded, %s, goes to dead letters undecoded", async (_where, { ordered, isBroken }) => {
  const { bus, receiver, parked, unacknowledged, numbers, start, startHere, counts } = await aPlatform();
  let isGone = isBroken;
  receiver.behave((_request, response) => void response.writeHead(isGone ? 410 : 200).end());
  const first = await start();
  const { slug, uuid } = await first.install({ webhook_url: receiver.url, ordered });
  const publish = (n: number, text = "") => bus.publish("issue.created", { id: `e-${n}`, organization_id: "42", data: { n, text } });
  if (isBroken) {
    await publish(100);
    await eventually(async () => (await first.api("GET", `/v1/installations/${uuid}`)).body.status === "broken");
  } else await first.api("POST", `/v1/installations/${uuid}/disable`);
  await publish(0, KILLS);
  for (const n of [1, 2]) await publish(n);
  await eventually(async () => (await parked()) === 3 && (await unacknowledged()) === 0);
  await first.end("SIGKILL");
  isGone = false;

  // The probe may kill it before it is ready.
  const second = await start(DEADLY, !isBroken);
  if (!isBroken) await second.api("POST", `/v1/installations/${uuid}/enable`).catch(() => {});
  await eventually(() => second.child.signalCode === "SIGKILL");
  // Its event may be a suspect as well: the last owner died before it had read on.
  const [found, ...others] = (await counts()).filter(({ key }) => key.includes("_PARKED:"));
  expect([found?.count, others]).toEqual([1, []]);
  await redis.set(found?.key ?? "", 10, "KEEPTTL");

  const third = await start(DEADLY);
  await eventually(async () => (await parked()) === 0);
  await eventually(() => [1, 2].every((n) => numbers().includes(n)));
  await third.end("SIGKILL");

  const fourth = await startHere();
  const { items } = (await fourth.api("GET", `/v1/dead-letters?app=${slug}`)).body;
  const poisons = items.filter(({ reason }: { reason: string }) => reason === "redelivered");
  expect(poisons).toMatchObject([{ app: slug, error: "handed out 11 times, and the process died each time" }]);
  await fourth.end();
});

test.concurrent("a delivery that is in flight at every stop is not given up", async () => {
  const { bus, receiver, parked, start, startHere, counts } = await aPlatform();
  const first = await start();
  let mayAnswer = false;
  receiver.behave((_request, response) => void (mayAnswer ? response.end("ok") : undefined));
  const { uuid } = await first.install({ webhook_url: receiver.url });
  await first.api("POST", `/v1/installations/${uuid}/disable`);
  await bus.publish("issue.created", { id: "e-1", organization_id: "42", data: { n: 1 } });
  await eventually(async () => (await parked()) === 1);
  await first.api("POST", `/v1/installations/${uuid}/enable`);
  await receiver.waitFor(1);
  await first.end("SIGKILL");
  let current: Posthorn = await startHere({ POSTHORN_DRAIN_TIMEOUT: "100ms" });
  await receiver.waitFor(2);
  for (let stops = 1; stops <= 3; stops++) {
    const [found] = await eventually(async () => {
      const all = await counts();
      return all.length === 1 && all;
    });
    await redis.set(found?.key ?? "", 10, "KEEPTTL");
    await current.end();
    expect((await counts()).filter(({ count }) => count > 9)).toEqual([]);
    current = await startHere({ POSTHORN_DRAIN_TIMEOUT: "100ms" });
    await receiver.waitFor(2 + stops);
  }
  await current.end();
  mayAnswer = true;
  current = await startHere();
  await eventually(async () => (await parked()) === 0);
  expect((await current.api("GET", "/v1/dead-letters")).body.items).toEqual([]);
  await eventually(async () => (await counts()).length === 0);
  await current.end();
});

test.concurrent("an event that kills the owner whenever it is read goes to dead letters unread, and a replay delivers it", async () => {
  const { bus, receiver, stream, start, startHere } = await aPlatform();
  const first = await start();
  await first.install({ webhook_url: receiver.url, ordered: true });
  await bus.publish("issue.created", { id: "e-0", organization_id: "42", data: { n: 0 } });
  await receiver.waitFor(1);
  await first.end("SIGKILL");
  const sequence = await bus.publish("issue.created", { id: "e-1", organization_id: "42", data: { n: 1 } });
  await redis.set(`posthorn:hand-outs:${stream("EVENTS")}:${sequence}:-`, 10);
  const second = await startHere();
  const letter = await eventually(async () => (await second.api("GET", "/v1/dead-letters")).body.items[0]);
  expect(letter).toMatchObject({ reason: "redelivered", subject: `${bus.prefix}.events.issue.created` });
  await bus.publish("issue.created", { id: "e-2", organization_id: "42", data: { n: 2 } });
  // Deliveries in flight at the kill may come twice.
  const numbers = (): number[] => [...new Set(receiver.requests.map((request) => Number(request.json().data["n"])))];
  await eventually(() => numbers().length === 2);
  expect((await second.api("POST", `/v1/dead-letters/${letter.sequence}/replay`)).status).toBe(202);
  await eventually(() => numbers().length === 3);
  expect(numbers()).toEqual([0, 2, 1]);
  await second.end();
});

test.concurrent("as the probe of a broken integration it goes to dead letters, and the next one recovers the integration", async () => {
  const { bus, receiver, parked, numbers, start, startHere, counts } = await aPlatform();
  const settings = { POSTHORN_BROKEN_PROBE_INTERVAL: "1s" };
  const first = await start(settings);
  receiver.behave((request, response) => {
    const { n } = request.json().data;
    if (n === POISON) first.child.kill("SIGKILL");
    else response.writeHead(n === 0 ? 410 : 200).end();
  });
  const { uuid } = await first.install({ webhook_url: receiver.url });
  const publish = (n: number) => bus.publish("issue.created", { id: `e-${n}`, organization_id: "42", data: { n } });
  await publish(0);
  const status = async (posthorn: Posthorn) => (await posthorn.api("GET", `/v1/installations/${uuid}`)).body.status;
  await eventually(async () => (await status(first)) === "broken");
  for (const n of [POISON, POISON + 1]) await publish(n);
  await eventually(() => first.child.signalCode);
  const [found] = await counts();
  expect(found?.count).toBe(1);
  await redis.set(found?.key ?? "", 10, "KEEPTTL");
  const last = await startHere(settings);
  await eventually(async () => (await status(last)) === "active");
  await eventually(async () => (await parked()) === 0);
  expect(numbers()).toEqual([0, POISON, POISON + 1]);
  const { items } = (await last.api("GET", "/v1/dead-letters")).body;
  expect(items.map(({ reason }: { reason: string }) => reason).sort()).toEqual(["gone", "redelivered"]);
  await last.end();
});

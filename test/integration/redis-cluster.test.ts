/** The storage adapters on a real Redis Cluster, looked at with redis-cli. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { createDeliveryLookup } from "../../src/storage/delivery-lookup.ts";
import { createHealthStore } from "../../src/storage/health-store.ts";
import { connectRedis, isConnected, type RedisClient } from "../../src/storage/redis.ts";
import { createReplayLookup } from "../../src/storage/replay-lookup.ts";
import { createRequestLog, type RequestLog } from "../../src/storage/request-log.ts";
import { createRequestLogQuery } from "../../src/storage/request-log-query.ts";
import { createStatsQuery } from "../../src/storage/stats-query.ts";
import { aDelivery, anApp, anAttempt, anEvent, anInstallation, LIFETIMES } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { type Server, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

const DAY = "2026-01-05";
const NOON = Date.parse(`${DAY}T12:00:00Z`);
/** Enough to have some on every node. */
const APPS = Array.from({ length: 12 }, (_, at) => `app-${at}`);
const uuidOf = (app: string): string => `0f3c1d2e-5b6a-4c7d-8e9f-${app.slice(4).padStart(12, "0")}`;

let cluster: RedisCluster;
let redis: RedisClient;

const connect = (url: string): Promise<RedisClient> => connectRedis({ url, startupTimeoutMs: 20_000 }, systemClock, silentLogger);

beforeAll(async () => {
  cluster = await startRedisCluster();
  redis = await connect(cluster.url);
});
afterAll(async () => {
  redis.disconnect();
  await cluster.stop();
});
beforeEach(async () => void (await cluster.everywhere("FLUSHALL")));

const createLog = (): RequestLog =>
  createRequestLog(
    { redis, clock: systemClock, logger: silentLogger },
    { size: 100, listTtlMs: 30 * 86_400_000, ...LIFETIMES, bufferRows: 10_000, recoveredAt: () => 0 },
  );

const deliveryTo = (app: string, id = 1) => aDelivery({ app, installationUuid: uuidOf(app) }, anEvent({ id: `evt-${app}-${id}` }));

function attemptFor(app: string, members: Parameters<typeof anAttempt>[0] = {}) {
  const installation = anInstallation({ uuid: uuidOf(app), app });
  const delivery = members.delivery ?? deliveryTo(app);
  return anAttempt({ app: anApp({ slug: app }), installation, startedAt: NOON, endedAt: NOON, ...members, delivery });
}

const rowsOf = (app: string): Promise<string[]> => cluster.command("LRANGE", `posthorn:request:{${app}}:issue.created`, "0", "-1");
const errorsOf = async (app: string): Promise<string | undefined> =>
  (await cluster.command("HGET", `posthorn:health:{${uuidOf(app)}}:${DAY}`, "error"))[0];
const slotOf = async (key: string): Promise<string> => (await cluster.command("CLUSTER", "KEYSLOT", key)).join();

/** Two apps whose rows, and whose installations' health, are on the one node and not on it. */
async function onAndBeside(node: Server): Promise<{ on: string; beside: string }> {
  let on: string | undefined;
  let beside: string | undefined;
  for (let at = 0; on === undefined || beside === undefined; at++) {
    const app = `app-${at}`;
    const owners = await Promise.all([app, uuidOf(app)].map((tag) => cluster.nodeOf(tag)));
    if (owners.every((owner) => owner === node)) on ??= app;
    if (owners.every((owner) => owner !== node)) beside ??= app;
  }
  return { on, beside };
}

describe("on a cluster", () => {
  test("the ends of a replay's deliveries are counted for every app", async () => {
    const log = createLog();
    const replay = `rpl_${"a".repeat(32)}`;
    const lookup = createReplayLookup({ redis, now: Date.now }, LIFETIMES);
    for (const app of APPS) {
      const [done, failed] = [deliveryTo(app), deliveryTo(app, 2)].map((delivery) => ({ ...delivery, replay, counted: false }));
      if (done === undefined || failed === undefined) throw new Error("no deliveries");
      for (let n = 0; n < 2; n++) log.record(attemptFor(app, { delivery: done }));
      log.stored(failed, { stream: "dead-letters", sequence: 1 });
    }
    await log.flush(5_000);
    for (const app of APPS) {
      expect(await lookup.outcomeOf(app, replay)).toEqual({ done: 1, failed: 1 });
      expect(await lookup.find([{ ...deliveryTo(app), replay }])).toMatchObject([{ isDelivered: true, isSent: true }]);
    }
  });

  test("all keys of one app share a slot, and are all there is beside health, notes and numbers of batches", async () => {
    const log = createLog();
    log.record(attemptFor("app-1", { outcome: "failed" }));
    log.record(attemptFor("app-1", { delivery: deliveryTo("app-1", 2) }));
    log.stored(deliveryTo("app-1"), { stream: "retries", sequence: 3 });
    await log.flush(5_000);
    const written = await cluster.everywhere("KEYS", "*");
    const ofApp = written.filter((key) => key.includes("{app-1}"));
    expect(ofApp.map((key) => key.split(":")[1]).sort()).toEqual(
      ["batch", "dedup", "error", "event-types", "last-success", "recent", "request", "stats", "stores"].sort(),
    );
    expect(new Set(await Promise.all(ofApp.map(slotOf)))).toEqual(new Set([await slotOf("app-1")]));
    expect(
      written
        .filter((key) => !ofApp.includes(key))
        .map((key) => key.split(":")[1])
        .sort(),
    ).toEqual(["batch", "event-deliveries", "event-deliveries", "health", "place"]);
  });

  test("what was written in one batch is read back: rows, health, stats, marks, notes", async () => {
    const log = createLog();
    for (const app of APPS) {
      log.record(attemptFor(app));
      log.record(attemptFor(app, { delivery: deliveryTo(app, 2), outcome: "failed" }));
      log.stored(deliveryTo(app, 2), { stream: "parked", sequence: 5 });
    }
    expect(await log.flush(5_000)).toBe(0);

    const query = createRequestLogQuery({ redis, listSize: 100, organizationOf: () => undefined, appCreatedAt: () => null });
    const health = createHealthStore(redis, () => NOON);
    const stats = createStatsQuery(redis, () => null);
    const lookup = createDeliveryLookup({ redis, knownApps: () => APPS, now: Date.now }, LIFETIMES);
    const everything = { eventType: null, errorsOnly: false, organizationId: null, start: null, end: null };
    const others = createLog();
    for (const app of APPS) {
      expect((await rowsOf(app)).map((row) => JSON.parse(row).event_id)).toEqual([`evt-${app}-2`, `evt-${app}-1`]);
      expect((await query({ app, ...everything })).rows.map(({ event_id }) => event_id)).toEqual([`evt-${app}-2`, `evt-${app}-1`]);
      expect(await health.read(uuidOf(app), [DAY])).toEqual([{ day: DAY, success: 1, error: 1, timeout: 0, fatal: 0 }]);
      expect((await stats.ofApp(app, NOON, 3_600_000, 1)).total.outcomes).toMatchObject({ delivered: 1, failed: 1 });
      expect(await lookup.ofEvent(`evt-${app}-1`)).toMatchObject([{ eventSequence: 7, app, installationUuid: uuidOf(app) }]);
    }
    expect(await stats.ofHours(APPS, [NOON])).toEqual(APPS.map(() => [{ attempts: 2, delivered: 1 }]));
    const delivered = await Promise.all(APPS.map((app) => others.findDelivered(deliveryTo(app))));
    expect(delivered).toMatchObject(APPS.map((app) => ({ app })));
    expect(await others.findDelivered(deliveryTo("app-1", 2))).toBeNull();
    const [first, second, unknown] = await lookup.find([deliveryTo("app-1").id, deliveryTo("app-2", 2).id, "dlv_unknown"]);
    expect(first).toMatchObject({ app: "app-1", runs: [{ delivered: true }], location: null });
    expect(second).toMatchObject({ app: "app-2", runs: [{ delivered: false }], location: { stream: "parked", sequence: 5 } });
    expect(unknown).toBeNull();
    await health.clear(uuidOf("app-1"));
    expect(await health.read(uuidOf("app-1"), [DAY])).toEqual([{ day: DAY, success: 0, error: 0, timeout: 0, fatal: 0 }]);
  });

  test("a batch whose answer was lost is not written twice", async () => {
    const log = createLog();
    for (const app of APPS) log.record(attemptFor(app, { outcome: "failed" }));
    await log.flush(5_000);
    // The scripts run on two nodes; on the third they wait, and its connection goes before their answers come.
    const node = await cluster.nodeOf("{app-1}");
    await cluster.on(node, "CLIENT", "PAUSE", "60000", "WRITE");
    for (const app of APPS) log.record(attemptFor(app, { delivery: deliveryTo(app, 2), outcome: "failed" }));
    await eventually(async () => (await cluster.on(node, "INFO", "clients")).some((line) => /^blocked_clients:[1-9]/.test(line)));
    const clients = await cluster.on(node, "CLIENT", "LIST");
    for (const client of clients.filter((line) => line.includes("name=posthorn ")))
      await cluster.on(node, "CLIENT", "KILL", "ID", /id=(\d+)/.exec(client)?.[1] ?? "");
    await cluster.on(node, "CLIENT", "UNPAUSE");
    await eventually(() => log.buffered() === 0);
    for (const app of APPS) expect([(await rowsOf(app)).length, await errorsOf(app)]).toEqual([2, "2"]);
  });

  test("while a node is down the others' part is written, and all of it once when the node is back", async () => {
    const node = cluster.nodes[1] as Server;
    const { on, beside } = await onAndBeside(node);
    const log = createLog();
    const others = createLog();
    await node.kill();
    for (let id = 1; id <= 3; id++) {
      for (const app of [on, beside])
        log.record(attemptFor(app, { delivery: deliveryTo(app, id), outcome: id === 3 ? "delivered" : "failed" }));
    }
    await eventually(async () => (await rowsOf(beside)).length === 3);
    expect(log.buffered()).toBe(6);
    expect(await others.findDelivered(deliveryTo(beside, 3))).toMatchObject({ app: beside });
    expect(await others.findDelivered(deliveryTo(on, 3))).toBeNull();
    await expect(createStatsQuery(redis, () => null).ofHours([on, beside], [NOON])).rejects.toMatchObject({ code: "REDIS_UNREACHABLE" });
    await eventually(() => !isConnected(redis));
    // This batch waits for the one before it.
    log.record(attemptFor(beside, { delivery: deliveryTo(beside, 4), outcome: "failed" }));
    await node.restart();
    await eventually(() => log.buffered() === 0);
    expect([(await rowsOf(on)).length, await errorsOf(on)]).toEqual([3, "2"]);
    expect([(await rowsOf(beside)).length, await errorsOf(beside)]).toEqual([4, "3"]);
    await eventually(() => isConnected(redis));
    await cluster.whole();
  });

  test("when all nodes were down it is found again", async () => {
    const log = createLog();
    await Promise.all(cluster.nodes.map((node) => node.kill()));
    for (const app of APPS) log.record(attemptFor(app));
    expect(await log.findDelivered(deliveryTo("app-1", 2))).toBeNull();
    await eventually(() => !isConnected(redis));
    await Promise.all(cluster.nodes.map((node) => node.restart()));
    await eventually(() => log.buffered() === 0);
    for (const app of APPS) expect(await rowsOf(app)).toHaveLength(1);
    await cluster.whole();
  });
});

describe("POSTHORN_REDIS_URL", () => {
  test("with one node is enough to find the others", async () => {
    const seeded = await connect(cluster.nodes[0]?.url ?? "");
    expect([seeded.isCluster, isConnected(seeded)]).toEqual([true, true]);
    await seeded.set("event:a", "1");
    await seeded.set("event:b", "2");
    await seeded.set("event:c", "3");
    seeded.disconnect();
    expect((await cluster.everywhere("KEYS", "posthorn:event:*")).sort()).toEqual([
      "posthorn:event:a",
      "posthorn:event:b",
      "posthorn:event:c",
    ]);
  });

  test("with several servers that are no cluster stops the start and says so", async () => {
    const server = await startRedisServer();
    await expect(
      connectRedis({ url: `${server.url},${server.url}`, startupTimeoutMs: 500 }, systemClock, silentLogger),
    ).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringMatching(/POSTHORN_REDIS_URL.*is no node of a cluster/) });
    await server.stop();
  });
});

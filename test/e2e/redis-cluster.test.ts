/** The service on a Redis Cluster, as the user of docs/security.md, with a key prefix of its own. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { type Server, startNatsServer } from "../support/servers.ts";

const KEY_PREFIX = "hooks.eu:1";
const DOCUMENT = readFileSync(new URL("../../docs/security.md", import.meta.url), "utf8");
const [, documented = ""] = /^user (posthorn .*)$/m.exec(DOCUMENT) ?? [];
const user = documented.replace("~posthorn:*", `~${KEY_PREFIX}:*`);
const prefix = `t-${randomUUID().slice(0, 8)}`;

let cluster: RedisCluster;
let nats: Server;
let bus: Bus;
let receiver: Receiver;
let posthorn: Posthorn;

const start = (): Promise<Posthorn> =>
  startPosthornHere({
    nats,
    redis: { url: cluster.url.replaceAll("redis://", "redis://posthorn:change-me-posthorn@") },
    prefix,
    settings: { POSTHORN_REDIS_KEY_PREFIX: KEY_PREFIX },
  });

beforeAll(async () => {
  [cluster, nats, receiver] = await Promise.all([startRedisCluster({ needsAllNodes: true, user }), startNatsServer(), startReceiver()]);
  posthorn = await start();
  bus = await connectBus(nats, prefix);
});
afterAll(async () => {
  await bus.close();
  await posthorn.end();
  await Promise.all([cluster.stop(), nats.stop(), receiver.stop()]);
});

const publish = (id: string): Promise<number> => bus.publish("issue.created", { id, organization_id: "42", data: { id } });
const rows = async (slug: string): Promise<Array<Record<string, unknown>>> =>
  (await cluster.command("LRANGE", `${KEY_PREFIX}:request:{${slug}}:issue.created`, "0", "-1")).map((row) => JSON.parse(row));
/** How often each event came to a path. */
const counts = (path: string): Map<unknown, number> => {
  const all = Map.groupBy(
    receiver.requests.filter((request) => request.path === path),
    (request) => request.json().data["id"],
  );
  return new Map([...all].map(([id, { length }]) => [id, length]));
};

test("events are delivered and logged, what is redelivered is skipped, and a delivery is found by its id", async () => {
  const { slug, uuid } = await posthorn.install({ webhook_url: `${receiver.url}/first` });
  await publish("e-1");
  const [row] = await eventually(async () => {
    const found = await rows(slug);
    return found.length === 1 && found;
  });
  const id = deliveryIdOf("e-1", uuid);
  expect(row).toMatchObject({ event_id: "e-1", delivery_id: id, outcome: "delivered" });
  expect((await posthorn.api("GET", `/v1/apps/${slug}/webhook-requests`)).body.items).toMatchObject([{ event_id: "e-1" }]);
  expect((await posthorn.api("GET", `/v1/apps/${slug}/stats`)).status).toBe(200);
  expect((await posthorn.api("GET", `/v1/installations/${uuid}/health`)).status).toBe(200);
  expect((await posthorn.api("GET", `/v1/deliveries/${id}`)).body.delivery).toMatchObject({ state: "delivered" });
  // Another node has what is noted of the event.
  const deliveries = async () => (await posthorn.api("GET", "/v1/events/e-1")).body.deliveries as unknown[];
  await expect.poll(deliveries).toMatchObject([{ delivery_id: id, state: "delivered" }]);

  // Handed out once, and not acknowledged.
  expect(await posthorn.end()).toBe(0);
  await publish("e-1");
  const consumer = await bus.jetStream.consumers.get(`${prefix}_EVENTS`.toUpperCase().replaceAll("-", "_"), "posthorn-events");
  (await consumer.next({ expires: 5_000 }))?.nak();
  await bus.connection.flush();
  posthorn = await start();
  await eventually(async () => String((await posthorn.api("GET", "/metrics")).body).includes("posthorn_deliveries_skipped_total 1"));
  expect(counts("/first")).toEqual(new Map([["e-1", 1]]));

  expect((await posthorn.api("POST", `/v1/deliveries/${id}/resend`)).status).toBe(202);
  await receiver.waitFor(2);
  expect((await posthorn.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);
});

test("a node that is killed and comes back costs no event and no row", async () => {
  const apps = await Promise.all(["/a", "/b", "/c"].map((path) => posthorn.install({ webhook_url: receiver.url + path })));
  const away = await cluster.nodeOf(`{${apps[0]?.slug}}`);
  const redisIs = async (ok: boolean): Promise<boolean> => (await posthorn.api("GET", "/readyz")).body.checks.redis.ok === ok;
  const said = (message: string): boolean =>
    posthorn.log.some((line) => line["server"] === away.url.replace("redis://", "") && line["message"] === message);
  const ids: string[] = [];
  const publishSome = async (count: number): Promise<void> => {
    for (const last = ids.length + count; ids.length < last; ) {
      const id = `n-${ids.length}`;
      ids.push(id);
      await publish(id);
    }
  };
  const allArrived = (): Promise<unknown> => eventually(() => ["/a", "/b", "/c"].every((path) => counts(path).size === ids.length));

  await publishSome(10);
  await away.kill();
  await publishSome(20);
  await allArrived();
  await eventually(() => redisIs(false));
  await eventually(() => said("Redis node unreachable"));
  expect((await posthorn.api("GET", `/v1/apps/${apps[0]?.slug}/webhook-requests`)).status).toBe(503);
  await away.restart();
  await publishSome(10);
  await allArrived();
  await eventually(() => redisIs(true));

  for (const { slug, uuid } of apps) {
    await eventually(async () => {
      const found = (await rows(slug)).length;
      if (found !== ids.length) throw new Error(`${slug} has ${found} rows, wanted ${ids.length}`);
      return true;
    });
    expect((await rows(slug)).map(({ event_id }) => event_id).sort()).toEqual([...ids].sort());
    const day = String((await rows(slug))[0]?.["date"]).slice(0, 10);
    const [success] = await cluster.command("HGET", `${KEY_PREFIX}:health:{${uuid}}:${day}`, "success");
    expect(Number(success)).toBeGreaterThan(0);
  }
  for (const path of ["/a", "/b", "/c"]) expect(counts(path)).toEqual(new Map(ids.map((id) => [id, 1])));
  await eventually(() => said("Redis node is back"));
});

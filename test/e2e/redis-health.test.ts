/** A Redis that is there and can't be used: it is named, nothing is said that isn't so, and what was buffered is written. */
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { keys } from "../../src/storage/keys.ts";
import { periodAt } from "../../src/storage/packed-hash.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let server: Server;
let primary: Server;
let redis: Redis;
let receiver: Receiver;
let posthorn: Posthorn;
let bus: Bus;
let app: { slug: string; uuid: string };
let published = 0;

beforeAll(async () => {
  [nats, server, primary, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startRedisServer(), startReceiver()]);
  redis = new Redis(server.url);
  posthorn = await startPosthornHere({ nats, redis: server });
  bus = await connectBus(nats, posthorn.prefix);
  app = await posthorn.install({ webhook_url: receiver.url });
});
afterAll(async () => {
  redis.disconnect();
  await bus.close();
  await posthorn.end();
  await Promise.all([nats.stop(), server.stop(), primary.stop(), receiver.stop()]);
});

const publish = async (type = "issue.created"): Promise<string> => {
  const id = `evt-${published++}`;
  await bus.publish(type, { id, organization_id: "42", data: { id } });
  await eventually(() => receiver.requests.some((request) => request.json().data["id"] === id));
  return id;
};
const log = (query = "") => posthorn.api("GET", `/v1/apps/${app.slug}/webhook-requests${query}`);
const check = async () => (await posthorn.api("GET", "/readyz")).body.checks.redis as { ok: boolean; detail: string };
const metric = async (line: string) =>
  String((await posthorn.api("GET", "/metrics")).body)
    .split("\n")
    .includes(line);
const rowOf = async (id: string, query?: string) =>
  ((await log(query)).body.items as Array<{ event_id: string }>).some(({ event_id }) => event_id === id);

describe.each([
  {
    how: "is read-only after a failover",
    reason: /READONLY/,
    stop: () => redis.replicaof("127.0.0.1", String(primary.port)),
    mend: () => redis.replicaof("NO", "ONE"),
  },
  {
    how: "is out of memory",
    reason: /OOM/,
    stop: () => redis.config("SET", "maxmemory", "1"),
    mend: () => redis.config("SET", "maxmemory", "0"),
  },
  {
    how: "does not let Posthorn write",
    reason: /NOPERM/,
    stop: () => redis.acl("SETUSER", "default", "-set", "-evalsha", "-eval"),
    mend: () => redis.acl("SETUSER", "default", "+@all"),
  },
  {
    how: "is frozen",
    reason: /no answer|no connection/,
    stop: async () => process.kill(server.pid(), "SIGSTOP"),
    mend: async () => process.kill(server.pid(), "SIGCONT"),
  },
])("a Redis that $how", ({ reason, stop, mend }) => {
  test("is named, the log says 503 instead of too little, and its rows are written when it is back", async () => {
    await stop();
    await eventually(async () => {
      const { ok, detail } = await check();
      return !ok && reason.test(detail);
    });
    expect((await posthorn.api("GET", "/readyz")).status).toBe(200);
    expect(await metric('posthorn_dependency_up{dependency="redis"} 0')).toBe(true);
    const id = await publish();
    for (const path of ["webhook-requests", "stats"])
      expect(await posthorn.api("GET", `/v1/apps/${app.slug}/${path}`)).toMatchObject({ status: 503, body: { code: "REDIS_UNREACHABLE" } });
    await mend();
    await eventually(async () => (await check()).ok);
    await eventually(() => metric('posthorn_dependency_up{dependency="redis"} 1'));
    await eventually(() => rowOf(id));
  });
});

test("one key that holds something else costs its own rows only, and is named", async () => {
  const key = `posthorn:request:{${app.slug}}:comment.created`;
  await redis.set(key, "somebody else's");
  const id = `evt-${published}`;
  const dedupRoot = `posthorn:${keys.dedup(app.slug, periodAt(Date.now()))}`;
  await redis.del(dedupRoot);
  await redis.lpush(dedupRoot, "x");
  expect(await publish("comment.created")).toBe(id);
  const other = await publish("issue.created");
  await eventually(() => rowOf(other));
  expect(await rowOf(id)).toBe(false);
  expect(await log("?event_type=comment.created")).toMatchObject({
    status: 503,
    body: { code: "REDIS_KEY_INVALID", detail: `the request log can't be read: Redis key ${key} holds another type of value; delete it` },
  });
  expect((await check()).ok).toBe(true);
  expect(await metric("posthorn_log_refused_total 0")).toBe(false);
  const lines = () => posthorn.log.filter(({ message }) => String(message).startsWith("Redis refused writes to single keys"));
  await expect.poll(() => JSON.stringify(lines())).toContain(key);
  await redis.del(key);
  const later = await publish("comment.created");
  await eventually(() => rowOf(later, "?event_type=comment.created"));
});

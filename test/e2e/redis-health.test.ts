/** A Redis that is there and can't be used: it is named, nothing is said that isn't so, and what was buffered is written. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { keys } from "../../src/storage/keys.ts";
import { periodAt } from "../../src/storage/packed-hash.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let primary: Server;
let receiver: Receiver;

beforeAll(async () => {
  [nats, primary, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
});
afterAll(() => Promise.all([nats.stop(), primary.stop(), receiver.stop()]));

type World = Awaited<ReturnType<typeof start>>;

/** A Redis, the Posthorn that has it, and an app. */
async function start({ onTestFinished }: Pick<TestContext, "onTestFinished">) {
  const server = await startRedisServer();
  const redis = new Redis(server.url);
  const posthorn = await startPosthornHere({ nats, redis: server });
  const bus = await connectBus(nats, posthorn.prefix);
  onTestFinished(async () => {
    redis.disconnect();
    await bus.close();
    await posthorn.end();
    await server.stop();
  });
  const { slug } = await posthorn.install({ webhook_url: receiver.url });
  const log = (query = "") => posthorn.api("GET", `/v1/apps/${slug}/webhook-requests${query}`);
  return {
    ...{ server, redis, posthorn, slug, log },
    async publish(type = "issue.created"): Promise<string> {
      const id = randomUUID();
      await bus.publish(type, { id, organization_id: "42", data: { id } });
      await eventually(() => receiver.requests.some((request) => request.json().data["id"] === id));
      return id;
    },
    check: async () => (await posthorn.api("GET", "/readyz")).body.checks.redis as { ok: boolean; detail: string },
    metric: async (line: string) =>
      String((await posthorn.api("GET", "/metrics")).body)
        .split("\n")
        .includes(line),
    rowOf: async (id: string, query?: string) =>
      ((await log(query)).body.items as Array<{ event_id: string }>).some(({ event_id }) => event_id === id),
  };
}

interface Fault {
  readonly how: string;
  readonly reason: RegExp;
  stop(world: World): unknown;
  mend(world: World): unknown;
}

test.concurrent.for<Fault>([
  {
    how: "is frozen",
    reason: /no answer|no connection/,
    stop: ({ server }) => process.kill(server.pid(), "SIGSTOP"),
    mend: ({ server }) => process.kill(server.pid(), "SIGCONT"),
  },
  {
    how: "is read-only after a failover",
    reason: /READONLY/,
    stop: ({ redis }) => redis.replicaof("127.0.0.1", String(primary.port)),
    mend: ({ redis }) => redis.replicaof("NO", "ONE"),
  },
  {
    how: "is out of memory",
    reason: /OOM/,
    stop: ({ redis }) => redis.config("SET", "maxmemory", "1"),
    mend: ({ redis }) => redis.config("SET", "maxmemory", "0"),
  },
  {
    how: "does not let Posthorn write",
    reason: /NOPERM/,
    stop: ({ redis }) => redis.acl("SETUSER", "default", "-set", "-evalsha", "-eval"),
    mend: ({ redis }) => redis.acl("SETUSER", "default", "+@all"),
  },
])(
  "a Redis that $how is named, the log says 503 instead of too little, and its rows are written when it is back",
  async (fault, context) => {
    const world = await start(context);
    const { posthorn, slug, check, metric } = world;
    await fault.stop(world);
    await eventually(async () => {
      const { ok, detail } = await check();
      return !ok && fault.reason.test(detail);
    });
    expect((await posthorn.api("GET", "/readyz")).status).toBe(200);
    expect(await metric('posthorn_dependency_up{dependency="redis"} 0')).toBe(true);
    const id = await world.publish();
    for (const path of ["webhook-requests", "stats"])
      expect(await posthorn.api("GET", `/v1/apps/${slug}/${path}`)).toMatchObject({ status: 503, body: { code: "REDIS_UNREACHABLE" } });
    await fault.mend(world);
    await eventually(async () => (await check()).ok);
    await eventually(() => metric('posthorn_dependency_up{dependency="redis"} 1'));
    await eventually(() => world.rowOf(id));
  },
);

test.concurrent("one key that holds something else costs its own rows only, and is named", async (context) => {
  const { redis, posthorn, slug, log, publish, check, metric, rowOf } = await start(context);
  const key = `posthorn:request:{${slug}}:comment.created`;
  await redis.set(key, "somebody else's");
  const dedupRoot = `posthorn:${keys.dedup(slug, periodAt(Date.now()))}`;
  await redis.del(dedupRoot);
  await redis.lpush(dedupRoot, "x");
  const id = await publish("comment.created");
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
  await eventually(() => expect(JSON.stringify(lines())).toContain(key));
  await redis.del(key);
  const later = await publish("comment.created");
  await eventually(() => rowOf(later, "?event_type=comment.created"));
});

/** A whole platform for a test of what people see: servers, Posthorn, a bus and a receiver that does as the path says. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import { connectBus, startPosthornHere } from "./posthorn.ts";
import { startReceiver } from "./receiver.ts";
import { startNatsServer, startRedisServer } from "./servers.ts";
import { type Past, writePast } from "./stats-data.ts";

export type Platform = Awaited<ReturnType<typeof startPlatform>>;

export type ReceiverKind = "ok" | "down" | "refuses" | "gone" | "talks" | "recovered";

const ANSWERS: Readonly<Record<ReceiverKind, (recovered: boolean) => readonly [status: number, body: string]>> = {
  ok: () => [200, "ok"],
  down: () => [500, "<h1>Internal Server Error</h1>"],
  refuses: () => [422, '{"errors":[{"field":"data.issue.id","code":12345678901234567890}]}'],
  gone: () => [410, ""],
  // More than the request log keeps.
  talks: () => [503, JSON.stringify({ error: { code: "overloaded", retry: true }, hint: "x".repeat(2_000) })],
  recovered: (isMended) => (isMended ? [200, "ok"] : [422, "not yet"]),
};

export async function startPlatform(settings: Readonly<Record<string, string>> = {}, headers: Record<string, string> = {}) {
  const [nats, redisServer, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const posthorn = await startPosthornHere({ nats, redis: redisServer, settings });
  const bus = await connectBus(nats, posthorn.prefix);
  const redis = new Redis(redisServer.url);
  redis.on("error", () => {});
  const state = { recovered: false };
  receiver.behave(({ path }, response) => {
    const [status, body] = ANSWERS[path.slice(1) as ReceiverKind](state.recovered);
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });

  const call = async (method: string, path: string, body?: unknown): Promise<any> => {
    const answered = await posthorn.api(method, path, body, headers);
    if (answered.status >= 300) throw new Error(`${method} ${path}: ${answered.status} ${JSON.stringify(answered.body)}`);
    return answered.body;
  };
  return {
    nats,
    redisServer,
    redis,
    posthorn,
    bus,
    receiver,
    call,
    /** From now on what `recovered` receives is taken. */
    mend: () => {
      state.recovered = true;
    },
    /** Registers an app whose receiver answers as `kind` says, installed in these organizations. @returns its installations */
    async register(
      slug: string,
      kind: ReceiverKind,
      app: object = {},
      organizations: readonly string[] = ["northwind"],
    ): Promise<string[]> {
      await call("PUT", `/v1/apps/${slug}`, { webhook_url: `${receiver.url}/${kind}`, events: ["*"], retry_schedule_s: [], ...app });
      const uuids = organizations.map(() => randomUUID());
      for (const [at, organization_id] of organizations.entries())
        await call("PUT", `/v1/installations/${uuids[at]}`, { app: slug, organization_id });
      return uuids;
    },
    /** Gives apps that are registered a past. */
    async writePast(pasts: ReadonlyArray<Omit<Past, "createdAt">>): Promise<void> {
      const made = pasts.map(async (past) => ({ ...past, createdAt: Date.parse((await call("GET", `/v1/apps/${past.app}`)).created_at) }));
      await writePast(redis, await Promise.all(made));
    },
    /** Publishes events for one app and waits until each has had its attempt. */
    async deliver(app: string, type: string, count: number, organization = "northwind", data: object = {}): Promise<void> {
      const key = `posthorn:request:{${app}}:${type}`;
      const before = await redis.llen(key);
      for (let n = 0; n < count; n++) await bus.publish(type, { organization_id: organization, app, data: { n, ...data } });
      await eventually(async () => (await redis.llen(key)) >= before + count);
    },
    async stop(): Promise<void> {
      await bus.close();
      await posthorn.end();
      redis.disconnect();
      await Promise.all([nats.stop(), redisServer.stop(), receiver.stop()]);
    },
  };
}

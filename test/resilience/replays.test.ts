/** Replays over replicas: the one that runs a replay is killed, and another resumes it. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, type PosthornProcess, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { startNatsServer, startRedisServer } from "../support/servers.ts";

const EVENTS = 300;

test.concurrent("a killed runner's replay is resumed: nothing is lost, and nothing that is marked is sent again", async ({
  onTestFinished,
}) => {
  const [nats, redisServer, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const start = (): Promise<PosthornProcess> => startPosthorn({ nats, redis: redisServer, prefix });
  const replicas = [await start(), await start()];
  const bus = await connectBus(nats, prefix);
  const redis = new Redis(redisServer.url);
  onTestFinished(async () => {
    await bus.close();
    redis.disconnect();
    await Promise.all(replicas.map((replica) => replica.end("SIGKILL")));
    await Promise.all([nats.stop(), redisServer.stop(), receiver.stop()]);
  });

  const ids = Array.from({ length: EVENTS }, (_, n) => `e-${n}`);
  for (const id of ids) await bus.publish("issue.created", { id, organization_id: "42", data: {} });
  // Every seventh fails at its first attempt, and is delivered by a retry.
  const attempted = new Set<string>();
  receiver.behave(({ headers }, response) => {
    const id = String(headers["webhook-id"]);
    const fails = !attempted.has(id) && Number.parseInt(id.slice(-4), 16) % 7 === 0;
    attempted.add(id);
    response.writeHead(fails ? 503 : 200).end();
  });
  const [first] = replicas as [PosthornProcess];
  const { slug, uuid } = await first.install({ webhook_url: receiver.url, retry_schedule_s: [1, 1] });
  const { body } = await first.api("POST", "/v1/replays", { app: slug, what: "missed", rate_per_s: 100 });

  const runner = await eventually(() => replicas.find(({ log }) => log.some((line) => line["replay"] === body.id)));
  await eventually(() => receiver.requests.length > EVENTS / 3);
  await runner.end("SIGKILL");
  const deliveries = ids.map((id) => deliveryIdOf(id, uuid));
  const values = await redis.mget(deliveries.map((id) => `posthorn:delivery:{${slug}}:${id}:${body.id}`));
  const marked = deliveries.filter((_, at) => values[at]?.startsWith("delivered"));
  expect(marked.length).toBeGreaterThan(0);
  expect(marked.length).toBeLessThan(EVENTS);

  // The other one resumes it when the runner's lease has expired, after 10 s.
  const other = replicas.find((replica) => replica !== runner) as PosthornProcess;
  const shown = await eventually(async () => {
    const found = (await other.api("GET", `/v1/replays/${body.id}`)).body;
    return found.state === "done" && found;
  });
  expect(shown).toMatchObject({ found: EVENTS, sent: EVENTS, done: EVENTS, skipped: 0, failed: 0 });
  const successes = Map.groupBy(receiver.requests, ({ headers }) => String(headers["webhook-id"]));
  expect([...successes.keys()].sort()).toEqual([...deliveries].sort());
  const attemptsOf = (id: string): number => successes.get(id)?.length ?? 0;
  const fails = (id: string): boolean => Number.parseInt(id.slice(-4), 16) % 7 === 0;
  expect(marked.filter((id) => attemptsOf(id) > (fails(id) ? 2 : 1))).toEqual([]);
});

test.concurrent("a replay continues after a restart, and sends nothing twice", async ({ onTestFinished }) => {
  const [nats, redisServer, receiver] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const first = await startPosthornHere({ nats, redis: redisServer, prefix });
  const bus = await connectBus(nats, prefix);
  onTestFinished(async () => {
    await bus.close();
    await Promise.all([nats.stop(), redisServer.stop(), receiver.stop()]);
  });
  for (let n = 0; n < 40; n++) await bus.publish("issue.created", { id: `e-${n}`, organization_id: "42", data: {} });
  const { slug } = await first.install({ webhook_url: receiver.url });
  const { body } = await first.api("POST", "/v1/replays", { app: slug, what: "missed", rate_per_s: 10 });
  await receiver.waitFor(10);
  expect(await first.end()).toBe(0);
  expect(receiver.requests.length).toBeLessThan(40);
  const second = await startPosthornHere({ nats, redis: redisServer, prefix });
  onTestFinished(async () => void (await second.end()));
  const shown = await eventually(async () => {
    const found = (await second.api("GET", `/v1/replays/${body.id}`)).body;
    return found.state === "done" && found;
  });
  expect(shown).toMatchObject({ found: 40, sent: 40, done: 40, skipped: 0, failed: 0 });
  expect(receiver.requests).toHaveLength(40);
});

/** A process that has stopped, or could not start, keeps nothing: no timer, no socket, no pull loop. */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { AckPolicy, connect } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createApp } from "../../src/app/app.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus } from "../support/posthorn.ts";
import { answer, startReceiver } from "../support/receiver.ts";
import { plainEnvironment, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

const SCRIPT = fileURLToPath(new URL("../support/start-and-stop.ts", import.meta.url));

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

const environmentOf = (prefix: string, more: Record<string, string> = {}) => ({
  POSTHORN_NATS_URL: nats.url,
  POSTHORN_REDIS_URL: redis.url,
  POSTHORN_SUBJECT_PREFIX: prefix,
  POSTHORN_HTTP_PORT: "0",
  POSTHORN_TARGET_ALLOW: "127.0.0.0/8",
  POSTHORN_LOG_LEVEL: "fatal",
  ...more,
});
const freshPrefix = () => `t-${randomUUID().slice(0, 8)}`;

/** Nothing keeps the event loop alive but what did before. Sockets that were closed take a moment to say so, and so do the timers of the test's runner. */
async function expectNothingLeft(before: readonly string[]): Promise<void> {
  const leftovers = (): string[] => {
    const rest = [...before];
    return process.getActiveResourcesInfo().filter((resource) => {
      const at = rest.indexOf(resource);
      if (at >= 0) rest.splice(at, 1);
      return at < 0;
    });
  };
  const timers = (): string[] => leftovers().filter((resource) => !/Wrap$/.test(resource));
  await eventually(() => timers().length === 0 || Promise.reject(new Error(`left: ${timers().join()}`)), 5_000);
  await eventually(() => leftovers().length === 0 || Promise.reject(new Error(`left: ${leftovers().join()}`)));
}

test.each(["that is up", "that is down"])("a process ends by itself once its app has stopped, with a Redis %s", async (what) => {
  const own = await startRedisServer();
  const environment = { ...plainEnvironment(), ...environmentOf(freshPrefix(), { POSTHORN_REDIS_URL: own.url }) };
  const child = spawn(process.execPath, [SCRIPT], { env: environment, stdio: ["pipe", "pipe", "inherit"] });
  const said = createInterface(child.stdout)[Symbol.asyncIterator]();
  expect((await said.next()).value).toBe("started");
  if (what === "that is down") await own.stop();
  const exited = once(child, "exit");
  child.stdin.write("stop");
  expect((await said.next()).value).toBe("[]");
  expect(await exited).toEqual([0, null]);
  if (what === "that is up") await own.stop();
});

test("after a normal stop with retries, parked queues and a receiver that hangs nothing is left", async () => {
  const receiver = await startReceiver(answer(503));
  const prefix = freshPrefix();
  const bus = await connectBus(nats, prefix);
  const before = process.getActiveResourcesInfo();
  const app = await createApp(loadConfig(environmentOf(prefix)), {});
  await app.start();
  const bucket = await bus.jetStream.views.kv(`${prefix}-registry`);
  const [ordered, plain] = ["ordered", "plain"];
  for (const slug of [ordered, plain]) {
    const made = {
      slug,
      name: slug,
      webhook_url: receiver.url,
      status: "published",
      events: ["*"],
      headers: {},
      client_secret: "s".repeat(64),
    };
    await bucket.put(`app.${slug}`, JSON.stringify({ ...made, ordered: slug === ordered, retry_schedule_s: [60] }));
    const uuid = randomUUID();
    await bucket.put(
      `installation.${uuid}`,
      JSON.stringify({ uuid, app: slug, organization_id: "42", project_ids: [], status: "active", webhook_url: null }),
    );
  }
  await eventually(async () => {
    await bus.publish("issue.created", { organization_id: "42", data: {} });
    return receiver.requests.length >= 4;
  });
  await app.stop();
  await receiver.stop();
  await expectNothingLeft(before);
  await bus.close();
});

test("after a start that fails at a consumer that Posthorn can't work with nothing is left, and nothing pulls", async () => {
  const prefix = freshPrefix();
  const names = (name: string) => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");
  const connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  const before = process.getActiveResourcesInfo();
  const first = await createApp(loadConfig(environmentOf(prefix)), {});
  await first.start();
  await first.stop();
  await manager.consumers.delete(names("EVENTS"), "posthorn-events");
  await manager.consumers.add(names("EVENTS"), { durable_name: "posthorn-events", ack_policy: AckPolicy.None });

  const app = await createApp(loadConfig(environmentOf(prefix)), {});
  await expect(app.start()).rejects.toMatchObject({ code: "STREAM_MISMATCH" });
  for await (const { num_waiting } of manager.consumers.list(names("RETRIES"))) expect(num_waiting).toBe(0);
  expect(await app.stop()).toBe(true);
  await expectNothingLeft(before);
  await connection.close();
});

test("a start that is ended while it waits for NATS leaves nothing", async () => {
  const before = process.getActiveResourcesInfo();
  const app = await createApp(loadConfig(environmentOf(freshPrefix(), { POSTHORN_NATS_URL: "nats://127.0.0.1:1" })), {});
  const started = expect(app.start()).rejects.toMatchObject({ retryable: true });
  expect(await app.stop()).toBe(true);
  await started;
  await expectNothingLeft(before);
});

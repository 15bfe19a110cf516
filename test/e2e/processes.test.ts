/** POSTHORN_PROCESSES: several workers under one parent. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { connectBus, type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { freePort, type Server, startNatsServer, startRedisServer } from "../support/servers.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

const ready = ({ log }: PosthornProcess): number => log.filter(({ message }) => message === "Posthorn is ready").length;

function workersOf({ child: { pid } }: PosthornProcess): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);
}

async function attemptsIn(posthorn: PosthornProcess): Promise<number> {
  const { body } = await posthorn.api("GET", "/metrics");
  return Number(/^posthorn_attempts_total\{outcome="delivered"\} (\d+)$/m.exec(String(body))?.[1]);
}

test("workers share the port and the work, answer with the metrics of all, are replaced, and stop with their parent", async () => {
  const receiver = await startReceiver();
  const posthorn = await startPosthorn({ nats, redis, settings: { POSTHORN_PROCESSES: "2" } });
  await eventually(() => ready(posthorn) === 2);
  const before = workersOf(posthorn);
  expect(before).toHaveLength(2);
  await posthorn.install({ webhook_url: receiver.url });
  const bus = await connectBus(nats, posthorn.prefix);
  const publish = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++) await bus.publish("issue.created", { id: `evt-${n}`, organization_id: "42", data: {} });
  };
  await publish(0, 40);
  // One connection for each call, so that both workers are asked.
  const metrics = async (): Promise<number[]> => [await attemptsIn(posthorn), await attemptsIn(posthorn), await attemptsIn(posthorn)];
  await eventually(async () => expect(await metrics()).toEqual([40, 40, 40]));

  // Nothing but the parent is left for a moment.
  for (const pid of before) process.kill(pid, "SIGKILL");
  await eventually(() => ready(posthorn) === 4);
  expect(posthorn.log).toContainEqual(expect.objectContaining({ message: "a worker process ended; another one starts", pid: before[0] }));
  await publish(40, 80);
  await eventually(() => new Set(receiver.requests.map(({ headers }) => headers["webhook-id"])).size === 80);

  const workers = workersOf(posthorn);
  expect(workers).toHaveLength(2);
  expect(await posthorn.end()).toBe(0);
  for (const pid of workers) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  await bus.close();
  await receiver.stop();
});

test("a worker that can't start ends its parent with the same code", async () => {
  const natsUrl = `nats://127.0.0.1:${await freePort()}`;
  const settings = { POSTHORN_PROCESSES: "2", POSTHORN_NATS_URL: natsUrl, POSTHORN_STARTUP_TIMEOUT: "500ms" };
  const posthorn = await startPosthorn({ nats, redis, waitForReady: false, settings });
  expect(await posthorn.end("SIGCONT")).toBe(1);
  expect(posthorn.log.filter(({ message }) => message === "start failed")).toHaveLength(1);
});

test("a replacement that can't start during an outage ends no other worker, and is tried again", async () => {
  const [receiver, ownRedis] = await Promise.all([startReceiver(), startRedisServer()]);
  const settings = { POSTHORN_PROCESSES: "2", POSTHORN_STARTUP_TIMEOUT: "500ms" };
  const posthorn = await startPosthorn({ nats, redis: ownRedis, settings });
  await eventually(() => ready(posthorn) === 2);
  await posthorn.install({ webhook_url: receiver.url });
  const bus = await connectBus(nats, posthorn.prefix);
  const [killed = 0, survivor] = workersOf(posthorn);
  await ownRedis.kill();
  process.kill(killed, "SIGKILL");
  const ended = () => posthorn.log.filter(({ message }) => message === "a worker process ended; another one starts");
  await eventually(() => ended().some(({ pid }) => pid === killed));
  await bus.publish("issue.created", { id: "during", organization_id: "42", data: {} });
  await eventually(() => receiver.requests.length === 1);
  // Each one that can't start makes the pause before the next one longer.
  await eventually(() => ended().some(({ exit_code: code }) => code === 1));
  expect(workersOf(posthorn)).toContain(survivor);

  await ownRedis.restart();
  await eventually(() => ready(posthorn) === 3);
  expect(await posthorn.end()).toBe(0);
  await Promise.all([bus.close(), receiver.stop(), ownRedis.stop()]);
});

test("a worker that is killed before the first was ready ends its parent, which says so", async () => {
  const natsUrl = `nats://127.0.0.1:${await freePort()}`;
  const posthorn = await startPosthorn({
    nats,
    redis,
    waitForReady: false,
    settings: { POSTHORN_PROCESSES: "2", POSTHORN_NATS_URL: natsUrl },
  });
  const worker = await eventually(() => workersOf(posthorn)[0] || null);
  process.kill(worker, "SIGKILL");
  expect(await posthorn.end("SIGCONT")).toBe(1);
  expect(posthorn.log).toContainEqual(
    expect.objectContaining({ message: "a worker process ended before it was ready, stopping", pid: worker, signal: "SIGKILL" }),
  );
});

/**
 * kill -9 in the middle of a change of status: it has happened once, and is told once.
 * Others finish what the killed process began after 5 s of real time, when it is stale.
 */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { type CutProxy, startCutProxy } from "../support/cut-proxy.ts";
import { eventually } from "../support/eventually.ts";
import { connectBus, type Posthorn, type PosthornProcess, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents } from "../support/status-events.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

interface World {
  readonly prefix: string;
  readonly proxy: CutProxy;
  /** The process whose connection to NATS is going to be cut. */
  readonly victim: PosthornProcess;
  readonly receiver: Receiver;
  start(): Promise<Posthorn>;
  record(key: string): Promise<Record<string, unknown>>;
  told(): Promise<string[]>;
  publish(count: number): Promise<void>;
}

async function startWorld(
  { onTestFinished }: Pick<TestContext, "onTestFinished">,
  settings: Record<string, string> = {},
  topics: readonly string[] = ["integration", "circuit"],
): Promise<World> {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const proxy = await startCutProxy(nats.port);
  const victim = await startPosthorn({ nats: { url: `nats://127.0.0.1:${proxy.port}` }, redis, prefix, settings });
  const bus = await connectBus(nats, prefix);
  const receiver = await startReceiver();
  const cleanups: Array<() => unknown> = [proxy.stop, bus.close, receiver.stop, () => victim.end("SIGKILL")];
  onTestFinished(async () => {
    for (const cleanup of cleanups.reverse()) await cleanup();
  });
  const bucket = await bus.jetStream.views.kv(`${prefix}-registry`);
  return {
    ...{ prefix, proxy, victim, receiver },
    async start() {
      const started = await startPosthornHere({ nats, redis, prefix, settings });
      cleanups.push(() => started.end());
      return started;
    },
    record: async (key) => (await bucket.get(key))?.json<Record<string, unknown>>() ?? {},
    told: async () =>
      (await statusEvents(bus)).filter(({ type }) => topics.includes(type.split(".")[0] ?? "")).map(({ id, type }) => `${type} ${id}`),
    async publish(count) {
      for (let n = 0; n < count; n++) await bus.publish("issue.created", { organization_id: "42", data: {} });
    },
  };
}

test.concurrent("of a process killed before it told that an app fails another one tells it, and when the app is healthy", async (context) => {
  const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000000" };
  const { proxy, prefix, victim, receiver, publish, record, start, told } = await startWorld(context, settings, ["app"]);
  receiver.behave(answer(404));
  const { slug } = await victim.install({ webhook_url: receiver.url, retry_schedule_s: [] });
  proxy.cut("before", `HPUB ${prefix}.status.app.failing.`);
  await publish(30);
  await eventually(() => proxy.isCut());
  await start();
  victim.child.kill("SIGKILL");
  await eventually(async () => (await told()).length === 1);
  receiver.behave(answer(200));
  // Events that the victim held come again and may fail again, so it may take more than 20 to be healthy.
  await eventually(async () => {
    await publish(20);
    return (await told()).length === 2;
  });
  expect(await told()).toEqual([`app.failing ${slug}:health:1`, `app.healthy ${slug}:health:2`]);
  expect(await record(`health.${slug}`)).toMatchObject({ state: "healthy", n: 2 });
});

test.concurrent("of a process killed before it told that a circuit had opened another one tells it, and the circuit closes", async (context) => {
  const { proxy, prefix, victim, receiver, publish, start, told } = await startWorld(context, { POSTHORN_CIRCUIT_OPEN_TIME: "500ms" });
  receiver.behave(answer(500));
  const { slug } = await victim.install({ webhook_url: receiver.url, retry_schedule_s: [] });
  proxy.cut("before", `HPUB ${prefix}.status.circuit.opened.`);
  await publish(30);
  await eventually(() => proxy.isCut());
  await start();
  victim.child.kill("SIGKILL");
  await eventually(async () => (await told()).length === 1);
  receiver.behave(answer(200));
  await publish(1);
  await eventually(async () => (await told()).length === 2);
  expect(await told()).toEqual([`circuit.opened ${slug}:1`, `circuit.closed ${slug}:2`]);
});

test.concurrent.for<{ readonly where: "before" | "after"; readonly finisher: "another replica" | "the next process" }>([
  { where: "before", finisher: "another replica" },
  { where: "before", finisher: "the next process" },
  { where: "after", finisher: "another replica" },
  { where: "after", finisher: "the next process" },
])(
  "of a process killed after the compare-and-set and $where the publish $finisher finishes the work: one event",
  async ({ where, finisher }, context) => {
    const { proxy, prefix, victim, receiver, publish, record, start, told } = await startWorld(context);
    receiver.behave(answer(410));
    const { uuid } = await victim.install({ webhook_url: receiver.url });
    const key = `installation.${uuid}`;
    proxy.cut(where, `HPUB ${prefix}.status.integration.broken.`);
    await publish(1);
    await eventually(() => proxy.isCut());
    // The status is written, and the event is not published, or nobody knows that it is.
    await eventually(async () => (await record(key))["status"] === "broken");
    expect(await record(key)).toMatchObject({ n: 1, pending_event: { id: `${uuid}:1` } });
    if (finisher === "another replica") await start();
    victim.child.kill("SIGKILL");
    if (finisher === "the next process") await start();
    await eventually(async () => !("pending_event" in (await record(key))));
    expect(await told()).toEqual([`integration.broken ${uuid}:1`]);
    expect(await record(key)).toMatchObject({ status: "broken", n: 1 });
  },
);

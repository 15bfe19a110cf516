/** Failing apps, and limited delivery events: over two replicas that share a clock. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import {
  allHandled,
  connectBus,
  type Posthorn,
  type PosthornProcess,
  type StartOptions,
  startPosthorn,
  startPosthornHere,
} from "../support/posthorn.ts";
import { answer, type Behaviour, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents, statusEventsOf } from "../support/status-events.ts";
import { createTestClock } from "../support/test-clock.ts";

const MINUTE = 60_000;

let nats: Server;

beforeAll(async () => {
  nats = await startNatsServer();
});
afterAll(() => nats.stop());

/** A clock, and a Redis of its own: all prefixes share some keys, so another test's clock would act on them. */
async function aPlatform({ onTestFinished }: TestContext) {
  const [redis, receiver] = await Promise.all([startRedisServer(), startReceiver()]);
  const look = new Redis(redis.url);
  const clock = createTestClock();
  const bus = await connectBus(nats, `t-${randomUUID().slice(0, 8)}`);
  const replicas: Posthorn[] = [];
  onTestFinished(async () => {
    await bus.close();
    await Promise.all(replicas.map((replica) => replica.end()));
    look.disconnect();
    clock.remove();
    await Promise.all([redis.stop(), receiver.stop()]);
  });
  const options = (settings: Readonly<Record<string, string>>): StartOptions => ({
    ...{ nats, redis, prefix: bus.prefix },
    settings: { ...clock.settings, ...settings },
  });
  return { look, receiver, clock, bus, replicas, options };
}

/** An app of two replicas. No circuit opens, so that every event has its attempt. */
async function anApp(context: TestContext) {
  const { receiver, bus, replicas, options, ...platform } = await aPlatform(context);
  const start = () => startPosthornHere(options({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000000" }));
  const both = await Promise.all([start(), start()]);
  replicas.push(...both);
  const { slug } = await both[0].install({ webhook_url: receiver.url, retry_schedule_s: [], max_in_flight: 1000 });
  return {
    ...{ ...platform, receiver, bus, slug, replicas, first: both[0] },
    /** Each event has its attempt, and all attempts are counted. */
    async attempted(count: number, behaviour: Behaviour): Promise<void> {
      receiver.behave(behaviour);
      const before = receiver.requests.length;
      await Promise.all(Array.from({ length: count }, () => bus.publish("issue.created", { organization_id: "42", app: slug, data: {} })));
      await eventually(() => receiver.requests.length === before + count);
    },
    async healthEvents(): Promise<string[]> {
      const events = await statusEvents(bus);
      return events.filter(({ type, data }) => type.startsWith("app.") && data.app === slug).map(({ type, id }) => `${type} ${id}`);
    },
  };
}

test.concurrent("a bad deploy that answers 404 for minutes is one app.failing and one app.healthy, also when a replica is killed meanwhile, and no delivery is lost", async (context) => {
  const ids = Array.from({ length: 60 }, (_, n) => `bad-deploy-${n}`);
  const { receiver, clock, bus, replicas, options } = await aPlatform(context);
  const start = (): Promise<PosthornProcess> => startPosthorn(options({ POSTHORN_CIRCUIT_OPEN_TIME: "5s" }));
  const [kept, killed] = await Promise.all([start(), start()]);
  replicas.push(kept, killed);
  const { slug } = await kept.install({ webhook_url: receiver.url, max_in_flight: 1000 });
  receiver.behave(answer(404));
  for (const id of ids) await bus.publish("issue.created", { id, organization_id: "42", data: { id } });
  const types = async (): Promise<string[]> => (await statusEvents(bus)).map(({ type }) => type);
  await eventually(async () => (await types()).includes("app.failing"));
  await killed.end("SIGKILL");
  replicas[1] = await start();
  // Probes find the receiver as it is.
  await clock.advance(15_000, replicas);
  const arrived = new Set<string>();
  receiver.behave((request, response) => {
    arrived.add(String(request.json().data["id"]));
    response.writeHead(200).end();
  });
  await eventually(async () => {
    await clock.advance(30_000, replicas);
    return arrived.size === ids.length;
  });
  for (let n = 0; n < 200; n++) await bus.publish("issue.created", { organization_id: "42", data: { id: ids[0] } });
  await eventually(async () => (await types()).includes("app.healthy"));
  expect((await types()).filter((type) => !type.startsWith("circuit."))).toEqual(["app.failing", "app.healthy"]);
  expect((await kept.api("GET", `/v1/dead-letters?app=${slug}`)).body.items).toEqual([]);
});

describe.concurrent("an app", () => {
  test("that answers 404 to everything fails once over all replicas, whatever the code, and is healthy once after it", async (context) => {
    const { slug, clock, bus, attempted, healthEvents } = await anApp(context);
    await attempted(3, answer(200));
    const began = clock.now();
    await attempted(40, answer(404));
    await eventually(async () => (await healthEvents()).length > 0);
    const [failing] = (await statusEventsOf(bus, "app.failing")).filter(({ data }) => data.app === slug);
    expect(failing).toMatchObject({ subject: slug, data: { app: slug, dashboard_url: null } });
    const { since, attempts, failures, by_code, last_success_at } = (failing as NonNullable<typeof failing>).data;
    expect([by_code["404"], attempts - failures]).toEqual([failures, 3]);
    expect(Date.parse(since)).toBeGreaterThanOrEqual(began - 1_000);
    expect(Date.parse(last_success_at ?? "")).toBeLessThanOrEqual(Date.parse(since));

    // 40 failures are a quarter of 160 attempts.
    await attempted(100, answer(200));
    await attempted(60, answer(200));
    await eventually(async () => (await healthEvents()).length > 1);
    expect(await healthEvents()).toEqual([`app.failing ${slug}:health:1`, `app.healthy ${slug}:health:2`]);
    const [healthy] = (await statusEventsOf(bus, "app.healthy")).filter(({ data }) => data.app === slug);
    expect(healthy?.data).toMatchObject({ since, failures: 40, by_code: { 404: 40 } });
  });

  test("is no failing one after 19 failures, and stays a failing one without attempts, until one succeeds after the failures' 15 minutes", async (context) => {
    const { slug, clock, attempted, healthEvents, replicas, look } = await anApp(context);
    await attempted(19, answer(500));
    await eventually(
      async () => Number(await look.hlen(`posthorn:stats:{${slug}}:${new Date(clock.now()).toISOString().slice(0, 10)}`)) > 0,
    );
    await clock.advance(2_000, replicas);
    expect(await healthEvents()).toEqual([]);
    await attempted(1, answer(500));
    await eventually(async () => (await healthEvents()).length === 1);
    await clock.advance(20 * MINUTE, replicas);
    await clock.advance(MINUTE, replicas);
    expect(await healthEvents()).toEqual([`app.failing ${slug}:health:1`]);
    await attempted(1, answer(200));
    await eventually(async () => (await healthEvents()).length === 2);
    expect(await healthEvents()).toEqual([`app.failing ${slug}:health:1`, `app.healthy ${slug}:health:2`]);
  });

  test("that is removed leaves nothing to the next one of its slug", async (context) => {
    const { slug, clock, bus, attempted, healthEvents, replicas, first, receiver } = await anApp(context);
    await attempted(20, answer(500));
    await eventually(async () => (await healthEvents()).length === 1);
    expect((await first.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);
    await first.install({ slug, webhook_url: receiver.url, retry_schedule_s: [] });
    await attempted(19, answer(500));
    await clock.advance(MINUTE, replicas);
    expect(await healthEvents()).toHaveLength(1);
    await attempted(1, answer(500));
    await eventually(async () => (await healthEvents()).length === 2);
    const [, second] = (await statusEventsOf(bus, "app.failing")).filter(({ data }) => data.app === slug);
    expect(second?.data).toMatchObject({ attempts: 20, failures: 20, last_success_at: null });
  });
});

test.concurrent("of 300 dead letters within a minute 100 have their event, and one event says that 200 have none", async (context) => {
  const { slug, clock, bus, attempted, replicas, look } = await anApp(context);
  const events = async (type: "delivery.rejected" | "delivery.suppressed") =>
    (await statusEventsOf(bus, type)).filter(({ data }) => data.app === slug);
  await attempted(300, answer(400));
  // The dead letter and its event are stored before the event message is acknowledged.
  await allHandled(bus);
  expect(await events("delivery.rejected")).toHaveLength(100);
  expect(await events("delivery.suppressed")).toEqual([]);
  await clock.advance(2 * MINUTE, replicas);
  await eventually(async () => (await events("delivery.suppressed")).length > 0);
  await attempted(1, answer(400));
  await eventually(async () => (await events("delivery.rejected")).length === 101);
  await clock.advance(2 * MINUTE, replicas);
  await clock.advance(2 * MINUTE, replicas);
  expect((await events("delivery.suppressed")).map(({ data }) => data)).toEqual([
    expect.objectContaining({ app: slug, count: 200, dashboard_url: null }),
  ]);
  await eventually(async () => (await look.exists("posthorn:delivery-events:{suppressed}")) === 0);
});

/** The circuit of an app, over Posthorn processes that share it, with a clock that is set. */
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, everywhere, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Behaviour, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents, statusEventsOf } from "../support/status-events.ts";
import { createTestClock } from "../support/test-clock.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

const cleanups: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups.length = 0;
});

interface World {
  readonly replicas: readonly Posthorn[];
  readonly posthorn: Posthorn;
  readonly bus: Bus;
  readonly receiver: Receiver;
  readonly slug: string;
  advance(ms: number): Promise<void>;
  /** Publishes events, all at once. */
  publish(count: number): Promise<void>;
  /** How many attempts have ended, over all replicas. */
  attempts(): number;
  told(): Promise<string[]>;
  circuit(): Promise<{ state: string; open_for_ms: number }>;
}

async function start(settings: Record<string, string> = {}, { replicaCount = 1, ownRedis = redis } = {}): Promise<World> {
  const clock = createTestClock();
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const receiver = await startReceiver();
  const one = () => startPosthornHere({ nats, redis: ownRedis, prefix, settings: { ...clock.settings, ...settings } });
  const replicas = [await one(), ...(await Promise.all(Array.from({ length: replicaCount - 1 }, one)))];
  const [posthorn] = replicas as [Posthorn];
  const bus = await connectBus(nats, prefix);
  cleanups.push(clock.remove, receiver.stop, () => Promise.all(replicas.map((replica) => replica.end())), bus.close);
  const { slug } = await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [], max_in_flight: 1000 });
  await everywhere(replicas, 'posthorn_integrations{status="active"} 1');
  return {
    ...{ replicas, posthorn, bus, receiver, slug },
    advance: (ms) => clock.advance(ms, replicas),
    async publish(count) {
      const event = { organization_id: "42", data: {} };
      await Promise.all(Array.from({ length: count }, () => bus.publish("issue.created", event)));
    },
    attempts: () => replicas.reduce((sum, { log }) => sum + log.filter(({ message }) => message === "delivery.attempted").length, 0),
    told: async () => (await statusEvents(bus)).map(({ type }) => type).filter((type) => type.startsWith("circuit.")),
    async circuit() {
      const bucket = await bus.jetStream.views.kv(`${prefix}-registry`);
      const entry = await bucket.get(`circuit.${slug}`);
      return entry?.operation === "PUT" ? entry.json() : { state: "closed", open_for_ms: 0 };
    },
  };
}

const AT_ONCE = 50;

/**
 * Attempts so many one way or the other, and waits until they have ended. Each is answered when the others are under way, too: the
 * circuit that the first ones open would park those that come later.
 */
async function attempted({ publish, receiver, attempts }: World, count: number, behaviour: Behaviour): Promise<void> {
  const before = attempts();
  const held: Array<() => void> = [];
  let left = count;
  receiver.behave((...exchange) => {
    held.push(() => void behaviour(...exchange));
    if (held.length < Math.min(left, AT_ONCE)) return;
    left -= held.length;
    for (const end of held.splice(0)) end();
  });
  await publish(count);
  await eventually(() => attempts() === before + count);
}

const works = answer(200);
const fails = answer(500);

describe("a closed circuit", () => {
  test("is not opened by 50 failures below its floor, and by one more at it", async () => {
    const world = await start({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "51" });
    await attempted(world, 50, fails);
    expect([await world.told(), (await world.circuit()).state]).toEqual([[], "closed"]);
    await attempted(world, 1, fails);
    await eventually(async () => (await world.told()).length === 1);
  });

  test("is not opened by 100 failures after 900 successes, but by 200 failures after 100 successes, once", async () => {
    const many = await start();
    await attempted(many, 900, works);
    await attempted(many, 100, fails);
    expect([await many.told(), (await many.circuit()).state]).toEqual([[], "closed"]);

    const few = await start();
    await attempted(few, 100, works);
    few.receiver.behave(fails);
    await few.publish(200);
    await eventually(async () => (await few.told()).length > 0);
    const [opened] = await statusEventsOf(few.bus, "circuit.opened");
    expect(opened).toMatchObject({
      id: `${few.slug}:1`,
      data: {
        app: few.slug,
        previous_state: "closed",
        state: "open",
        reason: { window_s: 60, failure_percent: expect.any(Number) },
        open_until: expect.stringMatching(/Z$/),
      },
    });
    const { attempts, failures } = opened?.data.reason ?? { attempts: 0, failures: 0 };
    expect([failures >= 100, attempts - failures]).toEqual([true, 100]);
    expect(await few.told()).toEqual(["circuit.opened"]);
  });

  test("is not opened by 400 and 429", async () => {
    const world = await start();
    await attempted(world, 50, answer(400));
    await attempted(world, 50, answer(429));
    expect([await world.told(), (await world.circuit()).state]).toEqual([[], "closed"]);
  });
});

test("the floor of attempts is that of all replicas", async () => {
  const world = await start({}, { replicaCount: 3 });
  await attempted(world, 30, fails);
  await eventually(async () => (await world.told()).length === 1);
  expect(await world.told()).toEqual(["circuit.opened"]);
});

describe("an open circuit", () => {
  test("drops nothing and spends no attempt; one probe at a time over two replicas, and then all is delivered", async () => {
    const world = await start({}, { replicaCount: 2 });
    const { receiver, advance } = world;
    receiver.behave(fails);
    await world.publish(100);
    await eventually(async () => (await world.told()).length > 0);
    // Both replicas park what comes, and what was in flight has ended.
    const parked = `${world.bus.prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
    const manager = await world.bus.connection.jetstreamManager();
    const waiting = async () => (await manager.streams.info(parked)).state.messages;
    await world.publish(100);
    await eventually(async () => (await waiting()) + receiver.requests.length === 200);
    const inDeadLetters = receiver.requests.length;

    // Each look costs the delivery that it is made with its only attempt; the others stay as they were.
    const openTimes = [];
    for (let probes = 1; probes <= 5; probes++) {
      const openForMs = (await world.circuit()).open_for_ms;
      openTimes.push(openForMs / 1000);
      await advance(openForMs);
      await receiver.waitFor(inDeadLetters + probes);
      await eventually(async () => {
        const { state, open_for_ms: now } = await world.circuit();
        return state === "open" && now !== openForMs;
      });
    }
    openTimes.push((await world.circuit()).open_for_ms / 1000);
    expect(openTimes).toEqual([30, 60, 120, 240, 480, 600]);
    expect(receiver.requests).toHaveLength(inDeadLetters + 5);

    // While the probe is under way nothing else is attempted; then all goes.
    let answerProbe = (): void => {};
    receiver.behave((_request, response) => {
      answerProbe = () => response.end("ok");
    });
    await advance(600_000);
    await receiver.waitFor(inDeadLetters + 6);
    await world.publish(20);
    await eventually(async () => (await waiting()) === 200 - inDeadLetters - 5 + 20);
    expect(receiver.requests).toHaveLength(inDeadLetters + 6);
    receiver.behave(works);
    answerProbe();
    await receiver.waitFor(220);
    await eventually(async () => (await waiting()) === 0);
    expect(new Set(receiver.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(220);
    expect(receiver.requests).toHaveLength(220);
    expect(await world.told()).toEqual(["circuit.opened", "circuit.closed"]);
    for (const state of ["open", "half_open"]) await everywhere(world.replicas, `posthorn_circuits{state="${state}"} 0`);
  });

  test("is probed with a resend, too, and then all is delivered", async () => {
    const world = await start();
    const { receiver, posthorn } = world;
    await attempted(world, 3, works);
    const delivered = await eventually(async () => {
      const { body } = await posthorn.api("GET", `/v1/apps/${world.slug}/webhook-requests?event_type=issue.created`);
      return body.items.length === 3 && body.items;
    });
    await attempted(world, 30, fails);
    await eventually(async () => (await world.circuit()).state === "open");
    const before = receiver.requests.length;
    for (const { delivery_id: id } of delivered) expect((await posthorn.api("POST", `/v1/deliveries/${id}/resend`)).status).toBe(202);
    await world.publish(3);
    receiver.behave(works);
    const manager = await world.bus.connection.jetstreamManager();
    const stream = `${world.bus.prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
    await eventually(async () => (await manager.streams.info(stream)).state.messages === 6);
    await world.advance(30_000);
    // No lease runs out: the clock stands still from here.
    await receiver.waitFor(before + 6);
    await eventually(async () => (await world.told()).length === 2);
  });

  test("of an ordered app is probed by its head", async () => {
    const world = await start();
    const { receiver, posthorn } = world;
    receiver.behave(fails);
    await posthorn.api("PUT", `/v1/apps/${world.slug}`, { webhook_url: receiver.url, events: ["*"], ordered: true, retry_schedule_s: [] });
    await world.publish(25);
    await eventually(async () => (await world.circuit()).state === "open");
    receiver.behave(works);
    const before = receiver.requests.length;
    await world.advance(30_000);
    await receiver.waitFor(25);
    expect(before).toBeLessThan(25);
    await eventually(async () => (await world.told()).length === 2);
    expect(new Set(receiver.requests.map(({ headers }) => headers["webhook-id"])).size).toBe(25);
  });

  test("goes with its app: the next one of that name gets what comes, and its own circuit is published", async () => {
    const world = await start();
    const { receiver, posthorn, slug } = world;
    await attempted(world, 30, fails);
    await eventually(async () => (await world.told()).length === 1);
    const again = async () => {
      expect((await posthorn.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);
      await posthorn.install({ slug, webhook_url: receiver.url, retry_schedule_s: [], max_in_flight: 1000 });
    };
    await again();
    await attempted(world, 1, works);
    await attempted(world, 30, fails);
    await eventually(async () => (await world.told()).length === 2);
    expect(await world.told()).toEqual(["circuit.opened", "circuit.opened"]);

    // Failures that end after the app is gone open nothing.
    await again();
    let failAll = (): void => {};
    const held = new Promise<void>((resolve) => {
      failAll = resolve;
    });
    receiver.behave(async (_request, response) => {
      await held;
      response.writeHead(500).end();
    });
    const [before, attemptsBefore] = [receiver.requests.length, world.attempts()];
    await world.publish(30);
    await receiver.waitFor(before + 30);
    expect((await posthorn.api("DELETE", `/v1/apps/${slug}`)).status).toBe(204);
    failAll();
    // Their lines are written a little later than they end.
    await eventually(() => world.attempts() === attemptsBefore + 30);
    await eventually(async () => (await posthorn.api("GET", "/metrics")).body.includes("posthorn_in_flight 0"));
    await posthorn.install({ slug, webhook_url: receiver.url, retry_schedule_s: [] });
    await attempted(world, 1, works);
    expect([(await world.circuit()).state, await world.told()]).toEqual(["closed", ["circuit.opened", "circuit.opened"]]);
  });

  test("of one app is nothing to the others, and needs no Redis: it opens and closes while Redis is down", async () => {
    const ownRedis = await startRedisServer();
    cleanups.push(ownRedis.stop);
    const world = await start({}, { ownRedis });
    const healthy = await startReceiver();
    cleanups.push(healthy.stop);
    await world.posthorn.install({ webhook_url: healthy.url });
    await ownRedis.kill();
    world.receiver.behave(fails);
    await world.publish(40);
    await eventually(async () => (await world.told()).length === 1);
    await healthy.waitFor(40);
    await world.publish(10);
    await healthy.waitFor(50);
    world.receiver.behave(works);
    const failed = world.receiver.requests.length;
    await world.advance(30_000);
    await world.receiver.waitFor(50);
    expect(failed).toBeLessThan(50);
    await eventually(async () => (await world.told()).length === 2);
    expect(await world.told()).toEqual(["circuit.opened", "circuit.closed"]);
    await ownRedis.restart();
  });
});

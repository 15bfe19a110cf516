/** Receivers that ask for a pause, over two replicas. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import {
  allHandled,
  type Bus,
  connectBus,
  everywhere,
  type Posthorn,
  type PosthornProcess,
  type StartOptions,
  startPosthorn,
  startPosthornHere,
} from "../support/posthorn.ts";
import { answer, type Behaviour, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { createTestClock, HOUR_MS } from "../support/test-clock.ts";

let redis: Server;
let nats: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

/** A test. All that it starts is stopped at its end, in reverse order. */
type Finishing = Pick<TestContext, "onTestFinished">;

async function aReceiver({ onTestFinished }: Finishing, behaviour?: Behaviour): Promise<Receiver> {
  const receiver = await startReceiver(behaviour);
  onTestFinished(receiver.stop);
  return receiver;
}

const numbers = ({ requests }: Receiver): number[] => requests.map((request) => Number(request.json().data["n"]));
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

interface Platform {
  readonly bus: Bus;
  /** Ends the pauses of an hour. */
  anHourLater(): Promise<void>;
  replicas: readonly Posthorn[];
  start(): Promise<Posthorn>;
  publish(app: string, from: number, to: number): Promise<void>;
  /** The app's own status events so far, oldest first. */
  changesOf(app: string): Promise<Array<{ id: string; type: string; data: Record<string, unknown> }>>;
}

interface Replicas {
  readonly store?: Server;
  readonly startOne?: (options: StartOptions) => Promise<Posthorn>;
  /** They follow a clock that the test sets. */
  readonly hasClock?: boolean;
}

async function twoReplicas({ onTestFinished }: Finishing, given: Replicas = {}): Promise<Platform> {
  const { store = redis, startOne = startPosthornHere, hasClock = false } = given;
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const bus = await connectBus(nats, prefix);
  const clock = createTestClock();
  onTestFinished(bus.close);
  onTestFinished(clock.remove);
  const platform: Platform = {
    bus,
    replicas: [],
    anHourLater: () => clock.advance(HOUR_MS, platform.replicas),
    async start() {
      const posthorn = await startOne({ nats, redis: store, prefix, settings: hasClock ? clock.settings : {} });
      onTestFinished(async () => void (await posthorn.end()));
      return posthorn;
    },
    async publish(app, from, to) {
      const publishOne = (n: number) => bus.publish("issue.created", { id: `${app}-${n}`, organization_id: "42", app, data: { n } });
      await Promise.all(upTo(to - from).map((n) => publishOne(from + n)));
    },
    async changesOf(app) {
      const { body } = await (platform.replicas[0] as Posthorn).api("GET", `/v1/status-events?app=${app}&topics=app`);
      return body.items.reverse();
    },
  };
  platform.replicas = await Promise.all([platform.start(), platform.start()]);
  return platform;
}

test.concurrent.for(["app", "none"])(
  "429 with Retry-After keeps the whole app waiting on every replica (order_by: %s)",
  async (order_by, context) => {
    const refusesFirst = (retryAfterS: number): Behaviour => {
      let asked = 0;
      return (_request, response) => void response.writeHead(asked++ === 0 ? 429 : 200, { "retry-after": String(retryAfterS) }).end();
    };
    const receiver = await aReceiver(context, refusesFirst(3_600));
    const neighbour = await aReceiver(context, refusesFirst(1));
    const { bus, replicas, publish, changesOf, anHourLater } = await twoReplicas(context, { hasClock: true });
    const [replica, other] = replicas as [Posthorn, Posthorn];
    const { slug, uuid } = await replica.install({ webhook_url: receiver.url, order_by, retry_schedule_s: [] });
    const beside = await replica.install({ webhook_url: neighbour.url });
    await publish(slug, 0, 1);
    await receiver.waitFor(1);
    await everywhere(replicas, "posthorn_throttled_apps 1");
    await publish(beside.slug, 0, 10);
    await neighbour.waitFor(11);
    for (const posthorn of [replica, other]) {
      const { body } = await posthorn.api("GET", "/v1/overview");
      const row = body.items.find((item: { slug: string }) => item.slug === slug);
      expect(row.throttled).toEqual({ until: expect.any(String), response_code: 429 });
    }

    await publish(slug, 1, 40);
    await allHandled(bus);
    const { delivery } = await eventually(async () => {
      const { body } = await other.api("GET", `/v1/deliveries/${deliveryIdOf(`${slug}-20`, uuid)}`);
      return body.delivery?.state === "throttled" && body;
    });
    expect(delivery.detail).toMatch(/^throttled until .*, the receiver answered 429; /);
    expect(delivery).toMatchObject({ throttled: { response_code: 429 }, attempts: [] });
    expect(receiver.requests.length).toBe(1);

    await anHourLater();
    await eventually(() => {
      const found = numbers(receiver);
      if (found.length !== 41 || new Set(found).size !== 40) throw new Error(`received ${found.join()}`);
      return true;
    });
    if (order_by === "app") expect(numbers(receiver)).toEqual([0, ...upTo(40)]);
    // The answer is an attempt of its own, which uses up none of an empty schedule.
    await eventually(async () => {
      const { body } = await replica.api("GET", `/v1/apps/${slug}/webhook-requests`);
      const rows = body.items.filter(({ event_id }: { event_id: string }) => event_id === `${slug}-0`);
      expect(rows.map((row: Record<string, unknown>) => [row["attempt"], row["outcome"], row["response_code"]])).toEqual([
        [2, "delivered", 200],
        [1, "failed", 429],
      ]);
      return true;
    });
    expect((await replica.api("GET", `/v1/dead-letters?app=${slug}`)).body.items).toEqual([]);
    // A pause of a second is too short to be announced.
    expect(await changesOf(beside.slug)).toEqual([]);
  },
);

test.concurrent("a throttle of more than 10 s is announced once, outlasts kill -9 of every replica, and loses nothing", async (context) => {
  const receiver = await aReceiver(context, answer(503, "busy", { "retry-after": "3600" }));
  const processes: PosthornProcess[] = [];
  const startOne = async (options: StartOptions): Promise<Posthorn> => {
    const posthorn = await startPosthorn(options);
    processes.push(posthorn);
    return posthorn;
  };
  const platform = await twoReplicas(context, { startOne, hasClock: true });
  const { bus, publish, changesOf, start, anHourLater } = platform;
  const { slug } = await (platform.replicas[0] as Posthorn).install({ webhook_url: receiver.url });
  await publish(slug, 0, 1);
  await receiver.waitFor(1);
  await eventually(async () => (await changesOf(slug)).length === 1);
  await publish(slug, 1, 20);
  // A killed replica's deliveries come again only after ack_wait.
  await allHandled(bus);
  await Promise.all(processes.map((posthorn) => posthorn.end("SIGKILL")));
  const inFlight = receiver.requests.length;
  receiver.behave(answer(200));
  platform.replicas = await Promise.all([start(), start()]);
  await everywhere(platform.replicas, "posthorn_throttled_apps 1");
  expect(receiver.requests.length).toBe(inFlight);
  await anHourLater();
  await eventually(() => new Set(numbers(receiver)).size === 20);
  const changes = await eventually(async () => {
    const found = await changesOf(slug);
    return found.length > 1 && found;
  });
  expect(changes).toEqual([
    expect.objectContaining({ type: "app.throttled", data: expect.objectContaining({ app: slug, response_code: 503 }) }),
    expect.objectContaining({ type: "app.released", data: expect.objectContaining({ app: slug }) }),
  ]);
  expect(new Set(changes.map(({ id }) => id)).size).toBe(2);
  await everywhere(platform.replicas, "posthorn_throttled_apps 0");
});

/** Answers 429 to more than `perS` a second of real time, which Redis has, too, and to more than as many at once. */
function takes(perS: number) {
  const taken: number[] = [];
  const refused: number[] = [];
  let tokens = perS;
  let at = Date.now();
  const behaviour: Behaviour = (_request, response) => {
    const now = Date.now();
    tokens = Math.min(perS, tokens + ((now - at) * perS) / 1_000);
    at = now;
    const isTaken = tokens >= 1;
    if (isTaken) tokens--;
    (isTaken ? taken : refused).push(now);
    response.writeHead(isTaken ? 200 : 429).end();
  };
  return { behaviour, taken, refused };
}

test.concurrent.for(["app", "none"])(
  "another webhook_url ends the pause on every replica, for what got the answer as for what came after it (order_by: %s)",
  async (order_by, context) => {
    const receiver = await aReceiver(context, answer(429, "busy", { "retry-after": "3600" }));
    const next = await aReceiver(context);
    const { replicas, publish, changesOf } = await twoReplicas(context);
    const [replica, other] = replicas as [Posthorn, Posthorn];
    const { slug, uuid } = await replica.install({ webhook_url: receiver.url, order_by });
    await publish(slug, 0, 1);
    await everywhere(replicas, "posthorn_throttled_apps 1");
    await publish(slug, 1, 10);
    // It waits with its app, not for a time of its own.
    await eventually(async () => {
      const { body } = await replica.api("GET", `/v1/deliveries/${deliveryIdOf(`${slug}-0`, uuid)}`);
      return body.delivery?.parked?.because === "throttled";
    });
    await other.api("PATCH", `/v1/apps/${slug}`, { webhook_url: next.url });
    await everywhere(replicas, "posthorn_throttled_apps 0");
    await eventually(() => new Set(numbers(next)).size === 10);
    if (order_by === "app") expect(numbers(next)).toEqual(upTo(10));
    await eventually(async () => {
      const { body } = await replica.api("GET", `/v1/apps/${slug}/webhook-requests?event_id=${slug}-0`);
      expect(body.items.map(({ attempt }: { attempt: number }) => attempt)).toEqual([2, 1]);
      expect((await changesOf(slug)).map(({ type }) => type)).toEqual(["app.throttled", "app.released"]);
      return true;
    });
    expect(receiver.requests.length).toBe(1);
  },
);

test.concurrent("a receiver that takes 20 a second refuses few after ten seconds, with no setting, and loses nothing", async (context) => {
  const { behaviour, taken, refused } = takes(20);
  const receiver = await aReceiver(context, behaviour);
  const { replicas, publish } = await twoReplicas(context);
  const { slug } = await (replicas[0] as Posthorn).install({ webhook_url: receiver.url });
  await publish(slug, 0, 500);
  await eventually(() => new Set(numbers(receiver)).size === 500 && taken.length >= 500);
  const from = (receiver.requests[0]?.receivedAt ?? 0) + 10_000;
  const late = (times: readonly number[]): number => times.filter((time) => time >= from).length;
  // turns.test.ts has the 1 %: what a starved process sends late arrives together. Concurrency alone would be refused most of the time.
  expect(late(refused)).toBeLessThanOrEqual(0.1 * late(taken));
  expect((await (replicas[0] as Posthorn).api("GET", `/v1/dead-letters?app=${slug}`)).body.items).toEqual([]);
});

test.concurrent("with rate_limit it refuses none, over both replicas, and Redis that is down stops nothing", async (context) => {
  // Twice as many: what a starved process sends late arrives together with what is on time.
  const { behaviour, refused } = takes(40);
  const receiver = await aReceiver(context, behaviour);
  const store = await startRedisServer();
  context.onTestFinished(store.stop);
  const { replicas, publish } = await twoReplicas(context, { store });
  const { slug } = await (replicas[0] as Posthorn).install({ webhook_url: receiver.url, rate_limit: { per_s: 20 } });
  await publish(slug, 0, 300);
  await receiver.waitFor(150);
  expect(refused).toEqual([]);
  const [begun = 0, ended = 0] = [0, 149].map((at) => receiver.requests[at]?.receivedAt);
  expect(150).toBeLessThanOrEqual((20 * (ended - begun)) / 1_000 + 40);
  await store.kill();
  const downAt = Date.now();
  await eventually(() => new Set(numbers(receiver)).size === 300);
  const seconds = ((receiver.requests.at(-1)?.receivedAt ?? 0) - downAt) / 1_000;
  const since = receiver.requests.filter(({ receivedAt }) => receivedAt >= downAt).length;
  expect(since).toBeLessThanOrEqual(40 * seconds + 20);
  // Without it each replica takes as long to stop as it may.
  await store.restart();
});

/** What a receiver's answer means, over two replicas. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { eventually } from "../support/eventually.ts";
import { allHandled, type Bus, connectBus, everywhere, type Posthorn, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Behaviour, type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEventsOf } from "../support/status-events.ts";

const SERVFAIL = 2;

let nats: Server;
let redis: Server;
let dns: DnsServer;
let names: "fail" | "answer";
let replicas: readonly [Posthorn, Posthorn];
let bus: Bus;

const options = (prefix: string, settings: Record<string, string>) => ({
  ...{ nats, redis, prefix },
  settings: { POSTHORN_REJECTED_RETRY_SCHEDULE: "1s,2s", ...settings },
});
const start = (prefix: string, settings: Record<string, string>): Promise<Posthorn> => startPosthornHere(options(prefix, settings));

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  dns = await startDnsServer({ "hooks.example": () => (names === "fail" ? SERVFAIL : ["127.0.0.1"]) });
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const settings = {
    ...{ POSTHORN_CIRCUIT_OPEN_TIME: "1s", POSTHORN_CIRCUIT_MAX_OPEN_TIME: "2s" },
    ...{ POSTHORN_TARGET_DNS_SERVERS: dns.address, POSTHORN_TARGET_ALLOW: "127.0.0.0/8,hooks.example" },
  };
  replicas = [await start(prefix, settings), await start(prefix, settings)];
  bus = await connectBus(nats, prefix);
});
const cleanups: Array<() => unknown> = [];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  await bus.close();
  for (const replica of replicas) await replica.end();
  await Promise.all([nats.stop(), redis.stop(), dns.stop()]);
});

interface World {
  readonly slug: string;
  readonly uuid: string;
  readonly receiver: Receiver;
  readonly bus: Bus;
  readonly organization: string;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
}

async function install(app: Record<string, unknown> = {}, host = "127.0.0.1", from: Posthorn = replicas[0], on: Bus = bus): Promise<World> {
  const receiver = await startReceiver();
  cleanups.push(receiver.stop);
  const organization = randomUUID();
  const made = await from.install({ webhook_url: `http://${host}:${receiver.port}/`, organization_id: organization, ...app });
  const call: World["call"] = (method, path, body) => from.api(method, `/v1/apps/${made.slug}${path}`, body);
  return { ...made, receiver, organization, call, bus: on };
}

/** Each event has its number in `data`. */
async function publish({ bus: on, organization }: World, first: number, count: number): Promise<void> {
  const one = (n: number) => on.publish("issue.created", { organization_id: organization, data: { n } });
  await Promise.all(Array.from({ length: count }, (_, at) => one(first + at)));
}

/** 50 events a second, until the promise resolves. @returns how many */
async function publishUntil(world: World, end: Promise<unknown>): Promise<number> {
  let isOver = false;
  void end.then(() => {
    isOver = true;
  });
  let count = 0;
  for (; !isOver; count += 5) {
    await publish(world, count, 5);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return count;
}

const numberIn = (request: ReceivedRequest): number => Number(request.json().data["n"]);
const numbers = ({ requests }: Receiver): number[] => requests.map(numberIn);

/** Numbers of the events that were answered with 2xx. */
function accepting(receiver: Receiver, accepted: number[]): void {
  receiver.behave((request, response) => {
    accepted.push(numberIn(request));
    response.writeHead(200).end();
  });
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const ascending = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);

async function deadLetters({ slug }: World, from: Posthorn = replicas[0]) {
  const { body } = await from.api("GET", `/v1/dead-letters?app=${slug}&limit=200`);
  return body.items as Array<{
    reason: string;
    event: { data: { n: number } };
    attempts: Array<{ outcome: string; response_code: number }>;
  }>;
}

const circuitEvents = async ({ slug, bus: on }: World): Promise<string[]> =>
  [...(await statusEventsOf(on, "circuit.opened")), ...(await statusEventsOf(on, "circuit.closed"))]
    .filter(({ data }) => data.app === slug)
    .map(({ type }) => type);

test.concurrent("a receiver that answers 404 to everything for a while gets everything when it works again, and nothing is given up", async () => {
  const world = await install();
  const { receiver } = world;
  await publish(world, 0, 60);
  await receiver.waitFor(60);
  expect(ascending(numbers(receiver))).toEqual(upTo(60));

  receiver.behave(answer(404));
  const before = receiver.requests.length;
  // Four times the refusals' schedule, and some probes.
  const count = await publishUntil(world, new Promise((resolve) => setTimeout(resolve, 12_000)));
  expect(await circuitEvents(world)).toEqual(["circuit.opened"]);
  // Most of them are parked, and spend no attempt.
  expect(receiver.requests.length - before).toBeLessThan(count);
  const accepted: number[] = [];
  accepting(receiver, accepted);
  await eventually(() => new Set(accepted).size === count);
  expect(ascending(accepted)).toEqual(upTo(count));
  expect(await deadLetters(world)).toEqual([]);
  await eventually(async () => expect(await circuitEvents(world)).toEqual(["circuit.opened", "circuit.closed"]));
});

test.concurrent("400 is final at once, 404 after two retries, and 503 and 404 have a schedule each", async () => {
  const world = await install({ retry_schedule_s: [1, 1] });
  const { receiver } = world;
  const statuses: Record<number, readonly number[]> = {
    0: [400],
    1: [404, 404, 404],
    2: [503, 404, 302, 503, 200],
    3: [503, 404, 503, 404, 401],
    4: [200],
  };
  receiver.behave((request, response) => {
    const n = numberIn(request);
    const nth = numbers(receiver).filter((one) => one === n).length;
    response.writeHead(statuses[n]?.[nth - 1] ?? 500).end();
  });
  await publish(world, 0, 5);
  const found = await eventually(async () => {
    const letters = await deadLetters(world);
    return letters.length === 3 && letters;
  });
  const byNumber = Object.fromEntries(found.map((one) => [one.event.data.n, one]));
  expect(
    Object.entries(byNumber).map(([n, { reason, attempts }]) => [Number(n), reason, attempts.map((one) => one.response_code)]),
  ).toEqual([
    [0, "rejected", statuses[0]],
    [1, "exhausted", statuses[1]],
    [3, "exhausted", statuses[3]],
  ]);
  await eventually(() => numbers(receiver).filter((n) => n === 2).length === 5);
  expect(ascending(numbers(receiver))).toEqual([0, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]);
});

test.concurrent("a probe that is answered with 400 closes the circuit, one that is answered with 401 does not", async () => {
  const world = await install();
  const { receiver } = world;
  receiver.behave(answer(401));
  await publish(world, 0, 60);
  await eventually(async () => (await circuitEvents(world)).length === 1);
  const before = receiver.requests.length;
  // Probes, and what was in flight.
  await receiver.waitFor(before + 2);
  expect(await circuitEvents(world)).toEqual(["circuit.opened"]);
  let refused: number | null = null;
  const accepted: number[] = [];
  receiver.behave((request, response) => {
    refused ??= numberIn(request);
    if (refused === numberIn(request)) return void response.writeHead(400).end();
    accepted.push(numberIn(request));
    response.end();
  });
  await eventually(() => accepted.length === 59);
  await eventually(async () =>
    expect((await deadLetters(world)).map(({ reason, event }) => [reason, event.data.n])).toEqual([["rejected", refused]]),
  );
  await eventually(async () => expect(await circuitEvents(world)).toEqual(["circuit.opened", "circuit.closed"]));
});

describe.concurrent("retry_on", () => {
  test("retries what it lists on the app's schedule, and gives up everything else at once", async () => {
    const world = await install({ retry_on: [404, "5XX"], retry_schedule_s: [0.1, 0.1, 0.1] });
    expect((await world.call("GET", "")).body.retry_on).toEqual(["404", "5xx"]);
    const { receiver } = world;
    receiver.behave((request, response) => void response.writeHead([404, 500, 403, 425][numberIn(request)] ?? 200).end());
    await publish(world, 0, 4);
    const found = await eventually(async () => {
      const letters = await deadLetters(world);
      return letters.length === 4 && letters;
    });
    expect(found.map(({ reason, event, attempts }) => [event.data.n, reason, attempts.length]).sort()).toEqual([
      [0, "exhausted", 4],
      [1, "exhausted", 4],
      [2, "rejected", 1],
      [3, "rejected", 1],
    ]);
  });

  test("is replaced by PUT, changed by PATCH, and null again", async () => {
    const { call, receiver } = await install({ retry_on: ["4xx", "4xx", 404] });
    expect((await call("GET", "")).body.retry_on).toEqual(["4xx", "404"]);
    expect((await call("PATCH", "", { retry_on: [] })).body.retry_on).toEqual([]);
    expect((await call("PATCH", "", { name: "x" })).body.retry_on).toEqual([]);
    expect((await call("PATCH", "", { retry_on: null })).body.retry_on).toBeNull();
    await call("PATCH", "", { retry_on: ["5xx"] });
    expect((await call("PUT", "", { webhook_url: receiver.url })).body.retry_on).toBeNull();
  });

  test.each([
    ["404", "retry_on", "wanted a list"],
    [["2xx"], "retry_on.0", 'found "2xx", wanted a status code from 300 to 599 other than 410, or one of the classes 3xx, 4xx and 5xx'],
    [[404, 200], "retry_on.1", "found 200, wanted a status code from 300 to 599"],
    [["410"], "retry_on.0", 'found "410", wanted a status code'],
    [[410], "retry_on.0", "found 410, wanted a status code"],
    [["40x"], "retry_on.0", 'found "40x", wanted a status code'],
    [[404.5], "retry_on.0", "found 404.5, wanted a status code"],
    [[600], "retry_on.0", "found 600, wanted a status code"],
    [[null], "retry_on.0", "found null, wanted a status code"],
  ])("%j is refused", async (retryOn, path, message) => {
    const { status, body } = await replicas[0].api("PUT", "/v1/apps/refused", { webhook_url: "http://127.0.0.1:9/", retry_on: retryOn });
    expect([status, body.errors]).toEqual([400, [{ path, message: expect.stringContaining(message) }]]);
  });
});

test.concurrent("a name server that fails is nobody's fault, and everything is delivered when it works again", async () => {
  names = "answer";
  const world = await install({ max_in_flight: 100 }, "hooks.example");
  names = "fail";
  await publish(world, 0, 60);
  const stats = async () => (await world.call("GET", "/stats")).body.totals.outcomes;
  await eventually(async () => (await stats()).sender_failed >= 60);
  expect(await circuitEvents(world)).toEqual([]);
  const health = await replicas[0].api("GET", `/v1/installations/${world.uuid}/health`);
  expect(health.body.days.every((day: Record<string, number>) => day["error"] === 0 && day["timeout"] === 0)).toBe(true);
  const [row] = (await world.call("GET", "/webhook-requests?event_type=issue.created")).body.items;
  expect(row).toMatchObject({ outcome: "sender_failed", response_code: 0, error: expect.stringContaining("ESERVFAIL") });
  names = "answer";
  // The failure is remembered for some seconds.
  await eventually(async () => {
    await world.call("POST", "/retry-now");
    return new Set(numbers(world.receiver)).size === 60;
  });
  expect(ascending(numbers(world.receiver))).toEqual(upTo(60));
  expect(await deadLetters(world)).toEqual([]);
});

describe.concurrent("retry-now", () => {
  const onceBusy =
    (seen: Set<number>): Behaviour =>
    (request, response) => {
      const n = numberIn(request);
      response.writeHead(seen.has(n) ? 200 : 408).end();
      seen.add(n);
    };

  test("makes all retries of an app due, held by a replica or not, each once", async () => {
    // More than the replicas hold.
    const count = 300;
    const world = await install({ retry_schedule_s: [3_600], max_in_flight: 200 });
    const other = await install({ retry_schedule_s: [3_600] });
    for (const one of [world, other]) one.receiver.behave(onceBusy(new Set()));
    await Promise.all([publish(world, 0, count), publish(other, 0, 3)]);
    await Promise.all([world.receiver.waitFor(count), other.receiver.waitFor(3)]);
    const { body } = await replicas[0].api("POST", `/v1/apps/${world.slug}/tokens`);
    const waiting = async () => {
      const manager = await bus.connection.jetstreamManager();
      const stream = `${bus.prefix}_RETRIES`.toUpperCase().replaceAll("-", "_");
      const { state } = await manager.streams.info(stream, { subjects_filter: `${bus.prefix}.retries.*.${world.slug}` });
      return Object.values(state.subjects ?? {}).reduce((sum, messages) => sum + messages, 0);
    };
    await eventually(async () => (await waiting()) === count);
    const path = `/v1/apps/${world.slug}/retry-now`;
    const asked = await replicas[1].api("POST", path, undefined, { authorization: `Bearer ${body.token}` });
    expect([asked.status, asked.body]).toEqual([202, { app: world.slug, deliveries: count }]);
    // Again, and from both at once: it changes nothing.
    const again = await Promise.all(replicas.map((replica) => replica.api("POST", path)));
    expect(again.map(({ status }) => status)).toEqual([202, 202]);
    await world.receiver.waitFor(2 * count);
    await eventually(async () => (await waiting()) === 0);
    expect(ascending(numbers(world.receiver))).toEqual(upTo(count).flatMap((n) => [n, n]));
    expect(other.receiver.requests).toHaveLength(3);
    expect((await replicas[0].api("POST", path)).body).toEqual({ app: world.slug, deliveries: 0 });
  });

  test("makes the head of each order due", async () => {
    const world = await install({ retry_schedule_s: [3_600], order_by: "/key" });
    world.receiver.behave(onceBusy(new Set()));
    for (const [n, key] of ["a", "a", "b"].entries())
      await bus.publish("issue.created", { organization_id: world.organization, data: { n, key } });
    await world.receiver.waitFor(2);
    const answers = await eventually(async () => {
      const { status, body } = await replicas[1].api("POST", `/v1/apps/${world.slug}/retry-now`);
      return status === 202 && body.deliveries === 2 && body;
    });
    expect(answers).toEqual({ app: world.slug, deliveries: 2 });
    await eventually(() => numbers(world.receiver).filter((n) => n !== 1).length === 4);
    await eventually(() => numbers(world.receiver).includes(1));
    const ofKey = numbers(world.receiver).filter((n) => n !== 2);
    expect(ofKey).toEqual([0, 0, 1]);
  });

  test("and closing a circuit need an app that is there", async () => {
    for (const action of ["retry-now", "circuit/close"]) {
      const { status, body } = await replicas[0].api("POST", `/v1/apps/nobody/${action}`);
      expect([status, body.detail]).toEqual([404, "no app nobody"]);
    }
  });
});

test.concurrent("a circuit that refusals opened is open after every replica was killed, and a person can close it", async () => {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const settings = { POSTHORN_CIRCUIT_OPEN_TIME: "1h", POSTHORN_CIRCUIT_MAX_OPEN_TIME: "1h" };
  const killed = await Promise.all([startPosthorn(options(prefix, settings)), startPosthorn(options(prefix, settings))]);
  const own = await connectBus(nats, prefix);
  cleanups.push(own.close);
  const world = await install({}, "127.0.0.1", killed[0], own);
  world.receiver.behave(answer(404));
  await publish(world, 0, 100);
  await eventually(async () => (await circuitEvents(world)).length === 1);
  await publish(world, 100, 20);
  // A killed replica's deliveries come again only after ack_wait.
  await allHandled(own);
  await Promise.all(killed.map((replica) => replica.end("SIGKILL")));

  const again = await Promise.all([start(prefix, settings), start(prefix, settings)]);
  cleanups.push(() => Promise.all(again.map((replica) => replica.end())));
  await everywhere(again, 'posthorn_circuits{state="open"} 1');
  const accepted: number[] = [];
  accepting(world.receiver, accepted);
  const close = () => again[1].api("POST", `/v1/apps/${world.slug}/circuit/close`);
  expect([(await close()).body, (await close()).body]).toEqual([
    { app: world.slug, circuit: "closed" },
    { app: world.slug, circuit: "closed" },
  ]);
  await eventually(() => new Set(accepted).size === 120);
  expect(await deadLetters(world, again[0])).toEqual([]);
  await eventually(async () => (await circuitEvents(world)).length === 2);
  expect(await circuitEvents(world)).toEqual(["circuit.opened", "circuit.closed"]);
});

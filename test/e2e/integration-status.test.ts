/** Integrations that break and are recovered, on real servers and receivers, with a clock that is set. */
import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, type TestContext, test } from "vitest";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, everywhere, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents, statusEventsOf } from "../support/status-events.ts";
import { createTestClock, DAY_MS, HOUR_MS, type TestClock } from "../support/test-clock.ts";

let nats: Server;
let redisServer: Server;
let redis: Redis;

beforeAll(async () => {
  [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
  redis = new Redis(redisServer.url);
});
afterAll(async () => {
  redis.disconnect();
  await Promise.all([nats.stop(), redisServer.stop()]);
});

interface World {
  readonly clock: TestClock;
  readonly replicas: readonly Posthorn[];
  /** The first of them. */
  readonly posthorn: Posthorn;
  readonly bus: Bus;
  readonly receiver: Receiver;
  advance(ms: number): Promise<void>;
  /** Publishes one event after the other. @returns their ids. */
  publish(count: number): Promise<string[]>;
  status(uuid: string): Promise<string>;
  health(uuid: string): Promise<any>;
  /** The deliveries in the installation's parked queue, in stored order. */
  parked(slug: string, uuid: string): Promise<Array<{ event: { id: string }; attempts_made: number }>>;
  deadLetters(slug: string): Promise<any[]>;
}

interface WorldOptions {
  readonly settings?: Readonly<Record<string, string>>;
  readonly replicas?: number;
  /** The real time: what waits in the retries stream comes due by the server's clock. */
  readonly realTime?: boolean;
}

async function start(
  { onTestFinished }: Pick<TestContext, "onTestFinished">,
  { settings = {}, replicas: replicaCount = 1, realTime = false }: WorldOptions = {},
): Promise<World> {
  const clock = createTestClock();
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const receiver = await startReceiver();
  const one = () => startPosthornHere({ nats, redis: redisServer, prefix, settings: { ...(realTime ? {} : clock.settings), ...settings } });
  // The first one makes the streams.
  const replicas = [await one(), ...(await Promise.all(Array.from({ length: replicaCount - 1 }, one)))];
  const [posthorn] = replicas as [Posthorn];
  const bus = await connectBus(nats, prefix);
  onTestFinished(async () => {
    await bus.close();
    await Promise.all(replicas.map((replica) => replica.end()));
    await receiver.stop();
    clock.remove();
  });
  const stream = `${prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
  return {
    ...{ clock, replicas, posthorn, bus, receiver },
    advance: (ms) => clock.advance(ms, replicas),
    async publish(count) {
      const ids = Array.from({ length: count }, () => randomUUID());
      for (const id of ids) await bus.publish("issue.created", { id, organization_id: "42", data: {} });
      return ids;
    },
    status: async (uuid) => (await posthorn.api("GET", `/v1/installations/${uuid}`)).body.status as string,
    health: async (uuid) => (await posthorn.api("GET", `/v1/installations/${uuid}/health`)).body,
    async parked(slug, uuid) {
      const manager = await bus.connection.jetstreamManager();
      const { state } = await manager.streams.info(stream);
      const found = [];
      for (let sequence = state.first_seq; sequence <= state.last_seq; sequence++) {
        const message = await manager.streams.getMessage(stream, { seq: sequence }).catch(() => null);
        if (message?.subject === `${prefix}.parked.${slug}.${uuid}`)
          found.push(message.json<{ event: { id: string }; attempts_made: number }>());
      }
      return found;
    },
    deadLetters: async (slug) => (await posthorn.api("GET", `/v1/dead-letters?app=${slug}&limit=1000&order=oldest`)).body.items,
  };
}

/** The only integration of its world. */
async function install({ posthorn, receiver, replicas }: World, more: object = {}) {
  const installed = await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [], ...more });
  await everywhere(replicas, 'posthorn_integrations{status="active"} 1');
  return installed;
}

/** Waits until the last probe has ended, so that the next one is to come. */
async function probeAhead({ health, clock }: World, uuid: string): Promise<void> {
  await eventually(async () => Date.parse((await health(uuid)).broken.next_probe_at) > clock.now());
}

async function integrationEvents(bus: Bus): Promise<string[]> {
  return (await statusEvents(bus)).map(({ type }) => type).filter((type) => type.startsWith("integration."));
}

const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** One 410, and what follows from it. @returns the app and its installation. */
async function breakOne(world: World, more: object = {}) {
  const installed = await install(world, more);
  world.receiver.behave(answer(410));
  await world.publish(1);
  await everywhere(world.replicas, 'posthorn_integrations{status="broken"} 1');
  return installed;
}

describe.concurrent("a broken integration", () => {
  // Five seconds may pass until the schedule of the probes looks for a new delivery.
  test("parks a retry that comes due, and no attempt is spent; with nothing parked it waits for the next event", async (context) => {
    const world = await start(context, { settings: { POSTHORN_BROKEN_RULES: "fatal" } });
    const { receiver } = world;
    const { slug, uuid } = await install(world, { retry_schedule_s: [1, 3600] });
    receiver.behave(answer(500));
    const [retried] = await world.publish(1);
    await receiver.waitFor(1);
    receiver.behave(answer(410));
    await world.publish(1);
    await eventually(async () => (await world.status(uuid)) === "broken");
    const [parked] = await eventually(async () => {
      const found = await world.parked(slug, uuid);
      return found.length > 0 && found;
    });
    expect([parked?.event.id, parked?.attempts_made]).toEqual([retried, 1]);
    // The probe delivers it: that is its second attempt, and nothing is left.
    receiver.behave(answer(200));
    await world.advance(HOUR_MS);
    await eventually(async () => (await world.status(uuid)) === "active");
    const row = await eventually(async () => {
      const [newest = "{}"] = await redis.lrange(`posthorn:request:{${slug}}:issue.created`, 0, 0);
      const found = JSON.parse(newest) as { attempt?: number };
      return found.attempt === 2 && found;
    });
    expect(row).toMatchObject({ event_id: retried, attempt: 2, outcome: "delivered" });

    receiver.behave(answer(410));
    await world.publish(1);
    await eventually(async () => (await world.status(uuid)) === "broken");
    await world.advance(3 * HOUR_MS);
    const before = receiver.requests.length;
    receiver.behave(answer(200));
    await world.publish(1);
    await receiver.waitFor(before + 1);
    await eventually(async () => (await world.status(uuid)) === "active");
  });

  test("recovers by a probe after an hour; its backlog of 1,000 is delivered in order, none lost, none twice", async (context) => {
    const world = await start(context, { replicas: 2 });
    const { receiver, bus } = world;
    // 16: a backlog is drained by half of it at once, over all replicas.
    const { slug, uuid } = await breakOne(world, { max_in_flight: 16 });
    await world.publish(1_000);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1_000);
    expect(await world.health(uuid)).toMatchObject({
      status: "broken",
      broken: { reason: { rule: "fatal" } },
      parked: { oldest_at: expect.stringMatching(/Z$/) },
      recovered: null,
    });
    const stored = (await world.parked(slug, uuid)).map(({ event }) => event.id);
    const requestsBefore = receiver.requests.length;
    receiver.behave(answer(200));
    const hourIsOver = Date.parse((await world.health(uuid)).broken.next_probe_at) - world.clock.now();
    expect(hourIsOver).toBeGreaterThan(HOUR_MS / 2);
    await world.advance(hourIsOver);
    await receiver.waitFor(requestsBefore + 1_000);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 0);
    await eventually(async () =>
      expect(await world.health(uuid)).toMatchObject({ status: "active", broken: null, recovered: { backlog: 999 } }),
    );

    const eventOf = new Map(stored.map((id) => [deliveryIdOf(id, uuid), id]));
    const arrived = receiver.requests.slice(requestsBefore).map(({ headers }) => eventOf.get(String(headers["webhook-id"])) ?? "");
    expect([...arrived].sort()).toEqual([...stored].sort());
    // With 8 at once one may overtake another, but none starts before what is 8 places ahead of it is done.
    const place = new Map(stored.map((id, at) => [id, at]));
    const tooEarly = arrived.filter((id, at) => (place.get(id) ?? 0) - at >= 8);
    expect(tooEarly).toEqual([]);
    await eventually(async () => expect(await integrationEvents(bus)).toEqual(["integration.broken", "integration.recovered"]));
  });

  test("is probed with its oldest delivery once an hour: counted on its day, and no attempt of its schedule is spent", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world, { retry_schedule_s: [3600] });
    const [oldest] = await world.publish(3);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 3);
    const tag = async () => (await world.posthorn.api("GET", `/v1/installations/${uuid}`)).headers.get("etag");
    const known = await tag();
    world.receiver.behave(answer(500));
    const before = world.receiver.requests.length;
    for (let probes = 1; probes <= 3; probes++) {
      await world.advance(HOUR_MS);
      await world.receiver.waitFor(before + probes);
      await eventually(async () => (await world.health(uuid)).days.at(-1).error === probes);
      await probeAhead(world, uuid);
    }
    expect(new Set(world.receiver.requests.slice(before).map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    // What Posthorn notes for itself is no change for a caller.
    expect(await tag()).toBe(known);
    const [first, ...others] = await world.parked(slug, uuid);
    expect([first?.event.id, first?.attempts_made, others.length]).toEqual([oldest, 0, 2]);
    expect(await integrationEvents(world.bus)).toEqual(["integration.broken"]);
  });

  test("whose oldest delivery nobody wants recovers all the same, and that one goes to dead letters", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world);
    const [unwanted] = await world.publish(1);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1);
    for (let n = 0; n < 20; n++) await world.bus.publish("issue.resolved", { organization_id: "42", data: {} });
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 21);
    world.receiver.behave((request, response) => {
      response.writeHead(request.json().action === "created" ? 422 : 200).end();
    });
    const before = world.receiver.requests.length;
    await world.advance(HOUR_MS);
    await world.receiver.waitFor(before + 1);
    expect(await world.status(uuid)).toBe("broken");
    await probeAhead(world, uuid);
    await world.advance(HOUR_MS);
    await eventually(async () => (await world.status(uuid)) === "active");
    // The unwanted one twice, each of the others once.
    await world.receiver.waitFor(before + 22);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 0);
    const letters = await eventually(async () => {
      const found = await world.deadLetters(slug);
      return found.length === 2 && found;
    });
    expect(letters.map(({ reason, event }) => [reason, event.id])).toEqual([
      ["gone", expect.any(String)],
      ["rejected", unwanted],
    ]);
  });

  test("that is removed and comes back is active, is not judged by its past, and can break and be published again", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world);
    await world.posthorn.api("DELETE", `/v1/installations/${uuid}`);
    await world.posthorn.api("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: "42", allow_duplicate: true });
    world.receiver.behave(answer(500));
    await world.publish(1);
    await world.receiver.waitFor(2);
    expect(await world.status(uuid)).toBe("active");
    world.receiver.behave(answer(410));
    await world.publish(1);
    await eventually(async () => (await world.status(uuid)) === "broken");
    await eventually(async () => (await statusEventsOf(world.bus, "integration.broken")).length === 2);
    const ids = (await statusEventsOf(world.bus, "integration.broken")).map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
  });

  test("is still delivered to when that is the setting, and its first success is its recovery", async (context) => {
    const world = await start(context, { settings: { POSTHORN_BROKEN_ACTION: "deliver" } });
    const { uuid } = await breakOne(world);
    world.receiver.behave(answer(500));
    await world.publish(2);
    await world.receiver.waitFor(3);
    expect(await world.health(uuid)).toMatchObject({ status: "broken", broken: { next_probe_at: null }, parked: { deliveries: 0 } });
    world.receiver.behave(answer(200));
    await world.publish(2);
    await eventually(async () => (await world.status(uuid)) === "active");
    // The audit's entry is stored before the event.
    await eventually(async () => expect(await integrationEvents(world.bus)).toEqual(["integration.broken", "integration.recovered"]));
    const { body } = await world.posthorn.api("GET", `/v1/audit?installation_uuid=${uuid}&who=posthorn`);
    expect(body.items).toMatchObject([
      { action: "recoverInstallation", before: { status: "broken" }, after: { status: "active", reason: { by: "probe" } } },
      { action: "breakInstallation", before: { status: "active" }, after: { status: "broken", reason: { rule: "fatal" } } },
    ]);
    expect(body.items.map(({ target }: { target: string }) => target)).toEqual(new Array(2).fill(`/v1/installations/${uuid}`));
  });
});

describe.concurrent("a person", () => {
  const told = async ({ bus }: World) =>
    (await statusEvents(bus)).flatMap(({ id, type, data }) =>
      "previous_status" in data ? [`${id.split(":")[1]} ${type}: ${data.previous_status} to ${data.status}`] : [],
    );
  const call = async ({ posthorn }: World, uuid: string, what: string) => posthorn.api("POST", `/v1/installations/${uuid}/${what}`);

  // The status stream has five seconds to store an event.
  test("has to try again while the status stream stores nothing, and then nothing has happened twice", async (context) => {
    const world = await start(context);
    const manager = await world.bus.connection.jetstreamManager();
    const stream = `${world.bus.prefix}_STATUS`.toUpperCase().replaceAll("-", "_");
    const { config } = await manager.streams.info(stream);
    const { uuid } = await install(world);
    // A stream that is missing would be created again after a while.
    await manager.streams.update(stream, { ...config, subjects: [`${world.bus.prefix}.nothing`] });
    world.receiver.behave(answer(410));
    await world.publish(1);
    await eventually(async () => (await world.status(uuid)) === "broken");
    const refused = await call(world, uuid, "disable");
    expect([refused.status, refused.body]).toEqual([
      503,
      expect.objectContaining({
        code: "PUBLISH_FAILED",
        detail: expect.stringContaining(`${stream} did not store status event ${uuid}:1`),
      }),
    ]);
    expect(await world.status(uuid)).toBe("broken");
    await manager.streams.update(stream, config);
    await eventually(async () => (await call(world, uuid, "disable")).body.status === "disabled");
    expect(await told(world)).toEqual(["1 integration.broken: active to broken", "2 integration.disabled: broken to disabled"]);
  });

  test("enables a broken integration: it has recovered, and what was parked is delivered", async (context) => {
    const world = await start(context);
    const { uuid } = await breakOne(world);
    const before = world.receiver.requests.length;
    await world.publish(5);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 5);
    world.receiver.behave(answer(200));
    expect((await call(world, uuid, "enable")).body.status).toBe("active");
    await world.receiver.waitFor(before + 5);
    // The next failure does not break it: its counters were cleared.
    world.receiver.behave(answer(500));
    await world.publish(1);
    await eventually(async () => (await world.health(uuid)).days.at(-1).error === 1);
    expect(await world.health(uuid)).toMatchObject({ status: "active", recovered: { backlog: 5 } });
    expect((await call(world, uuid, "enable")).status).toBe(200);
    expect(await told(world)).toEqual(["1 integration.broken: active to broken", "2 integration.recovered: broken to active"]);
  });

  test("disables a broken one and enables it: what parked meanwhile is delivered then, and not before", async (context) => {
    const world = await start(context);
    const { uuid } = await breakOne(world);
    await world.publish(1);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1);
    expect((await call(world, uuid, "disable")).body.status).toBe("disabled");
    world.receiver.behave(answer(200));
    const before = world.receiver.requests.length;
    // Parked by this replica at once: the answer came when it knew.
    await world.publish(2);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 3);
    await world.advance(3 * HOUR_MS);
    expect(await world.health(uuid)).toMatchObject({ status: "disabled", broken: null, parked: { deliveries: 3 } });
    expect(world.receiver.requests).toHaveLength(before);
    await call(world, uuid, "enable");
    await world.receiver.waitFor(before + 3);
    expect(await told(world)).toEqual([
      "1 integration.broken: active to broken",
      "2 integration.disabled: broken to disabled",
      "3 integration.enabled: disabled to active",
    ]);
  });

  test("discards what is parked: it is in dead letters with that reason, and can be replayed", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world);
    expect((await call(world, uuid, "discard")).body).toEqual({ discarded: 0 });
    for (const unknown of ["discard", "enable", "disable"]) expect((await call(world, randomUUID(), unknown)).status).toBe(404);
    expect((await world.posthorn.api("GET", `/v1/installations/${randomUUID()}/health`)).status).toBe(404);
    const ids = await world.publish(25);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 25);
    expect((await call(world, uuid, "discard")).body).toEqual({ discarded: 25 });
    expect((await world.health(uuid)).parked).toEqual({ deliveries: 0, oldest_at: null });
    const discarded = (await world.deadLetters(slug)).filter(({ reason }) => reason === "discarded");
    expect(discarded.map(({ event }) => event.id)).toEqual(ids);
    world.receiver.behave(answer(200));
    await call(world, uuid, "enable");
    expect((await call(world, uuid, "discard")).status).toBe(409);
    const before = world.receiver.requests.length;
    await world.posthorn.api("POST", `/v1/dead-letters/${discarded[0]?.sequence}/replay`);
    await world.receiver.waitFor(before + 1);
  });

  /** What became of parked deliveries. */
  const fates = async ({ bus, receiver, deadLetters }: World, slug: string, requestsBefore: number) => {
    const letters = (await deadLetters(slug)).filter(({ reason }) => reason === "discarded");
    return {
      discarded: letters.map(({ delivery_id: id }) => id as string),
      delivered: receiver.requests.slice(requestsBefore).map(({ headers }) => String(headers["webhook-id"])),
      told: (await statusEventsOf(bus, "delivery.rejected")).flatMap(({ data }) => (data.reason === "discarded" ? [data.delivery_id] : [])),
    };
  };

  test("who enables it while the backlog is discarded ends that: each delivery is delivered or discarded, and none is both", async (context) => {
    const world = await start(context, { replicas: 2 });
    const [one, two] = world.replicas as [Posthorn, Posthorn];
    const { slug, uuid } = await breakOne(world);
    const ids = await world.publish(600);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 600);
    const before = world.receiver.requests.length;
    world.receiver.behave((_request, response) => void setTimeout(() => response.writeHead(200).end(), 5));
    const discarding = one.api("POST", `/v1/installations/${uuid}/discard`);
    await eventually(async () => (await world.health(uuid)).parked.deliveries < 600);
    expect((await two.api("POST", `/v1/installations/${uuid}/enable`)).body.status).toBe("active");
    const discarded = await discarding;
    expect(discarded.status).toBe(200);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 0);
    const found = await eventually(async () => {
      const all = await fates(world, slug, before);
      return all.delivered.length + all.discarded.length >= 600 && all;
    });
    expect([...found.delivered, ...found.discarded].sort()).toEqual(ids.map((id) => deliveryIdOf(id, uuid)).sort());
    expect(found.discarded).toHaveLength(discarded.body.discarded);
    // An app has 100 such events a minute, and the 410 that broke it was one.
    expect(new Set(found.told)).toHaveLength(found.told.length);
    expect(found.told.length).toBeGreaterThanOrEqual(Math.min(99, found.discarded.length));
    expect(found.told.filter((id) => !found.discarded.includes(id))).toEqual([]);
  });

  test("who discards what is being delivered leaves that alone, takes what is behind it, and waits until it has ended", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world, { max_in_flight: 16 });
    const ids = await world.publish(100);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 100);
    const before = world.receiver.requests.length;
    const waiting: Array<() => void> = [];
    world.receiver.behave((_request, response) => void waiting.push(() => response.writeHead(200).end()));
    await call(world, uuid, "enable");
    await eventually(() => waiting.length === 8);
    await call(world, uuid, "disable");
    const discarding = call(world, uuid, "discard");
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 8);
    for (const end of waiting) end();
    expect(await discarding).toMatchObject({ status: 200, body: { discarded: 92 } });
    const found = await fates(world, slug, before);
    expect(found.discarded).toEqual(ids.slice(8).map((id) => deliveryIdOf(id, uuid)));
    expect([...found.delivered].sort()).toEqual(
      ids
        .slice(0, 8)
        .map((id) => deliveryIdOf(id, uuid))
        .sort(),
    );
    expect((await world.health(uuid)).parked.deliveries).toBe(0);
  });

  test("who discards removes what was delivered before, and leaves what parks meanwhile", async (context) => {
    const world = await start(context);
    const { slug, uuid } = await breakOne(world);
    const [once] = await world.publish(1);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1);
    const [message] = await world.parked(slug, uuid);
    world.receiver.behave(answer(200));
    await call(world, uuid, "enable");
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 0);
    await world.receiver.waitFor(2);
    // Nobody drains the queue any more.
    const manager = await world.bus.connection.jetstreamManager();
    const parked = `${world.bus.prefix}_PARKED`.toUpperCase().replaceAll("-", "_");
    await eventually(async () => (await manager.streams.info(parked)).state.consumer_count === 0);
    await call(world, uuid, "disable");
    // As whoever dies between a delivery and its acknowledgement leaves it.
    await world.bus.jetStream.publish(`${world.bus.prefix}.parked.${slug}.${uuid}`, JSON.stringify(message));
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1);
    expect(message?.event.id).toBe(once);
    expect((await call(world, uuid, "discard")).body).toEqual({ discarded: 0 });
    expect((await world.health(uuid)).parked.deliveries).toBe(0);
    expect((await world.deadLetters(slug)).map(({ reason }) => reason)).toEqual(["gone"]);

    await world.publish(200);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 200);
    const [{ body }, later] = await Promise.all([call(world, uuid, "discard"), world.publish(50)]);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 250 - body.discarded);
    expect(body.discarded).toBeGreaterThanOrEqual(200);
    expect(later).toHaveLength(50);
  });

  test("learns of each delivery that waited too long, once, from two replicas that look after it", async (context) => {
    const world = await start(context, { replicas: 2 });
    const { slug, uuid } = await install(world);
    await call(world, uuid, "disable");
    await everywhere(world.replicas, 'posthorn_integrations{status="disabled"} 1');
    const ids = await world.publish(40);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 40);
    await world.advance(8 * DAY_MS);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 0);
    const letters = (await world.deadLetters(slug)).map(({ reason, event }) => `${reason} ${event.id}`);
    expect(letters.sort()).toEqual(ids.map((id) => `expired ${id}`).sort());
    const told = await eventually(async () => {
      const found = await statusEventsOf(world.bus, "delivery.rejected");
      return found.length >= 40 && found;
    });
    expect(told.map(({ id }) => id).sort()).toEqual(ids.map((id) => `${deliveryIdOf(id, uuid)}:0:rejected`).sort());
    expect(told[0]?.data).toMatchObject({
      ...{ app: slug, installation_uuid: uuid, organization_id: "42", event_type: "issue.created", attempts: 0, reason: "expired" },
      ...{ last_outcome: null, last_response_code: null, last_error: expect.stringMatching(/^first parked \d+ s ago, longer than/) },
    });
    for (const { log } of world.replicas)
      expect(log.filter(({ message }) => message === "a periodic task failed and is tried again")).toEqual([]);
  });

  test("learns what waited for an installation that was removed", async (context) => {
    const world = await start(context);
    const { uuid } = await install(world);
    await call(world, uuid, "disable");
    const [id] = await world.publish(1);
    await eventually(async () => (await world.health(uuid)).parked.deliveries === 1);
    await world.posthorn.api("DELETE", `/v1/installations/${uuid}`);
    const [told] = await eventually(async () => {
      const found = await statusEventsOf(world.bus, "delivery.rejected");
      return found.length > 0 && found;
    });
    expect(told?.data).toMatchObject({ installation_uuid: uuid, organization_id: "42", event_id: id, reason: "uninstalled" });
  });
});

describe.concurrent("the health rule", () => {
  test("one 500 a day for seven days breaks an integration on the seventh, and it is published once", async (context) => {
    const world = await start(context);
    const { clock, receiver, bus, posthorn } = world;
    const { slug, uuid } = await install(world);
    receiver.behave(answer(500, "broken"));
    const first = clock.now();
    for (let number = 1; number <= 10; number++) {
      if (number > 1) await world.advance(DAY_MS);
      await world.publish(1);
      if (number <= 7) await receiver.waitFor(number);
      if (number < 7) {
        await eventually(async () => (await redis.hget(`posthorn:health:{${uuid}}:${day(clock.now())}`, "error")) === "1");
        expect(await world.status(uuid)).toBe("active");
      }
      if (number === 7) await eventually(async () => (await world.status(uuid)) === "broken");
      if (number > 7) await eventually(async () => (await world.health(uuid)).parked.deliveries > 0);
    }
    const [broken, ...more] = await statusEventsOf(bus, "integration.broken");
    expect(more).toEqual([]);
    expect(broken).toMatchObject({
      id: `${uuid}:1`,
      source: `/posthorn/${posthorn.prefix}`,
      subject: uuid,
      data: {
        app: slug,
        installation_uuid: uuid,
        organization_id: "42",
        webhook_url: receiver.url,
        previous_status: "active",
        status: "broken",
        reason: {
          rule: "failing_days",
          window_days: 7,
          days: Array.from({ length: 7 }, (_, at) => day(first + at * DAY_MS)),
          ...{ success: 0, error: 7, timeout: 0, fatal: 0 },
          last_response_code: 500,
          last_error: "answered with status 500",
        },
        dashboard_url: null,
      },
    });
    expect(await redis.keys(`posthorn:health:{${uuid}}:*`)).toEqual(
      // Only its probes are counted from now on.
      expect.not.arrayContaining([expect.stringContaining(day(first))]),
    );
  });

  test("three timeouts with the threshold at three break, two do not", async (context) => {
    const world = await start(context, { settings: { POSTHORN_BROKEN_TIMEOUTS: "3" } });
    const { uuid } = await install(world, { timeout_ms: 100 });
    world.receiver.behave(() => {});
    await world.publish(2);
    await eventually(async () => (await world.health(uuid)).days.at(-1).timeout === 2);
    expect(await world.status(uuid)).toBe("active");
    await world.publish(1);
    await eventually(async () => (await world.status(uuid)) === "broken");
    const [broken, ...more] = await statusEventsOf(world.bus, "integration.broken");
    expect([broken?.data.reason, more]).toEqual([
      expect.objectContaining({ rule: "timeouts", timeout: 3, success: 0, last_response_code: 0 }),
      [],
    ]);
  });

  test("1000 failures at the same time on two replicas are one transition, one opened circuit, and one event each", async (context) => {
    const world = await start(context, {
      settings: {
        POSTHORN_BROKEN_WINDOW: "1",
        POSTHORN_MAX_IN_FLIGHT: "1000",
        POSTHORN_TARGET_MAX_CONNECTIONS: "1000",
        POSTHORN_REQUEST_TIMEOUT: "100s",
        POSTHORN_CONNECT_TIMEOUT: "100s",
      },
      replicas: 2,
      realTime: true,
    });
    const { slug, uuid } = await install(world, { max_in_flight: 2000, retry_schedule_s: [3600] });
    const waiting: Array<() => void> = [];
    world.receiver.behave((_request, response) => {
      waiting.push(() => response.writeHead(500).end());
      if (waiting.length === 1000) for (const fail of waiting) fail();
    });
    const { publish } = world.bus;
    await Promise.all(Array.from({ length: 1000 }, () => publish("issue.created", { organization_id: "42", data: {} })));
    await world.receiver.waitFor(1000);
    const retries = `${world.bus.prefix}_RETRIES`.toUpperCase().replaceAll("-", "_");
    const manager = await world.bus.connection.jetstreamManager();
    await eventually(async () => (await manager.streams.info(retries)).state.messages === 1000);
    await eventually(async () => (await world.status(uuid)) === "broken");
    // Each replica had its part, and nothing is left to be told.
    for (const { log } of world.replicas) await eventually(() => log.some(({ message }) => message === "delivery.attempted"));
    const bucket = await world.bus.jetStream.views.kv(`${world.bus.prefix}-registry`);
    for (const key of [`installation.${uuid}`, `circuit.${slug}`, `health.${slug}`])
      await eventually(async () => !("pending_event" in ((await bucket.get(key))?.json<object>() ?? {})));
    const types = async (): Promise<string[]> => (await statusEvents(world.bus)).map(({ type }) => type).sort();
    // Whether it fails is judged by attempts that are written.
    await eventually(async () => (await types()).includes("app.failing"));
    expect(await types()).toEqual(["app.failing", "circuit.opened", "integration.broken"]);
  });
});

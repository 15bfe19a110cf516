/** What was damaged, or put there by another program, is shown or left out by itself: it never fails a list. */
import fc from "fast-check";
import { Redis } from "ioredis";
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { deadLetter } from "../../src/api/schemas/dead-letters.ts";
import { webhookRequest } from "../../src/api/schemas/request-log.ts";
import { createDeadLetters, type DeadLetters } from "../../src/dead-letters/dead-letters.ts";
import { createOwnDeadLetters } from "../../src/dead-letters/own-dead-letters.ts";
import { createReplay, type ReplayDeadLetters } from "../../src/dead-letters/replay.ts";
import { createFindInStreams } from "../../src/explain/find-in-streams.ts";
import { createDeliveryStreams, type DeliveryStreamWriter } from "../../src/jetstream/delivery-streams.ts";
import { createPipelinedPublish } from "../../src/jetstream/pipelined-publish.ts";
import { createStatusHistory } from "../../src/jetstream/status-history.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects, type Subjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import { circuitChanged } from "../../src/model/status-event.ts";
import { createDeliveryLookup } from "../../src/storage/delivery-lookup.ts";
import { createHealthStore } from "../../src/storage/health-store.ts";
import { keys } from "../../src/storage/keys.ts";
import { logRow } from "../../src/storage/log-row.ts";
import { connectRedis, type RedisClient } from "../../src/storage/redis.ts";
import { createRequestLogQuery } from "../../src/storage/request-log-query.ts";
import { createStatsQuery } from "../../src/storage/stats-query.ts";
import { createTracing } from "../../src/telemetry/tracing.ts";
import { aDelivery, anAttempt, anEvent, LIFETIMES, UUID } from "../support/builders.ts";
import { cases, hostileJson, mutated } from "../support/fuzz.ts";
import { replayAll, storeUnorderedAgain } from "../support/replay-all.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let nats: Server;
let redisServer: Server;
let connection: NatsConnection;
let redis: RedisClient;
let look: Redis;
let prefixes = 0;

beforeAll(async () => {
  [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
  connection = await connect({ servers: nats.url });
  redis = await connectRedis({ url: redisServer.url, startupTimeoutMs: 10_000 }, systemClock, silentLogger);
  look = new Redis(redisServer.url, { keyPrefix: "posthorn:" });
});
afterAll(async () => {
  await connection.close();
  redis.disconnect();
  look.disconnect();
  await Promise.all([nats.stop(), redisServer.stop()]);
});

interface World {
  readonly names: Subjects;
  readonly streams: DeliveryStreamWriter;
  readonly deadLetters: DeadLetters;
  readonly replay: ReplayDeadLetters;
  publish(subject: string, body: string | Uint8Array): Promise<number>;
}

async function freshWorld(): Promise<World> {
  const names = createSubjects(`damaged-${++prefixes}`);
  const manager = await connection.jetstreamManager();
  const jetStream = connection.jetstream();
  await ensureTopology(manager, names, 1);
  const streams = createDeliveryStreams({
    ...{ publish: createPipelinedPublish(connection, systemClock), names, clock: systemClock, logger: silentLogger },
    ...{ isUsable: () => true, maxPayloadBytes: () => 1_000_000, onStored: () => {}, onDeadLetter: () => {} },
  });
  const deadLetters = createDeadLetters({ connection, manager, names, appCreatedAt: () => null, onRemoved() {} });
  const storeAgain = storeUnorderedAgain(streams);
  const replay = createReplay({ deadLetters, storeAgain, streams, names, match: () => [], tracing: createTracing(null) });
  return { names, streams, deadLetters, replay, publish: async (subject, body) => (await jetStream.publish(subject, body)).seq };
}

/** A stored text with some of it changed, another value, or bytes of any kind. */
const garbage = (original: string): fc.Arbitrary<string | Uint8Array> =>
  fc.oneof(
    mutated(fc.constant(original)),
    hostileJson,
    fc.uint8Array({ maxLength: 3_000 }),
    fc
      .dictionary(fc.constantFrom(...Object.keys(JSON.parse(original) as object)), fc.jsonValue())
      .map((members) => JSON.stringify({ ...(JSON.parse(original) as object), ...members })),
  );

const A_DEAD_LETTER = JSON.stringify({
  ...{ reason: "exhausted", error: null, dead_lettered_at: "2026-01-05T10:11:12.345Z", delivery_id: "d-1", app: "acme" },
  ...{ installation_uuid: UUID, attempts_made: 1, attempts: [], replay: null, delay_ms: 0, due_at: null },
  event: { id: "e-1", resource: "a", action: "b", organization_id: "42", occurred_at: "2026-01-05T10:11:12.345Z", data: {} },
});

test("one dead letter that can't be read is shown as such, with the beginning of its bytes, and can be removed", async () => {
  const { names, streams, deadLetters, replay, publish } = await freshWorld();
  await streams.deadLetter(aDelivery({ id: "d-1", app: "acme" }, anEvent({ id: "e-1" })), "exhausted", "no", { stream: "X", sequence: 1 });
  await publish(names.deadLetter("acme"), `not JSON ${"é".repeat(2_000)}`);
  await publish(names.deadLetter("acme"), Uint8Array.of(0xff, 0x00));
  for (const page of [await deadLetters.list({ app: "acme" }, 0, 10), await deadLetters.listNewest({ app: "acme" }, null, 10)]) {
    const bySequence = page.items.toSorted((a, b) => a.sequence - b.sequence).map(({ json }) => JSON.parse(json) as object);
    expect(bySequence).toMatchObject([
      { reason: "exhausted", delivery_id: "d-1" },
      {
        ...{ reason: "unreadable", error: "the stored message is not JSON", app: "acme", subject: names.deadLetter("acme") },
        ...{ body_cut: true, body_bytes: 4_009, body: `not JSON ${"é".repeat(507)}` },
      },
      { reason: "unreadable", body_base64: "/wA=", dead_lettered_at: expect.stringMatching(/^\d{4}-/) },
    ]);
  }
  await expect(replay.one(2)).rejects.toMatchObject({ code: "CONFLICT", message: expect.stringContaining("can't be read") });
  expect(await replayAll(replay, { app: "acme" })).toEqual({ matched: 3, replayed: 1, skipped: 2 });
  await deadLetters.delete(2);
  await expect(deadLetters.get(2)).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await deadLetters.list({ app: null }, 0, 10)).items.map(({ sequence }) => sequence)).toEqual([3]);
});

test("whatever is stored as dead letters, all are listed in the documented form, looked up, found and replayed or left", async () => {
  const { names, deadLetters, replay, publish } = await freshWorld();
  const manager = await connection.jetstreamManager();
  const search = createFindInStreams(connection, manager, names);
  await fc.assert(
    fc.asyncProperty(fc.array(garbage(A_DEAD_LETTER), { minLength: 1, maxLength: 5 }), async (bodies) => {
      await manager.streams.purge(names.streams.deadLetters);
      const stored: number[] = [];
      for (const [at, body] of bodies.entries()) stored.push(await publish(names.deadLetter(at % 2 === 0 ? "acme" : "_invalid"), body));
      const { items } = await deadLetters.list({ app: null }, 0, 100);
      expect(items.map(({ sequence }) => sequence)).toEqual(stored);
      expect((await deadLetters.listNewest({ app: null }, null, 100)).items.map(({ sequence }) => sequence)).toEqual(stored.toReversed());
      for (const { sequence, json } of items) {
        deadLetter.parse({ sequence, ...(JSON.parse(json) as object) });
        expect((await deadLetters.get(sequence)).json).toBe(json);
      }
      await deadLetters.list({ app: null, installationUuid: UUID, eventType: "a.b", start: 0, end: Date.now() }, 0, 100);
      await search.deadLettersOf("e-1");
      await search.search(new Set(["d-1"]), null);
      await search.remainingOf(1);
      const { matched, replayed, skipped } = await replayAll(replay, { app: null });
      expect([matched, replayed + skipped]).toEqual([bodies.length, bodies.length]);
    }),
    cases(0.2),
  );
});

test("whatever is parked or waits for a retry, a search finds the rest", async () => {
  const { names, streams, publish } = await freshWorld();
  const search = createFindInStreams(connection, await connection.jetstreamManager(), names);
  const delivery = aDelivery({ id: "d-1", app: "acme" }, anEvent({ id: "e-1" }));
  await fc.assert(
    fc.asyncProperty(garbage(A_DEAD_LETTER), async (body) => {
      await publish(names.parked("acme", null), body);
      await publish(names.fanOut, body);
      await search.search(new Set(["d-2"]), "acme");
      await search.remainingOf(7);
    }),
    cases(0.1),
  );
  await streams.park(delivery, { app: "acme", installationUuid: null }, null, { stream: "X", sequence: 1 });
  expect((await search.search(new Set(["d-1"]), "acme"))[0]?.delivery.id).toBe("d-1");
});

test("whatever is stored as a status event, the others are listed", async () => {
  const { names, publish } = await freshWorld();
  const history = createStatusHistory(connection, await connection.jetstreamManager(), names);
  const event = circuitChanged({ id: "acme:circuit:1", time: "2026-01-05T10:00:00.000Z", prefix: names.prefix }, "opened", {
    ...{ app: "acme", previous_state: "closed", state: "open", reason: null, open_until: null, dashboard_url: null },
  });
  await fc.assert(
    fc.asyncProperty(garbage(JSON.stringify(event)), async (body) => {
      await publish(`${names.prefix}.status.circuit.opened.acme`, body);
    }),
    cases(0.3),
  );
  await publish(names.statusOf(event), JSON.stringify(event));
  const { items } = await history.list({ app: "acme", topics: ["circuit"] }, null, 1_000);
  expect(items[0]?.event).toEqual(event);
  for (const { event: shown } of items) expect([typeof shown.data.app, Date.parse(shown.time)]).toEqual(["string", expect.any(Number)]);
});

test("whatever is in a list of the request log, its other rows are shown in the documented form", async () => {
  const good = logRow(anAttempt());
  const query = createRequestLogQuery({ redis, listSize: 100, organizationOf: () => undefined, appCreatedAt: () => null });
  const all = { app: "acme", eventType: null, errorsOnly: false, organizationId: null, start: null, end: null };
  await fc.assert(
    fc.asyncProperty(garbage(good), async (row) => {
      await look.flushall();
      await look.zadd(keys.eventTypes("acme"), 1, "issue.created", 2, "wrong.type");
      await look.set(keys.requests("acme", "wrong.type"), "no list");
      await look.rpush(keys.requests("acme", "issue.created"), good, Buffer.from(row), good);
      const { rows } = await query(all);
      expect(rows.length).toBeGreaterThanOrEqual(2);
      for (const found of rows) webhookRequest.loose().parse(found);
    }),
    cases(),
  );
});

test("damaged rows and lists of another type are reported once per key, by the key's full name", async () => {
  const reports: string[] = [];
  const report = (problem: string): void => void reports.push(problem);
  const query = createRequestLogQuery({
    redis,
    listSize: 100,
    organizationOf: () => undefined,
    appCreatedAt: () => null,
    onUnreadable: report,
  });
  const all = { app: "acme", eventType: null, errorsOnly: false, organizationId: null, start: null, end: null };
  await look.flushall();
  await look.zadd(keys.eventTypes("acme"), 1, "issue.created", 2, "wrong.type");
  await look.set(keys.requests("acme", "wrong.type"), "no list");
  await look.rpush(keys.requests("acme", "issue.created"), logRow(anAttempt()), "{", "damaged");
  for (let times = 0; times < 2; times++) expect((await query(all)).rows).toHaveLength(1);
  expect(reports.toSorted()).toEqual([
    "Redis key posthorn:request:{acme}:issue.created has 2 damaged rows of 3; they are left out",
    expect.stringContaining("Redis key posthorn:request:{acme}:wrong.type holds another type of value"),
  ]);
});

test("a note of when an app was made that is of another type hides nothing of what came since, and nothing of other apps", async () => {
  await look.flushall();
  await look.sadd(keys.appCreated("acme"), "x");
  await look.hset(keys.stats("acme", "2026-01-05"), "12 delivered", "3");
  await look.hset(keys.stats("other", "2026-01-05"), "12 delivered", "4");
  const noon = Date.UTC(2026, 0, 5, 12);
  const volumes = await createStatsQuery(redis, () => 1).ofHours(["acme", "other"], [noon]);
  expect(volumes).toEqual([[{ attempts: 3, delivered: 3 }], [{ attempts: 4, delivered: 4 }]]);
});

test("a list of a stream that is missing is no empty list", async () => {
  const { names, deadLetters, replay } = await freshWorld();
  const manager = await connection.jetstreamManager();
  const history = createStatusHistory(connection, manager, names);
  for (const stream of [names.streams.deadLetters, names.streams.status]) await manager.streams.delete(stream);
  for (const call of [
    () => deadLetters.list({ app: null }, 0, 10),
    () => deadLetters.listNewest({ app: null }, null, 10),
    () => deadLetters.get(1),
    () => replayAll(replay, { app: null }),
    () => history.list({ app: null, topics: ["circuit"] }, null, 10),
  ])
    await expect(call()).rejects.toMatchObject({ code: "NATS_UNREACHABLE", message: expect.stringContaining("is missing") });
});

test("an app's own dead letters are counted, not those of an earlier one of its slug, whenever they came", async () => {
  const { names, streams, deadLetters, publish } = await freshWorld();
  const manager = await connection.jetstreamManager();
  const createdAt = Date.now();
  const isOwn: DeadLetters["isOwn"] = ({ content }) => content["app_created_at"] === new Date(createdAt).toISOString();
  const count = createOwnDeadLetters({ connection, manager, names, isOwn, appCreatedAt: () => createdAt });
  const store = (sequence: number, appCreatedAt: number) =>
    streams.deadLetter(aDelivery({ id: `d-${sequence}`, app: "acme", appCreatedAt }, anEvent()), "exhausted", "no", {
      stream: "X",
      sequence,
    });
  expect(await count("acme")).toBe(0);
  await store(1, 1);
  await store(2, createdAt);
  expect(await count("acme")).toBe(1);
  await store(3, 1);
  await store(4, createdAt);
  expect(await count("acme")).toBe(2);
  await deadLetters.delete(3);
  await deadLetters.delete(4);
  expect(await count("acme")).toBe(1);
  await publish(names.deadLetter("other"), "{");
  expect(await count("acme")).toBe(1);
});

test("whatever is in Redis under the keys of a delivery, an event, stats and health costs itself only", async () => {
  const lookup = createDeliveryLookup({ redis, knownApps: () => ["acme"], now: Date.now }, LIFETIMES);
  const stats = createStatsQuery(redis, () => null);
  const health = createHealthStore(redis, () => Date.UTC(2026, 0, 5));
  const words = fc.array(fc.oneof(fc.constantFrom("delivered", "pending", "-", "retries", "7", "acme", UUID, "NaN"), fc.string()), {
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(
      words.map((all) => all.join(" ")),
      hostileJson,
      fc.boolean(),
      async (text, json, isWrongType) => {
        await look.flushall();
        const put = (key: string, value: string) => (isWrongType ? look.sadd(key, value) : look.set(key, value));
        const putField = (key: string, field: string, value: string) => (isWrongType ? look.set(key, value) : look.hset(key, field, value));
        await put(keys.location("d-1"), text);
        await put(keys.delivery("acme", "d-1"), text);
        await putField(keys.addressees("e-1"), UUID, text);
        await putField(keys.stats("acme", "2026-01-05"), text, json);
        await putField(keys.stats("acme", "2026-01-05"), "12 delivered", text);
        await putField(keys.health(UUID, "2026-01-05"), "success", text);
        await put(keys.eventTypes("acme"), text);
        for (const noted of await lookup.ofEvent("e-1")) expect(Number.isNaN(noted.eventSequence)).toBe(false);
        for (const history of await lookup.find(["d-1"])) expect(Number.isNaN(history?.location?.sequence)).toBe(false);
        const { total } = await stats.ofApp("acme", Date.UTC(2026, 0, 5), 3_600_000, 24);
        for (const count of Object.values(total.outcomes)) expect(Number.isSafeInteger(count)).toBe(true);
        for (const [volume] of await stats.ofHours(["acme"], [Date.UTC(2026, 0, 5, 12)]))
          expect(Number.isSafeInteger(volume?.attempts)).toBe(true);
        for (const { success } of await health.read(UUID, ["2026-01-05"])) expect(Number.isSafeInteger(success)).toBe(true);
      },
    ),
    cases(),
  );
});

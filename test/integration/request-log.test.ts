import { Command } from "ioredis";
import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { createWriteBatch } from "../../src/storage/batch-writer.ts";
import { createDeliveryLookup } from "../../src/storage/delivery-lookup.ts";
import { createHealthStore } from "../../src/storage/health-store.ts";
import { packTexts } from "../../src/storage/pack-texts.ts";
import { createRequestLog, type RequestLog, type RequestLogOptions } from "../../src/storage/request-log.ts";
import { createRequestLogQuery } from "../../src/storage/request-log-query.ts";
import { aDelivery, anApp, anAttempt, anEvent, anInstallation, deliveryIdOf, LIFETIMES, UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { redisOfFile } from "../support/redis-of-file.ts";
import { silentLogger } from "../support/silent-logger.ts";

const { server, redis, look } = await redisOfFile({ arguments: ["--appendfsync", "always"] });
let failures: string[];

beforeEach(async () => {
  await look.flushall();
  failures = [];
});

function createLog(options: Partial<RequestLogOptions> = {}): RequestLog {
  return createRequestLog(
    { redis, clock: systemClock, logger: silentLogger, onFailuresWritten: (uuids) => void failures.push(...uuids) },
    { size: 100, listTtlMs: 30 * 86_400_000, ...LIFETIMES, bufferRows: 10_000, recoveredAt: () => 0, ...options },
  );
}

const eventNumber = (id: number, type = "issue.created") => {
  const [resource = "", action = ""] = type.split(".");
  return aDelivery({}, anEvent({ id: `evt-${id}`, resource, action }));
};
const ids = (rows: readonly string[]): string[] => rows.map((row) => (JSON.parse(row) as { event_id: string }).event_id);
const requests = (): Promise<string[]> => look.lrange("posthorn:request:{acme}:issue.created", 0, -1);
const errors = (): Promise<string[]> => look.lrange("posthorn:error:{acme}:issue.created", 0, -1);

test("a command has no arguments any more once it is answered; one that failed keeps them", async () => {
  const answered = new Command("set", ["of-a-command", "x"]);
  const failed = new Command("incrby", ["of-a-command", "y"]);
  expect([answered.args.length, failed.args.length]).toEqual([2, 2]);
  await redis.sendCommand(answered);
  await expect(redis.sendCommand(failed)).rejects.toThrow("not an integer");
  expect([answered.args, failed.args.length]).toEqual([[], 2]);
});

describe("the lists", () => {
  test("hold the last 100, newest first, in one batch or in many", async () => {
    const log = createLog();
    for (let id = 0; id < 250; id++) {
      log.record(anAttempt({ delivery: eventNumber(id) }));
      if (id % 60 === 59) await log.flush(5_000);
    }
    await log.flush(5_000);
    expect(ids(await requests())).toEqual(Array.from({ length: 100 }, (_, at) => `evt-${249 - at}`));
    expect(await errors()).toEqual([]);
  });

  test("have an error in both", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    log.record(anAttempt({ delivery: eventNumber(2) }));
    await log.flush(5_000);
    expect([ids(await requests()), ids(await errors())]).toEqual([["evt-2", "evt-1"], ["evt-1"]]);
  });

  test("are of the size of the setting and live as long after their last row", async () => {
    const log = createLog({ size: 3, listTtlMs: 60_000 });
    for (let id = 0; id < 5; id++) log.record(anAttempt({ delivery: eventNumber(id) }));
    await log.flush(5_000);
    expect(ids(await requests())).toEqual(["evt-4", "evt-3", "evt-2"]);
    const ttl = await look.pttl("posthorn:request:{acme}:issue.created");
    expect(ttl).toBeGreaterThan(50_000);
    expect(ttl).toBeLessThanOrEqual(60_000);
  });

  test("leave no key without an end", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    log.record(anAttempt({ delivery: eventNumber(2) }));
    await log.flush(5_000);
    const keys = await look.keys("*");
    const ttls = await Promise.all(keys.map((key) => look.ttl(key)));
    expect(keys.length).toBeGreaterThan(3);
    expect(keys.filter((_key, at) => (ttls[at] ?? -1) < 0)).toEqual([]);
  });

  test("are kept by app and event type", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1, "issue.created") }));
    log.record(anAttempt({ delivery: eventNumber(2, "comment.created") }));
    log.record(anAttempt({ delivery: eventNumber(3), app: anApp({ slug: "other" }) }));
    await log.flush(5_000);
    expect((await look.keys("posthorn:request:*")).sort()).toEqual([
      "posthorn:request:{acme}:comment.created",
      "posthorn:request:{acme}:issue.created",
      "posthorn:request:{other}:issue.created",
    ]);
  });

  test("are written in one round trip a batch", async () => {
    const log = createLog();
    await look.config("RESETSTAT");
    for (let id = 0; id < 500; id++) log.record(anAttempt({ delivery: eventNumber(id), outcome: id % 2 === 0 ? "failed" : "delivered" }));
    await log.flush(5_000);
    const stats = await look.info("commandstats");
    const calls = [...stats.matchAll(/cmdstat_(evalsha|eval):calls=(\d+)/g)].reduce((sum, match) => sum + Number(match[2]), 0);
    // The first may be told that the script is not known yet.
    expect(calls).toBeLessThanOrEqual(2);
  });

  test("texts of any length and alphabet arrive as they are", async () => {
    const texts = [
      "",
      "a",
      "ü".repeat(10),
      "é".repeat(11),
      "x".repeat(31),
      "x".repeat(32),
      "€".repeat(70_000),
      "\u0000",
      "😀",
      '"\\\n',
      "-0",
      "1e3",
    ];
    const all = Array.from({ length: 2_000 }, (_, at) => texts[at % texts.length] ?? "");
    const reply = await look.eval("return cmsgpack.unpack(ARGV[1])", 0, packTexts([...all, 0, 1_764_450_000_000]));
    expect(reply).toEqual([...all, "0", "1764450000000"]);
  });

  test("a key of another type costs only its own rows", async () => {
    await look.set("posthorn:request:{acme}:issue.created", "not a list");
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    expect(await log.flush(5_000)).toBe(0);
    expect(ids(await errors())).toEqual(["evt-1"]);
  });
});

describe("health", () => {
  const health = () => createHealthStore(redis, () => Date.UTC(2026, 0, 6));
  const at = (endedAt: number, members: Parameters<typeof anAttempt>[0] = {}) =>
    anAttempt({ endedAt, startedAt: endedAt - 1_000, ...members });
  const midnight = Date.UTC(2026, 0, 6);

  test("counts each attempt on the UTC day it ended, and what does not count not", async () => {
    const log = createLog();
    log.record(at(midnight - 1));
    log.record(at(midnight, { outcome: "failed" }));
    log.record(at(midnight, { outcome: "timed_out", responseCode: 0 }));
    log.record(at(midnight, { outcome: "gone", responseCode: 410 }));
    log.record(at(midnight, { outcome: "rejected", responseCode: 404 }));
    log.record(at(midnight, { outcome: "failed", delivery: aDelivery({ counted: false }) }));
    await log.flush(5_000);
    expect(await health().read(UUID, ["2026-01-05", "2026-01-06", "2026-01-07"])).toEqual([
      { day: "2026-01-05", success: 1, error: 0, timeout: 0, fatal: 0 },
      { day: "2026-01-06", success: 0, error: 2, timeout: 1, fatal: 1 },
      { day: "2026-01-07", success: 0, error: 0, timeout: 0, fatal: 0 },
    ]);
    expect(await look.hgetall(`posthorn:health:{${UUID}}:2026-01-06`)).toEqual({ error: "2", timeout: "1", fatal: "1" });
    expect(await look.ttl(`posthorn:health:{${UUID}}:2026-01-06`)).toBeGreaterThan(29 * 86_400);
    expect(new Set(failures)).toEqual(new Set([UUID]));
  });

  test("does not count what ended before the integration was recovered, though it was written later", async () => {
    const log = createLog({ recoveredAt: (uuid) => (uuid === UUID ? midnight : 0) });
    log.record(at(midnight - 1, { outcome: "gone", responseCode: 410 }));
    log.record(at(midnight, { outcome: "failed" }));
    await log.flush(5_000);
    expect(await health().read(UUID, ["2026-01-05", "2026-01-06"])).toMatchObject([{ fatal: 0 }, { error: 1 }]);
    expect(await requests()).toHaveLength(2);
  });

  test("is cleared as a whole", async () => {
    const log = createLog();
    log.record(at(midnight - 1));
    log.record(at(midnight));
    await log.flush(5_000);
    await health().clear(UUID);
    expect(await look.keys("posthorn:health:*")).toEqual([]);
  });
});

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const lookup = () => createDeliveryLookup({ redis, knownApps: () => ["other", "acme"], now: Date.now }, LIFETIMES);

describe("marks", () => {
  test("say what was delivered, at once and after they were written", async () => {
    const log = createLog();
    const delivery = eventNumber(1);
    const { id } = delivery;
    expect(await log.findDelivered(delivery)).toBeNull();
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    expect(await log.findDelivered(delivery)).toBeNull();
    log.record(anAttempt({ delivery: eventNumber(1), requestHeaders: { traceparent: TRACEPARENT } }));
    expect(await log.findDelivered(delivery)).toMatchObject({ eventSequence: 7 });
    await log.flush(5_000);
    expect(await createLog().findDelivered({ ...delivery, eventSequence: 8 })).toMatchObject({ eventSequence: 7 });
    const { endedAt } = anAttempt();
    const last = { attempt: 1, endedAt, responseCode: 200, traceparent: TRACEPARENT };
    expect(await lookup().find([id])).toEqual([
      { runs: [{ replay: null, delivered: true, last }], location: null, skips: [], eventSequence: 7, app: "acme", installationUuid: UUID },
    ]);
    const [root = ""] = await look.keys("posthorn:dedup:{acme}:*");
    const ttl = await look.ttl(root);
    expect(ttl).toBeGreaterThan(8 * 86_400);
    expect(ttl).toBeLessThanOrEqual(8.5 * 86_400);
  });

  test("stay when a late failure of a duplicate comes", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1) }));
    await log.flush(5_000);
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    await log.flush(5_000);
    expect(await createLog().findDelivered(eventNumber(1))).not.toBeNull();
  });

  test("of an event that is named by its place are of no message that was stored there later", async () => {
    const log = createLog();
    const { endedAt } = anAttempt();
    const at = (publishedAt: number, id = "APP_PLATFORM_EVENTS:7") => aDelivery({ eventSequence: 7 }, anEvent({ id, publishedAt }));
    for (const id of ["APP_PLATFORM_EVENTS:7", "evt-1"]) log.record(anAttempt({ delivery: at(endedAt - 5, id) }));
    for (const found of [log, createLog()]) {
      expect(await found.findDelivered(at(endedAt - 5))).toMatchObject({ eventSequence: 7 });
      expect(await found.findDelivered(at(endedAt + 1))).toBeNull();
      expect(await found.findDelivered(at(endedAt + 1, "evt-1"))).toMatchObject({ eventSequence: 7 });
      await log.flush(5_000);
    }
  });

  test("of a replay are its own", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1) }));
    await log.flush(5_000);
    expect(await log.findDelivered({ ...eventNumber(1), replay: "r-1" })).toBeNull();
  });
});

describe("notes", () => {
  test("lead from an event's id to its place in the stream and to its deliveries", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(1) }));
    log.stored(eventNumber(2), { stream: "parked", sequence: 12 });
    log.record(anAttempt({ delivery: aDelivery({ eventSequence: 9 }, anEvent({ id: "APP_PLATFORM_EVENTS:9" })) }));
    log.record(anAttempt({ delivery: aDelivery({ eventSequence: null }, anEvent({ id: "test-1" })) }));
    await log.flush(5_000);
    const addressee = (id: string) => ({ app: "acme", installationUuid: UUID, deliveryId: deliveryIdOf(id, UUID) });
    const found = await Promise.all(["evt-1", "evt-2", "evt-3", "APP_PLATFORM_EVENTS:9", "test-1"].map((id) => lookup().ofEvent(id)));
    expect(found).toEqual([
      [{ ...addressee("evt-1"), eventSequence: 7 }],
      [{ ...addressee("evt-2"), eventSequence: 7 }],
      [],
      [{ ...addressee("APP_PLATFORM_EVENTS:9"), eventSequence: 9 }],
      [{ ...addressee("test-1"), eventSequence: null }],
    ]);
    for (const root of await look.keys("posthorn:event-deliveries:*")) expect(await look.ttl(root)).toBeGreaterThan(8 * 86_400);
  });

  test("lead from a delivery's id to where it was stored last", async () => {
    const log = createLog();
    const [parked, retried] = [eventNumber(1), eventNumber(2)];
    log.stored(parked, { stream: "retries", sequence: 11 });
    log.stored(parked, { stream: "parked", sequence: 12 });
    log.stored(retried, { stream: "retries", sequence: 13 });
    log.record(anAttempt({ delivery: retried }));
    await log.flush(5_000);
    const known = { eventSequence: 7, app: "acme", installationUuid: UUID };
    expect(await lookup().find([parked.id, "dlv_unknown", retried.id])).toMatchObject([
      { runs: [], location: { stream: "parked", sequence: 12 }, ...known },
      null,
      { runs: [{ delivered: true }], location: { stream: "retries", sequence: 13 }, ...known },
    ]);
  });

  test("lead to the resend or replay that was stored last", async () => {
    const log = createLog();
    const first = eventNumber(1);
    const again = { ...first, replay: "r-2" };
    log.record(anAttempt({ delivery: first, outcome: "failed", responseCode: 500 }));
    log.stored({ ...first, replay: "r-1" }, { stream: "retries", sequence: 11 });
    log.stored(again, { stream: "retries", sequence: 12 });
    await log.flush(5_000);
    expect((await lookup().find([first.id]))[0]?.runs).toMatchObject([{ replay: null, delivered: false, last: { responseCode: 500 } }]);
    log.record(anAttempt({ delivery: again }));
    await log.flush(5_000);
    expect((await lookup().find([first.id]))[0]?.runs).toMatchObject([
      // A delivery that a resend has delivered is delivered.
      { replay: null, delivered: true },
      { replay: "r-2", delivered: true, last: { attempt: 1, responseCode: 200 } },
    ]);
  });

  test("of a mark that an earlier version wrote are what it has", async () => {
    await look.set("posthorn:delivery:{acme}:dlv_old", `delivered 7 acme ${UUID}`);
    expect((await lookup().find(["dlv_old"], ["acme"]))[0]?.runs).toEqual([{ replay: null, delivered: true, last: null }]);
  });

  test("of an event for very many are as many as somebody reads", async () => {
    const log = createLog();
    for (let n = 0; n < 1_200; n++)
      log.stored(aDelivery({ id: `dlv_${n.toString(16).padStart(32, "0")}` }), { stream: "retries", sequence: n });
    await log.flush(5_000);
    expect(await lookup().ofEvent(anEvent().id)).toHaveLength(8 * 128);
  });

  test("are kept while Redis is away, as many as the setting says", async () => {
    const log = createLog({ bufferRows: 4 });
    await server.kill();
    for (let id = 0; id < 9; id++) log.stored(eventNumber(id), { stream: "parked", sequence: id });
    await expect(lookup().ofEvent("evt-0")).rejects.toMatchObject({ code: "REDIS_UNREACHABLE" });
    await server.restart();
    await eventually(async () => (await lookup().ofEvent("evt-0")).length === 1);
    const roots = await look.keys("posthorn:event-deliveries:*");
    expect((await Promise.all(roots.map((root) => look.hlen(root)))).reduce((sum, size) => sum + size, 0)).toBe(2);
  });
});

describe("when Redis is away", () => {
  test("attempts wait in memory and are written once when it is back", async () => {
    const log = createLog();
    await server.kill();
    for (let id = 0; id < 50; id++) log.record(anAttempt({ delivery: eventNumber(id), outcome: "failed" }));
    expect(await log.findDelivered(eventNumber(1))).toBeNull();
    expect(log.buffered()).toBe(50);
    await server.restart();
    await eventually(() => log.buffered() === 0);
    expect(ids(await requests())).toEqual(Array.from({ length: 50 }, (_, at) => `evt-${49 - at}`));
    expect(await look.hgetall(`posthorn:health:{${UUID}}:2026-01-05`)).toEqual({ error: "50" });
  });

  test("a batch whose answer was lost is not written twice", async () => {
    const log = createLog();
    log.record(anAttempt({ delivery: eventNumber(0) }));
    await log.flush(5_000);
    // The script runs and the connection goes before its answer comes.
    await look.call("CLIENT", "PAUSE", "60000", "WRITE");
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed" }));
    await eventually(async () => /blocked_clients:[1-9]/.test(String(await look.info("clients"))));
    const clients = String(await look.call("CLIENT", "LIST"));
    const id = /id=(\d+)[^\n]*name=posthorn /.exec(clients)?.[1] ?? "";
    await look.call("CLIENT", "KILL", "ID", id);
    await look.call("CLIENT", "UNPAUSE");
    await eventually(() => log.buffered() === 0);
    expect(ids(await requests())).toEqual(["evt-1", "evt-0"]);
    expect((await look.hgetall(`posthorn:health:{${UUID}}:2026-01-05`))["error"]).toBe("1");
  });

  test("a batch that Redis gets to after its successor is not written again", async () => {
    const write = createWriteBatch(redis, { size: 100, listTtlMs: 60_000, ...LIFETIMES, recoveredAt: () => 0, now: Date.now });
    const noted = (key: string) => ({ entries: [], notes: [{ key, field: null, value: "1" }] });
    await write("writer", 9, noted("addressees:one"));
    await write("writer", 10, noted("addressees:two"));
    await write("writer", 9, noted("addressees:late"));
    await write("another", 9, noted("addressees:of-another"));
    expect(await look.exists("posthorn:addressees:one", "posthorn:addressees:two", "posthorn:addressees:of-another")).toBe(3);
    expect(await look.exists("posthorn:addressees:late")).toBe(0);
  });

  test("no more is kept than the setting says, the oldest is dropped and counted", async () => {
    const log = createLog({ bufferRows: 10 });
    await server.kill();
    for (let id = 0; id < 25; id++) log.record(anAttempt({ delivery: eventNumber(id) }));
    expect([log.buffered(), log.dropped()]).toEqual([10, 15]);
    await server.restart();
    await eventually(() => log.buffered() === 0);
    expect(ids(await requests())).toEqual(Array.from({ length: 10 }, (_, at) => `evt-${24 - at}`));
  });

  test("a flush gives up at its deadline and says what is left", async () => {
    const log = createLog();
    await server.kill();
    log.record(anAttempt());
    expect(await log.flush(100)).toBe(1);
    await server.restart();
    await eventually(() => log.buffered() === 0);
  });

  test("a Redis that refuses writes is away, too", async () => {
    const log = createLog();
    await look.config("SET", "maxmemory", "1");
    log.record(anAttempt({ delivery: eventNumber(1) }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(log.buffered()).toBe(1);
    await look.config("SET", "maxmemory", "0");
    await eventually(() => log.buffered() === 0);
    expect(ids(await requests())).toEqual(["evt-1"]);
  });
});

describe("a query", () => {
  const all = { app: "acme", eventType: null, errorsOnly: false, organizationId: null, start: null, end: null };
  const ask = (filter: object, listSize = 100) =>
    createRequestLogQuery({ redis, listSize, organizationOf: () => "9", appCreatedAt: () => null })({ ...all, ...filter });
  const query = async (filter: object) => (await ask(filter)).rows.map(({ event_id }) => event_id);

  test("finds rows by type, errors, organization and time, newest first over all types", async () => {
    const log = createLog();
    const second = (at: number) => ({ startedAt: Date.UTC(2026, 0, 5, 12, 0, at), endedAt: Date.UTC(2026, 0, 5, 12, 0, at) });
    log.record(anAttempt({ delivery: eventNumber(1), ...second(1) }));
    log.record(anAttempt({ delivery: eventNumber(2, "comment.created"), outcome: "failed", ...second(2) }));
    log.record(anAttempt({ delivery: eventNumber(3), installation: anInstallation({ organizationId: "43" }), ...second(3) }));
    log.record(anAttempt({ delivery: eventNumber(4), app: anApp({ status: "internal" }), ...second(4) }));
    await log.flush(5_000);
    expect(await query({})).toEqual(["evt-4", "evt-3", "evt-2", "evt-1"]);
    expect(await query({ eventType: "comment.created" })).toEqual(["evt-2"]);
    expect(await query({ eventType: "nothing.here" })).toEqual([]);
    expect(await query({ errorsOnly: true })).toEqual(["evt-2"]);
    expect(await query({ organizationId: "43" })).toEqual(["evt-3"]);
    expect(await query({ organizationId: "9" })).toEqual(["evt-4"]);
    expect(await query({ start: second(2).startedAt, end: second(4).startedAt })).toEqual(["evt-3", "evt-2"]);
  });

  test("finds rows by event, delivery, installation, outcome and code", async () => {
    const log = createLog();
    const other = "77e6d5c4-b3a2-4190-8f7e-6d5c4b3a2918";
    const at = (second: number) => ({ startedAt: Date.UTC(2026, 0, 5, 12, 0, second), endedAt: Date.UTC(2026, 0, 5, 12, 0, second) });
    log.record(anAttempt({ delivery: eventNumber(1), outcome: "failed", responseCode: 503, ...at(1) }));
    log.record(anAttempt({ delivery: eventNumber(2), outcome: "rejected", responseCode: 404, ...at(2) }));
    log.record(anAttempt({ delivery: eventNumber(3), installation: anInstallation({ uuid: other }), ...at(3) }));
    log.record(anAttempt({ delivery: aDelivery({ id: deliveryIdOf("x", other) }, anEvent({ id: "evt-4" })), responseCode: 204, ...at(4) }));
    await log.flush(5_000);
    expect(await query({ eventId: "evt-2" })).toEqual(["evt-2"]);
    expect(await query({ deliveryId: deliveryIdOf("x", other) })).toEqual(["evt-4"]);
    expect(await query({ installationUuid: other })).toEqual(["evt-3"]);
    expect(await query({ outcome: "rejected" })).toEqual(["evt-2"]);
    expect(await query({ outcome: "delivered" })).toEqual(["evt-4", "evt-3"]);
    expect(await query({ responseCode: 503 })).toEqual(["evt-1"]);
    expect(await query({ responseCode: 503, outcome: "delivered" })).toEqual([]);
  });

  test("finds a failed attempt that delivered ones have pushed out, and says how far back the log reaches", async () => {
    const log = createLog({ size: 3 });
    const second = (at: number) => ({ startedAt: Date.UTC(2026, 0, 5, 12, 0, at), endedAt: Date.UTC(2026, 0, 5, 12, 0, at) });
    log.record(anAttempt({ delivery: eventNumber(0), outcome: "failed", ...second(0) }));
    for (let id = 1; id <= 5; id++) log.record(anAttempt({ delivery: eventNumber(id), ...second(id) }));
    await log.flush(5_000);
    expect(await query({ eventId: "evt-0" })).toEqual(["evt-0"]);
    expect(await query({ installationUuid: UUID })).toEqual(["evt-5", "evt-4", "evt-3", "evt-0"]);
    expect(await query({ outcome: "failed" })).toEqual(["evt-0"]);
    expect([await ask({}, 3), await ask({ installationUuid: UUID }, 3)].map((found) => found.reachesBackTo)).toEqual([
      second(3).startedAt,
      second(3).startedAt,
    ]);
    expect((await ask({ errorsOnly: true }, 3)).reachesBackTo).toBeNull();
    expect((await ask({}, 4)).reachesBackTo).toBeNull();
  });

  test("fails when Redis is away, it is never empty for that", async () => {
    await server.kill();
    await expect(query({})).rejects.toMatchObject({ code: "REDIS_UNREACHABLE", retryable: true });
    await server.restart();
    await eventually(() => query({}).then(() => true));
  });
});

import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { OUTCOMES } from "../../src/model/outcome.ts";
import { createVolumes, lastHours } from "../../src/overview/volumes.ts";
import { createRequestLog } from "../../src/storage/request-log.ts";
import { createRequestLogQuery } from "../../src/storage/request-log-query.ts";
import { createStatsQuery } from "../../src/storage/stats-query.ts";
import { aDelivery, anApp, anAttempt, anEvent, anInstallation, LIFETIMES } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { redisOfFile } from "../support/redis-of-file.ts";
import { silentLogger } from "../support/silent-logger.ts";

const HOUR = 3_600_000;
const NOON = Date.UTC(2026, 0, 5, 12);

const { server, redis, look } = await redisOfFile();
const stats = () => createStatsQuery(redis, () => null);

beforeEach(async () => void (await look.flushall()));

let events = 0;
async function write(...attempts: Array<Parameters<typeof anAttempt>[0] & { at: number }>): Promise<void> {
  const log = createRequestLog(
    { redis, clock: systemClock, logger: silentLogger },
    { size: 100, listTtlMs: 30 * 86_400_000, ...LIFETIMES, bufferRows: 10_000, recoveredAt: () => 0 },
  );
  for (const { at, ...members } of attempts) {
    const delivery = aDelivery({}, anEvent({ id: `evt-${++events}` }));
    log.record(anAttempt({ delivery, startedAt: at, endedAt: at, ...members }));
  }
  expect(await log.flush(5_000)).toBe(0);
}

describe("an app that takes the slug of one that was removed", () => {
  const hour = Math.floor(Date.now() / HOUR) * HOUR - HOUR;
  const first = anApp({ createdAt: hour });
  const second = anApp({ createdAt: hour + 1 });
  const rowsOf = async (app: typeof first) => {
    const filter = { app: "acme", eventType: null, errorsOnly: false, organizationId: null, start: null, end: null };
    const appCreatedAt = () => app.createdAt;
    const { rows } = await createRequestLogQuery({ redis, listSize: 100, organizationOf: () => undefined, appCreatedAt })(filter);
    const { total, eventTypes } = await createStatsQuery(redis, () => app.createdAt).ofApp("acme", hour, HOUR, 2);
    const [hours] = await createStatsQuery(redis, () => app.createdAt).ofHours(["acme"], [hour]);
    return { rows: rows.length, delivered: total.outcomes.delivered, types: eventTypes.length, attempts: hours?.[0]?.attempts };
  };
  const nothing = { rows: 0, delivered: 0, types: 0, attempts: 0 };

  test("sees nothing of it, before its own first attempt and after", async () => {
    await write({ at: hour + 1, app: first }, { at: hour + 2, app: first });
    expect(await rowsOf(first)).toEqual({ rows: 2, delivered: 2, types: 1, attempts: 2 });
    expect(await rowsOf(second)).toEqual(nothing);
    await write({ at: hour + 3, app: second });
    expect(await rowsOf(second)).toEqual({ rows: 1, delivered: 1, types: 1, attempts: 1 });
  });

  test("sees nothing of its late attempts, in the same write or in one that comes after", async () => {
    await write({ at: hour + 1, app: first }, { at: hour + 3, app: second }, { at: hour + 4, app: first });
    await write({ at: hour + 5, app: first });
    expect(await rowsOf(second)).toEqual({ rows: 1, delivered: 1, types: 1, attempts: 1 });
    expect(await rowsOf(first)).toEqual(nothing);
    // The marks of both keep their deliveries from being made twice.
    const [root = ""] = await look.keys("posthorn:dedup:{acme}:*");
    expect(await look.hlen(root)).toBe(4);
  });

  test("keeps what an early version has written of it", async () => {
    await write({ at: hour + 1, app: anApp({ createdAt: null }) });
    await write({ at: hour + 2, app: first });
    expect((await rowsOf(first)).rows).toBe(2);
    await look.flushall();
    await write({ at: hour + 1, app: first });
    await look.del("posthorn:app-created:{acme}");
    expect(await rowsOf(first)).toEqual({ rows: 1, delivered: 1, types: 1, attempts: 1 });
  });
});

describe("an app's stats", () => {
  test("have every outcome in the hour in which the attempt ended, and how long the receiver took", async () => {
    await write(
      { at: NOON + 1, outcome: "delivered", durationMs: 100 },
      { at: NOON + HOUR - 1, outcome: "delivered", durationMs: 100 },
      { at: NOON + HOUR, outcome: "timed_out", responseCode: 0, durationMs: 10_000 },
      { at: NOON + HOUR, outcome: "unreachable", responseCode: 0, durationMs: 1 },
      { at: NOON + HOUR, outcome: "blocked", responseCode: 0, durationMs: 0 },
    );
    const { total, periods, eventTypes } = await stats().ofApp("acme", NOON, HOUR, 3);
    const nothing = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0]));
    expect(periods.map(({ start, outcomes, latency }) => [start - NOON, outcomes, latency.count])).toEqual([
      [0, { ...nothing, delivered: 2 }, 2],
      // Nobody was reached by two of the three.
      [HOUR, { ...nothing, timed_out: 1, unreachable: 1, blocked: 1 }, 1],
      [2 * HOUR, nothing, 0],
    ]);
    expect(total.outcomes).toEqual({ ...nothing, delivered: 2, timed_out: 1, unreachable: 1, blocked: 1 });
    expect(total.latency).toEqual({ count: 3, p50: expect.closeTo(100, -2), p95: expect.any(Number), p99: expect.any(Number) });
    expect(eventTypes).toEqual(["issue.created"]);
  });

  test("add up over days in longer periods, and leave out what is before and after", async () => {
    for (const at of [NOON - 25 * HOUR, NOON - 24 * HOUR, NOON - HOUR, NOON, NOON + 23 * HOUR, NOON + 24 * HOUR]) await write({ at });
    const { total, periods } = await stats().ofApp("acme", NOON - 24 * HOUR, 24 * HOUR, 2);
    expect(periods.map(({ outcomes }) => outcomes.delivered)).toEqual([2, 2]);
    expect(total.outcomes.delivered).toBe(4);
  });

  test("do not count test events and manual resends, and nothing of another app", async () => {
    await write({ at: NOON, delivery: aDelivery({ counted: false }) }, { at: NOON, app: anApp({ slug: "other" }) });
    const { total } = await stats().ofApp("acme", NOON, HOUR, 1);
    expect([total.outcomes.delivered, total.latency.count]).toEqual([0, 0]);
  });

  test("live 31 days after their day's last attempt, in one hash a day", async () => {
    await write({ at: NOON }, { at: NOON + HOUR, outcome: "failed" });
    expect((await look.keys("posthorn:stats:*")).sort()).toEqual(["posthorn:stats:{acme}:2026-01-05"]);
    const ttl = await look.ttl("posthorn:stats:{acme}:2026-01-05");
    expect(ttl).toBeGreaterThan(31 * 86_400 - 60);
    expect(ttl).toBeLessThanOrEqual(31 * 86_400);
  });

  test("have a bounded number of fields, whatever comes", async () => {
    const outcomes = ["delivered", "gone", "failed", "rejected", "timed_out", "unreachable", "blocked"] as const;
    await write(
      ...outcomes.flatMap((outcome) =>
        Array.from({ length: 60 }, (_, n) => ({
          at: NOON,
          outcome,
          durationMs: 1.5 ** n,
          installation: anInstallation({ uuid: `u-${n}` }),
        })),
      ),
    );
    const fields = await look.hlen("posthorn:stats:{acme}:2026-01-05");
    expect(fields).toBeLessThanOrEqual(outcomes.length + 35);
    expect(fields).toBeGreaterThan(outcomes.length + 20);
  });
});

describe("an app's stats by the minute", () => {
  const MINUTE = 60_000;
  const byMinute = (app = anApp(), start = NOON, steps = 60) =>
    createStatsQuery(redis, () => app.createdAt).ofApp("acme", start, MINUTE, steps);

  test("have every outcome and latency in the minute in which the attempt ended, and the sums of the same hour", async () => {
    await write(
      ...OUTCOMES.map((outcome, n) => ({ at: NOON + n * MINUTE, outcome, responseCode: n === 0 ? 200 : 0, durationMs: 100 })),
      { at: NOON + 59 * MINUTE + 59_999, outcome: "rejected", responseCode: 404, durationMs: 5_000 },
      { at: NOON + 60 * MINUTE, outcome: "delivered" },
      { at: NOON - 1, outcome: "delivered" },
    );
    const { total, periods, eventTypes } = await byMinute();
    expect(periods.slice(0, OUTCOMES.length).map(({ outcomes }, n) => outcomes[OUTCOMES[n] as (typeof OUTCOMES)[number]])).toEqual(
      OUTCOMES.map(() => 1),
    );
    expect(periods[59]).toMatchObject({ start: NOON + 59 * MINUTE, outcomes: { rejected: 1 }, latency: { count: 1 } });
    expect(periods[59]?.latency.p50).toBeGreaterThan(3_500);
    const hours = await stats().ofApp("acme", NOON, HOUR, 1);
    expect({ total, eventTypes }).toEqual({ total: hours.total, eventTypes: hours.eventTypes });
  });

  test("reach over several quarters and midnight, without test calls and without an earlier app's", async () => {
    const midnight = Date.UTC(2026, 0, 6);
    const app = anApp({ createdAt: 7 });
    await write({ at: midnight, app: anApp({ createdAt: 6 }) });
    await write(
      { at: midnight - 5 * HOUR, app },
      { at: midnight - MINUTE, app },
      { at: midnight + 40 * MINUTE, app },
      { at: midnight, app, delivery: aDelivery({ counted: false }) },
    );
    const { total, periods } = await byMinute(app, midnight - 5 * HOUR, 360);
    expect(periods.flatMap(({ start, outcomes }) => (outcomes.delivered > 0 ? [(start - midnight) / MINUTE] : []))).toEqual([-300, -1, 40]);
    expect(total.outcomes.delivered).toBe(3);
  });

  test("are kept for longer than the six hours that are asked for", async () => {
    await write({ at: NOON, outcome: "sender_failed", responseCode: 0 });
    const [key = ""] = await look.keys("posthorn:recent:*");
    expect(await look.ttl(key)).toBeGreaterThan(6 * 3_600 + 15 * 60);
    await look.set(key, "something else");
    expect((await byMinute()).total.outcomes.sender_failed).toBe(0);
  });
});

describe("the volumes of many apps", () => {
  test("come hour by hour for each of them, over midnight too", async () => {
    const midnight = Date.UTC(2026, 0, 6);
    await write(
      { at: midnight - 1, outcome: "failed" },
      { at: midnight, outcome: "delivered" },
      { at: midnight, outcome: "delivered", app: anApp({ slug: "other" }) },
    );
    expect(await stats().ofHours(["acme", "none", "other"], [midnight - HOUR, midnight])).toEqual([
      [
        { attempts: 1, delivered: 0 },
        { attempts: 1, delivered: 1 },
      ],
      [
        { attempts: 0, delivered: 0 },
        { attempts: 0, delivered: 0 },
      ],
      [
        { attempts: 0, delivered: 0 },
        { attempts: 1, delivered: 1 },
      ],
    ]);
    const many = Array.from({ length: 250 }, (_, n) => `app-${n}`);
    expect(await stats().ofHours([...many, "acme"], [midnight])).toHaveLength(251);
  });

  test("are read again for the hours that can still change, and all of them now and then", async () => {
    const clock = createManualClock(NOON);
    const volumes = createVolumes(stats(), clock);
    const delivered = async (): Promise<Record<number, number>> => {
      const hours = lastHours(clock.now());
      const ofApp = (await volumes(["acme"], hours)).get("acme") ?? [];
      return Object.fromEntries(hours.map((hour, at) => [(hour - NOON) / HOUR, ofApp[at]?.delivered ?? 0]).filter(([, count]) => count));
    };
    await write({ at: NOON - 5 * HOUR }, { at: NOON });
    expect(await delivered()).toEqual({ [-5]: 1, 0: 1 });
    await write({ at: NOON - 5 * HOUR }, { at: NOON - HOUR }, { at: NOON + 1 });
    expect(await delivered()).toEqual({ [-5]: 1, [-1]: 1, 0: 2 });
    await clock.advance(5 * 60_000);
    expect(await delivered()).toEqual({ [-5]: 2, [-1]: 1, 0: 2 });
    await clock.advance(19 * HOUR);
    expect(await delivered()).toEqual({ [-1]: 1, 0: 2 });
  });
});

test("while Redis is down nothing is said to be zero", async () => {
  await write({ at: NOON });
  const clock = createManualClock(NOON);
  const volumes = createVolumes(stats(), clock);
  await volumes(["acme"], lastHours(NOON));
  await server.kill();
  await expect(stats().ofApp("acme", NOON, HOUR, 1)).rejects.toMatchObject({ code: "REDIS_UNREACHABLE", retryable: true });
  await expect(volumes(["acme"], lastHours(NOON))).rejects.toMatchObject({ code: "REDIS_UNREACHABLE" });
  await server.restart();
  await eventually(async () => (await volumes(["acme"], lastHours(NOON))).get("acme")?.at(-1)?.delivered === 1);
});

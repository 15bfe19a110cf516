import { beforeEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/model/clock.ts";
import { failingSince, totalsOf } from "../../src/model/recent-attempts.ts";
import { createEventBudget, EVENTS_PER_MINUTE } from "../../src/storage/event-budget.ts";
import { createReadRecentAttempts } from "../../src/storage/recent-attempts.ts";
import { createRequestLog } from "../../src/storage/request-log.ts";
import { aDelivery, anApp, anAttempt, anEvent, LIFETIMES } from "../support/builders.ts";
import { redisOfFile } from "../support/redis-of-file.ts";
import { silentLogger } from "../support/silent-logger.ts";

const MINUTE = 60_000;
const NOON = Date.UTC(2026, 0, 5, 12);

const { redis, look } = await redisOfFile();

beforeEach(async () => void (await look.flushall()));

const at = (now: number): Clock => ({ ...systemClock, now: () => now });
const read = (now: number, createdAt: number | null = 7) => createReadRecentAttempts(redis, () => createdAt, at(now))("acme");

let events = 0;
/** Writes attempts as one replica. */
async function write(...attempts: ReadonlyArray<Parameters<typeof anAttempt>[0] & { readonly at: number }>): Promise<void> {
  const log = createRequestLog(
    { redis, clock: systemClock, logger: silentLogger },
    { size: 100, listTtlMs: 30 * 86_400_000, ...LIFETIMES, bufferRows: 10_000, recoveredAt: () => 0 },
  );
  for (const { at: endedAt, ...members } of attempts) {
    const delivery = aDelivery({}, anEvent({ id: `evt-${++events}` }));
    log.record(anAttempt({ delivery, app: anApp({ createdAt: 7 }), startedAt: endedAt, endedAt, ...members }));
  }
  expect(await log.flush(5_000)).toBe(0);
}

const failed = (time: number, responseCode: number) =>
  ({ at: time, outcome: responseCode === 0 ? "unreachable" : "rejected", responseCode }) as const;

describe("an app's recent attempts", () => {
  test("are those of all replicas in the last 15 minutes, by code, with the last success and the first failure", async () => {
    await write({ at: NOON - 16 * MINUTE }, { at: NOON - 9_000 }, failed(NOON + 4_000, 404), failed(NOON + 2_000, 404));
    await write({ at: NOON - 12_000 }, failed(NOON + 3_000, 0), failed(NOON + MINUTE, 404));
    await write(...[NOON, NOON + 1].map((time) => ({ at: time, outcome: "blocked", responseCode: 0, receiver: "unknown" }) as const));
    await write({ at: NOON, outcome: "sender_failed", responseCode: 0, receiver: "unknown" });
    const recent = await read(NOON + MINUTE + 500);
    expect(totalsOf(recent)).toEqual({
      ...{ attempts: 6, failures: 4, blocked: 2, senderFailed: 1 },
      failuresByCode: new Map([
        [404, 3],
        [0, 1],
      ]),
    });
    expect([recent.lastSuccessAt, failingSince(recent)]).toEqual([NOON - 9_000, NOON + 2_000]);
  });

  test("leave out what is older, keeps the last success, and end where the clock is", async () => {
    await write({ at: NOON }, failed(NOON + 1_000, 500), failed(NOON + 14 * MINUTE, 500));
    expect(totalsOf(await read(NOON + 14 * MINUTE + 59_000)).attempts).toBe(3);
    expect(totalsOf(await read(NOON + 15 * MINUTE)).attempts).toBe(1);
    expect(totalsOf(await read(NOON + 40 * MINUTE)).attempts).toBe(0);
    expect((await read(NOON + 40 * MINUTE)).lastSuccessAt).toBe(NOON);
  });

  test("leave out test calls and resends, and those that failed for a reason on Posthorn's side", async () => {
    const uncounted = aDelivery({ counted: false });
    const own = ["blocked", "sender_failed"] as const;
    await write(
      ...own.map((outcome) => ({ at: NOON, outcome, responseCode: 0 })),
      { ...failed(NOON, 500), delivery: uncounted },
      failed(NOON, 404),
    );
    expect(totalsOf(await read(NOON))).toMatchObject({ attempts: 1, failures: 1 });
  });

  test("are not those of an earlier app with the same slug", async () => {
    await write({ at: NOON }, failed(NOON, 404));
    const recent = await read(NOON, 8);
    expect([totalsOf(recent).attempts, recent.lastSuccessAt]).toEqual([0, null]);
  });

  test("are none where Redis holds something else, and end by themselves", async () => {
    await write(failed(NOON, 404));
    const [key = ""] = await look.keys("posthorn:recent:*");
    expect(await look.ttl(key)).toBeGreaterThan(1_800);
    await look.set(key, "something else");
    expect(totalsOf(await read(NOON)).attempts).toBe(0);
  });

  test("that are written late don't take the last success back", async () => {
    await write({ at: NOON });
    await write({ at: NOON - MINUTE });
    expect((await read(NOON)).lastSuccessAt).toBe(NOON);
  });
});

describe("the limit of an app's delivery events", () => {
  const budget = (now: number, problem: string | null = null) =>
    createEventBudget(
      redis,
      () => now,
      () => problem,
    );
  const take = async (count: number, now: number, app = "acme"): Promise<number> => {
    const taken = await Promise.all(Array.from({ length: count }, () => budget(now).take(app)));
    return taken.filter((isWithin) => isWithin).length;
  };

  test("holds for a minute from the first event on, over all replicas and for each app", async () => {
    expect([await take(60, NOON), await take(60, NOON + 30_000), await take(10, NOON + 59_999)]).toEqual([60, EVENTS_PER_MINUTE - 60, 0]);
    expect(await take(10, NOON + 30_000, "other")).toBe(10);
    expect(await take(10, NOON + MINUTE)).toBe(10);
    expect(await budget(NOON).suppressed()).toEqual([{ app: "acme", since: NOON, until: NOON + MINUTE, count: 30 }]);
  });

  test("counts what is suppressed by minute until it is reported", async () => {
    await take(150, NOON);
    await take(103, NOON + MINUTE);
    const found = [...(await budget(NOON).suppressed())].sort((a, b) => a.since - b.since);
    expect(found.map(({ since, count }) => [since, count])).toEqual([
      [NOON, 50],
      [NOON + MINUTE, 3],
    ]);
    for (const events of found) await budget(NOON).reported(events);
    expect(await budget(NOON).suppressed()).toEqual([]);
  });

  test("counts an event that could not be stored among the suppressed", async () => {
    await take(3, NOON);
    expect(await budget(NOON).suppress("acme")).toBe(true);
    expect(await budget(NOON).suppressed()).toEqual([{ app: "acme", since: NOON, until: NOON + MINUTE, count: 1 }]);
    expect(await budget(NOON, "Redis is down").suppress("acme")).toBe(false);
    // `suppress` takes nothing from the budget.
    for (let n = 1; n < EVENTS_PER_MINUTE; n++) await budget(NOON).suppress("acme");
    expect(await budget(NOON).take("acme")).toBe(true);
  });

  test("is not kept while Redis is down or holds something else", async () => {
    expect(await budget(NOON, "Redis is down").take("acme")).toBe(true);
    await look.set("posthorn:delivery-events:{suppressed}:acme", "something else");
    expect(await take(120, NOON)).toBe(120);
  });
});

import { beforeEach, describe, expect, test } from "vitest";
import { createTakeTokens, type TakeTokens } from "../../../../src/delivery/throttle/rate-limit.ts";
import { createTurns, type Turns } from "../../../../src/delivery/throttle/turns.ts";
import type { RateLimit } from "../../../../src/model/app.ts";
import { takeTokens, tokenBucket } from "../../../../src/model/token-bucket.ts";
import { aDelivery, anApp } from "../../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../../support/manual-clock.ts";
import { silentLogger } from "../../../support/silent-logger.ts";

let clock: ManualClock;
let limit: RateLimit | null;

beforeEach(() => {
  clock = createManualClock();
  limit = null;
});

/** Redis, for all replicas of a test. */
function createStore() {
  const store = {
    isDown: false,
    hangs: false,
    fullAt: 0,
    leases: 0,
    lease: async (_app: string, bucket: Parameters<typeof takeTokens>[0], count: number) => {
      store.leases++;
      if (store.isDown) throw new Error("Connection is closed.");
      if (store.hangs) return new Promise<never>(() => {});
      const { fullAt, ...tokens } = takeTokens(bucket, store.fullAt, { nowMs: clock.now(), count });
      store.fullAt = fullAt;
      return tokens;
    },
  };
  return store;
}

const noTokens: TakeTokens = async () => ({ granted: 0, waitMs: 1_000 });

function turnsWith(takeTokens: TakeTokens = noTokens): Turns {
  return createTurns({ takeTokens, rateLimitOf: () => limit, shareOf: () => 16, clock });
}

const answered = (turns: Turns, startedAt: number, code: number, pauseMs: number | null = null): void =>
  turns.onAttempt({
    app: anApp(),
    delivery: aDelivery(),
    outcome: code === 200 ? "delivered" : "failed",
    responseCode: code,
    pauseMs,
    startedAt,
    endedAt: clock.now(),
  });

/** A receiver with a token bucket that takes `perS` a second. */
function createReceiver(perS: number, burst: number) {
  let tokens = burst;
  let at = clock.now();
  const receiver = {
    taken: [] as number[],
    refused: [] as number[],
    receive(): 200 | 429 {
      const now = clock.now();
      tokens = Math.min(burst, tokens + ((now - at) * perS) / 1_000);
      at = now;
      if (tokens < 1) {
        receiver.refused.push(now);
        return 429;
      }
      tokens--;
      receiver.taken.push(now);
      return 200;
    },
  };
  return receiver;
}

/** Attempts without end, as many at once as may be, each of `latencyMs`. */
function attemptAlways(turns: Turns, receiver: { receive(): 200 | 429 }, latencyMs: number, pauseMs: number | null = null): void {
  let inFlight = 0;
  let pausedUntil = 0;
  const attempt = async (): Promise<void> => {
    if ((await turns.take("acme")) === "closed") return;
    while (inFlight >= Math.min(16, turns.limitOf("acme")) || clock.now() < pausedUntil)
      await new Promise<void>((resolve) => clock.after(latencyMs, resolve));
    inFlight++;
    const startedAt = clock.now();
    await new Promise<void>((resolve) => clock.after(latencyMs / 2, resolve));
    const code = receiver.receive();
    await new Promise<void>((resolve) => clock.after(latencyMs / 2, resolve));
    inFlight--;
    answered(turns, startedAt, code, code === 429 ? pauseMs : null);
    if (code === 429 && pauseMs !== null && clock.now() >= pausedUntil) {
      pausedUntil = clock.now() + pauseMs;
      clock.after(pauseMs, () => turns.released("acme"));
    }
    clock.after(0, () => void attempt());
  };
  for (let n = 0; n < 16; n++) void attempt();
}

const shareOfRefusals = ({ taken, refused }: { taken: number[]; refused: number[] }, from: number): number => {
  const late = (times: readonly number[]) => times.filter((time) => time >= from).length;
  return late(refused) / (late(taken) + late(refused));
};

describe("an app whose receiver refuses nothing", () => {
  test("has turns at once, and no limit", async () => {
    const turns = turnsWith();
    answered(turns, clock.now(), 200);
    answered(turns, clock.now(), 500);
    expect([turns.take("acme"), turns.takeWithin("acme", 0), turns.limitOf("acme")]).toEqual([
      "granted",
      "granted",
      Number.POSITIVE_INFINITY,
    ]);
  });
});

test("an app has as many turns within a time as its rate limit has, one at least, and any number without one", () => {
  const turns = turnsWith();
  expect(turns.countWithin("acme", 2_000)).toBe(Number.POSITIVE_INFINITY);
  limit = { perS: 20, burst: 40 };
  expect(turns.countWithin("acme", 2_000)).toBe(40);
  limit = { perS: 0.1, burst: 1 };
  expect(turns.countWithin("acme", 2_000)).toBe(1);
});

describe("a refusal", () => {
  test("halves the concurrency once for all attempts in flight, and each window of successes adds one", async () => {
    const turns = turnsWith();
    const startedAt = clock.now();
    await clock.advance(10);
    for (let n = 0; n < 16; n++) answered(turns, startedAt, 429);
    expect(turns.limitOf("acme")).toBe(8);
    await clock.advance(10);
    answered(turns, clock.now() - 5, 429);
    expect(turns.limitOf("acme")).toBe(4);
    for (let n = 0; n < 40; n++) answered(turns, clock.now(), 200);
    expect(turns.limitOf("acme")).toBe(5);
    expect(turns.take("acme")).toBe("granted");
  });

  test("is forgotten", async () => {
    const turns = turnsWith();
    for (let n = 0; n < 7; n++) {
      await clock.advance(10);
      answered(turns, clock.now() - 5, 429);
    }
    expect(turns.limitOf("acme")).toBe(1);
    expect(turns.take("acme")).toBeInstanceOf(Promise);
    await clock.advance(300_000);
    expect([turns.limitOf("acme"), turns.take("acme")]).toEqual([Number.POSITIVE_INFINITY, "granted"]);
  });

  test("says nothing of another app, and nothing when it is a test call's", async () => {
    const turns = turnsWith();
    turns.onAttempt({
      ...{ app: anApp(), outcome: "failed", responseCode: 429, pauseMs: null, startedAt: 0, endedAt: clock.now() },
      delivery: aDelivery({ counted: false, eventSequence: null }),
    });
    expect(turns.limitOf("acme")).toBe(Number.POSITIVE_INFINITY);
    answered(turns, clock.now(), 429);
    expect(turns.limitOf("other")).toBe(Number.POSITIVE_INFINITY);
  });
});

test("after a pause that the receiver asked for, attempts begin with one and double up to half of what they were", async () => {
  const turns = turnsWith();
  answered(turns, clock.now(), 429, 5_000);
  await clock.advance(5_000);
  turns.released("acme");
  expect(turns.limitOf("acme")).toBe(1);
  for (let n = 0; n < 7; n++) answered(turns, clock.now(), 200);
  expect(turns.limitOf("acme")).toBe(8);
  answered(turns, clock.now(), 200);
  expect(turns.limitOf("acme")).toBe(8);
  expect(turns.take("acme")).toBe("granted");
});

describe("a receiver that takes 20 a second", () => {
  test.each<[string, number, number | null, number]>([
    ["says no more", 2, null, 1],
    ["is slow, and says no more", 200, null, 1],
    ["asks for a second", 2, 1_000, 1],
    ["says no more to two replicas", 2, null, 2],
    ["asks two replicas for a second", 2, 1_000, 2],
  ])("and %s refuses at most 1 %% after ten seconds, and is used well", async (_what, latencyMs, pauseMs, replicas) => {
    const receiver = createReceiver(20, 20);
    const from = clock.now();
    for (let n = 0; n < replicas; n++) attemptAlways(turnsWith(), receiver, latencyMs, pauseMs);
    for (let s = 0; s < 120; s++) await clock.advance(1_000);
    expect(shareOfRefusals(receiver, from + 10_000)).toBeLessThanOrEqual(0.01);
    expect(receiver.taken.length).toBeGreaterThan(120 * 20 * 0.7);
  });
});

test("a receiver that refuses everything for a minute and then nothing is soon at its full rate", async () => {
  const turns = turnsWith();
  let isUp = false;
  const taken: number[] = [];
  const receive = (): 200 | 429 => {
    if (isUp) taken.push(clock.now());
    return isUp ? 200 : 429;
  };
  attemptAlways(turns, { receive }, 20);
  for (let s = 0; s < 60; s++) await clock.advance(1_000);
  isUp = true;
  const up = clock.now();
  for (let s = 0; s < 60; s++) await clock.advance(1_000);
  expect(taken.filter((time) => time < up + 60_000 && time >= up + 50_000).length).toBeGreaterThan(10 * 300);
});

describe("a rate limit", () => {
  test("shows while attempts wait for it", async () => {
    limit = { perS: 20, burst: 40 };
    const turns = turnsWith();
    expect([...turns.paces()]).toEqual([]);
    void turns.take("acme");
    await clock.advance(1);
    expect([...turns.paces()]).toEqual([["acme", { perS: null, atOnce: null, isWaiting: true }]]);
  });

  const used = (times: readonly number[], withinMs: number): number =>
    Math.max(...times.map((from) => times.filter((time) => time >= from && time < from + withinMs).length));

  test("is kept over all replicas, with its burst, and none is refused by a receiver with the same", async () => {
    limit = { perS: 20, burst: 40 };
    const store = createStore();
    const receiver = createReceiver(20, 40);
    for (let n = 0; n < 2; n++)
      attemptAlways(
        turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 2, clock, random: () => 0.5, logger: silentLogger })),
        receiver,
        2,
      );
    for (let s = 0; s < 60; s++) await clock.advance(1_000);
    expect(receiver.refused).toEqual([]);
    expect(receiver.taken.length).toBeGreaterThan(60 * 20 * 0.98);
    expect(used(receiver.taken, 1_000)).toBeLessThanOrEqual(60);
  });

  test.each([
    [100, 100, 0.5],
    [20, 40, 1.1],
    [5, 1, 2.1],
  ])(
    "of %i a second, with bursts of %i, asks the store at most %f times for an attempt of two busy replicas",
    async (perS, burst, most) => {
      limit = { perS, burst };
      const store = createStore();
      const receiver = createReceiver(perS, burst);
      for (let n = 0; n < 2; n++)
        attemptAlways(
          turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 2, clock, random: () => 0.5, logger: silentLogger })),
          receiver,
          2,
        );
      for (let s = 0; s < 60; s++) await clock.advance(1_000);
      expect(receiver.refused).toEqual([]);
      expect(receiver.taken.length).toBeGreaterThan(60 * perS * 0.98);
      expect(store.leases / receiver.taken.length).toBeLessThanOrEqual(most);
    },
  );

  test.each(["isDown", "hangs"] as const)("is divided while the store %s, and never stops", async (fault) => {
    limit = { perS: 20, burst: 40 };
    const store = createStore();
    const receiver = createReceiver(1e6, 1e6);
    for (let n = 0; n < 2; n++)
      attemptAlways(
        turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 2, clock, random: () => 0.5, logger: silentLogger })),
        receiver,
        2,
      );
    for (let s = 0; s < 10; s++) await clock.advance(1_000);
    store[fault] = true;
    for (let s = 0; s < 20; s++) {
      const before = receiver.taken.length;
      await clock.advance(1_000);
      expect(receiver.taken.length - before).toBeLessThanOrEqual(40);
      expect(receiver.taken.length - before).toBeGreaterThanOrEqual(s === 0 ? 1 : 10);
    }
    store[fault] = false;
    for (let s = 0; s < 10; s++) {
      const before = receiver.taken.length;
      await clock.advance(1_000);
      expect(receiver.taken.length - before).toBeLessThanOrEqual(60);
    }
  });

  test("parks what would have to wait longer than a moment", async () => {
    limit = { perS: 2, burst: 1 };
    const store = createStore();
    const turns = turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 1, clock, random: () => 0.5, logger: silentLogger }));
    const first = turns.takeWithin("acme", 500);
    await clock.advance(0);
    expect(await first).toBe("granted");
    expect(turns.takeWithin("acme", 500)).toBe("full");
    await clock.advance(400);
    expect(turns.takeWithin("acme", 500)).toBeInstanceOf(Promise);
  });

  test.each([null, { perS: 100, burst: 3 }])("that becomes %j lets those go that wait for it", async (next) => {
    limit = { perS: 0.01, burst: 1 };
    const store = createStore();
    const turns = turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 1, clock, random: () => 0.5, logger: silentLogger }));
    let granted = 0;
    for (let n = 0; n < 3; n++) void Promise.resolve(turns.take("acme")).then(() => granted++);
    await clock.advance(1_000);
    expect(granted).toBe(1);
    limit = next;
    turns.wake("acme");
    await clock.advance(100);
    expect(granted).toBe(3);
  });

  test("uses up no turn for a wait that nobody wants any more", async () => {
    limit = { perS: 1, burst: 1 };
    const store = createStore();
    const turns = turnsWith(createTakeTokens({ lease: store.lease, replicas: () => 1, clock, random: () => 0.5, logger: silentLogger }));
    await turns.take("acme");
    let wanted = true;
    let ended = 0;
    for (let n = 0; n < 5; n++) void Promise.resolve(turns.take("acme", () => wanted)).then(() => ended++);
    const next = turns.take("acme");
    wanted = false;
    turns.wake("acme");
    await clock.advance(0);
    expect(ended).toBe(5);
    await clock.advance(1_100);
    expect(await next).toBe("granted");
  });

  test("ends its waits when the process stops", async () => {
    limit = { perS: 0.01, burst: 1 };
    const turns = turnsWith();
    const waiting = turns.take("acme");
    turns.close();
    expect([await waiting, turns.take("acme"), turns.takeWithin("acme", 500)]).toEqual(["closed", "closed", "closed"]);
  });

  test("of a bucket is never more than its rate and burst, whatever it was before", () => {
    const bucket = tokenBucket({ perS: 10, burst: 5 });
    expect(takeTokens(bucket, Number.MAX_SAFE_INTEGER, { nowMs: 0, count: 1 })).toMatchObject({ granted: 0 });
    expect(takeTokens(bucket, Number.MAX_SAFE_INTEGER, { nowMs: 0, count: 1 }).waitMs).toBeLessThan(110);
    expect(takeTokens(bucket, 0, { nowMs: 1_000, count: 100 }).granted).toBe(4);
    expect(takeTokens(tokenBucket({ perS: 10, burst: 1 }), 0, { nowMs: 1_000, count: 100 }).granted).toBe(1);
    expect(takeTokens(tokenBucket({ perS: 10, burst: 4 }, 8), 0, { nowMs: 1_000, count: 100 }).granted).toBe(1);
  });
});

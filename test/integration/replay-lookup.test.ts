/** What Redis knows of a replay's deliveries, written by the request log. */
import { randomUUID } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import type { Delivery } from "../../src/model/delivery.ts";
import { createReplayLookup } from "../../src/storage/replay-lookup.ts";
import { createRequestLog } from "../../src/storage/request-log.ts";
import { aDelivery, anAttempt, anEvent, LIFETIMES } from "../support/builders.ts";
import { redisOfFile } from "../support/redis-of-file.ts";
import { silentLogger } from "../support/silent-logger.ts";

const REPLAY = `rpl_${randomUUID().replaceAll("-", "")}`;

const { redis } = await redisOfFile();

beforeEach(async () => void (await redis.flushall()));

const createLog = () =>
  createRequestLog(
    { redis, clock: systemClock, logger: silentLogger },
    { size: 100, listTtlMs: 86_400_000, ...LIFETIMES, bufferRows: 1_000, recoveredAt: () => 0 },
  );

const first = (n: number): Delivery => aDelivery({ id: `dlv_${String(n).padEnd(32, "0")}`, eventSequence: n }, anEvent({ id: `evt-${n}` }));
const inReplay = (n: number): Delivery => ({ ...first(n), replay: REPLAY, counted: false });

test("the end of a delivery is counted once, whoever reports it and however often", async () => {
  const { outcomeOf } = createReplayLookup({ redis, now: Date.now }, LIFETIMES);
  const logs = [createLog(), createLog()];
  for (const log of logs) {
    log.record(anAttempt({ delivery: inReplay(1) }));
    log.record(anAttempt({ delivery: inReplay(1) }));
    log.record(anAttempt({ delivery: inReplay(2), outcome: "failed", responseCode: 503 }));
    log.stored(inReplay(3), { stream: "dead-letters", sequence: 9 });
    // Not of the replay.
    log.record(anAttempt({ delivery: first(4) }));
    log.stored({ ...first(5), replay: "dead-letter-5-1" }, { stream: "dead-letters", sequence: 10 });
    await log.flush(5_000);
  }
  expect(await outcomeOf("acme", REPLAY)).toEqual({ done: 1, failed: 1 });
  expect(await outcomeOf("acme", `rpl_${"0".repeat(32)}`)).toEqual({ done: 0, failed: 0 });
});

test("a delivery is sent when it is delivered or stored in the replay, not when it was only attempted", async () => {
  const { find } = createReplayLookup({ redis, now: Date.now }, LIFETIMES);
  const log = createLog();
  log.record(anAttempt({ delivery: inReplay(1) }));
  log.record(anAttempt({ delivery: inReplay(2), outcome: "failed", responseCode: 503 }));
  log.record(anAttempt({ delivery: inReplay(3), outcome: "failed", responseCode: 503 }));
  log.stored({ ...inReplay(3), stores: 1 }, { stream: "retries", sequence: 7 });
  log.record(anAttempt({ delivery: first(4) }));
  await log.flush(5_000);
  const nothing = { isDelivered: false, isSent: false, isSentForAnother: false, location: null };
  expect(await find([1, 2, 3, 4, 5].map(inReplay))).toEqual([
    { ...nothing, isDelivered: true, isSent: true },
    nothing,
    { ...nothing, isSent: true, location: { stream: "retries", sequence: 7 } },
    { ...nothing, isDelivered: true },
    nothing,
  ]);
  // A second message of the same event.
  const [twin] = await find([{ ...inReplay(1), eventSequence: 99 }]);
  expect(twin).toMatchObject({ isDelivered: true, isSent: false, isSentForAnother: true });
});

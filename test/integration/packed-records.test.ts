import { beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { newDelivery } from "../../src/model/delivery.ts";
import { createDeliveryLookup } from "../../src/storage/delivery-lookup.ts";
import { PERIOD_MS } from "../../src/storage/packed-hash.ts";
import { createRequestLog } from "../../src/storage/request-log.ts";
import { anApp, anAttempt, anEvent, anInstallation, LIFETIMES, UUID } from "../support/builders.ts";
import { redisOfFile } from "../support/redis-of-file.ts";
import { silentLogger } from "../support/silent-logger.ts";

const APPS = Array.from({ length: 10 }, (_, at) => `acme-tracker-${at}`);
const DAYS_8 = 8 * 86_400_000;
const { redis, look } = await redisOfFile();
let now = Date.now();
const clock = { ...systemClock, now: () => now };

beforeEach(async () => {
  now = Date.now();
  await look.flushall();
});

const createLog = () =>
  createRequestLog(
    { redis, clock, logger: silentLogger },
    { size: 1, listTtlMs: 60_000, ...LIFETIMES, bufferRows: 100_000, recoveredAt: () => 0 },
  );
const lookup = () => createDeliveryLookup({ redis, knownApps: () => APPS, now: () => now }, LIFETIMES);
const uuidOf = (at: number): string => `00000000-0000-4000-8000-${at.toString(16).padStart(12, "0")}`;
const deliveryOf = (event: number, to = 0) =>
  newDelivery(anEvent({ id: `2f1c7d9a-5b6a-4c7d-8e9f-${event.toString(16).padStart(12, "0")}` }), APPS[to] ?? "", uuidOf(to), event + 1);
const attemptOf = (event: number, to = 0, outcome: "delivered" | "failed" = "delivered") => {
  const trace = event.toString(16).padStart(31, "0");
  return anAttempt({
    ...{ delivery: deliveryOf(event, to), app: anApp({ slug: APPS[to] ?? "" }), installation: anInstallation({ uuid: uuidOf(to) }) },
    ...{ outcome, endedAt: now, requestHeaders: { traceparent: `00-a${trace}-b7ad6b7169203331-01` } },
  });
};

describe("the memory of a delivery", () => {
  test.each([
    [1, 12_000],
    [10, 1_200],
  ])("that is delivered at once, at a fan-out of %i, is at most 150 bytes", async (fanOut, events) => {
    const usedBytes = async (): Promise<number> => Number(/used_memory:(\d+)/.exec(await look.info("memory"))?.[1]);
    const log = createLog();
    for (let to = 0; to < fanOut; to++) log.record(attemptOf(0, to));
    await log.flush(10_000);
    const before = await usedBytes();
    for (let event = 1; event <= events; event++) for (let to = 0; to < fanOut; to++) log.record(attemptOf(event, to));
    await log.flush(60_000);
    expect(((await usedBytes()) - before) / (events * fanOut)).toBeLessThanOrEqual(150);

    const packed = [...(await look.keys("posthorn:dedup:*")), ...(await look.keys("posthorn:event-deliveries:*"))];
    const encodings = await Promise.all(packed.map((key) => look.object("ENCODING", key)));
    expect(new Set(encodings).size).toBe(1);
    expect(String(encodings[0])).toMatch(/^(?:listpack|ziplist)$/);
    for (const event of [1, 77, Math.floor(events / 2), events]) {
      expect(await createLog().findDelivered(deliveryOf(event, fanOut - 1))).toMatchObject({ eventSequence: event + 1 });
      expect(await lookup().ofEvent(deliveryOf(event).event.id)).toHaveLength(fanOut);
      const { id } = deliveryOf(event, fanOut - 1);
      expect((await lookup().find([id]))[0]).toMatchObject({ installationUuid: uuidOf(fanOut - 1), runs: [{ delivered: true }] });
    }
    expect(await createLog().findDelivered(deliveryOf(events + 1))).toBeNull();
  });
});

test("a delivery that was delivered stays so, whatever is written later and in which period", async () => {
  const log = createLog();
  log.record(attemptOf(1, 0, "failed"));
  await log.flush(5_000);
  now += PERIOD_MS;
  log.record(attemptOf(1));
  await log.flush(5_000);
  const deliveredAt = now;
  now += PERIOD_MS;
  log.record(attemptOf(1, 0, "failed"));
  await log.flush(5_000);
  expect(await look.keys("posthorn:dedup:*")).toHaveLength(3);
  expect((await lookup().find([deliveryOf(1).id]))[0]?.runs).toMatchObject([{ delivered: true, last: { endedAt: deliveredAt } }]);
  expect(await createLog().findDelivered(deliveryOf(1))).toMatchObject({ eventSequence: 2 });
});

test("of a delivery that failed, the last attempt counts", async () => {
  const log = createLog();
  for (const laterMs of [0, 1_000, PERIOD_MS]) {
    now += laterMs;
    log.record(attemptOf(1, 0, "failed"));
    await log.flush(5_000);
    expect((await lookup().find([deliveryOf(1).id]))[0]?.runs).toMatchObject([{ delivered: false, last: { endedAt: now } }]);
  }
});

test("a record is found until its time to live is over, and the key is gone half a day later", async () => {
  const log = createLog();
  log.record(attemptOf(1));
  await log.flush(5_000);
  now += DAYS_8 - 1_000;
  expect(await createLog().findDelivered(deliveryOf(1))).not.toBeNull();
  now += PERIOD_MS + 1_000;
  expect(await createLog().findDelivered(deliveryOf(1))).toBeNull();
  for (const key of await look.keys("posthorn:dedup:*")) expect(await look.ttl(key)).toBeLessThanOrEqual((DAYS_8 + PERIOD_MS) / 1_000);
});

describe("what version 0.1 has written", () => {
  const delivery = deliveryOf(5);
  const { id, app } = delivery;

  test("is found, and is completed by what this version writes", async () => {
    await look.set(`posthorn:delivery:{${app}}:${id}`, `pending 6 ${app} ${uuidOf(0)} 1 ${now - 5_000} 503 `);
    await look.hset(`posthorn:addressees:${delivery.event.id}`, id, `6 ${app} ${uuidOf(0)}`, "dlv_other", `6 ${app} ${UUID}`);
    expect((await lookup().find([id]))[0]?.runs).toMatchObject([{ delivered: false, last: { responseCode: 503 } }]);
    const log = createLog();
    log.record(attemptOf(5));
    await log.flush(5_000);
    expect((await lookup().find([id]))[0]?.runs).toMatchObject([{ delivered: true, last: { responseCode: 200 } }]);
    const noted = await lookup().ofEvent(delivery.event.id);
    expect(noted.map(({ deliveryId }) => deliveryId).sort()).toEqual([id, "dlv_other"].sort());
  });

  test("keeps a delivery from being made twice, also after a later failure", async () => {
    await look.set(`posthorn:delivery:{${app}}:${id}`, `delivered 6 ${app} ${uuidOf(0)} 1 ${now - 5_000} 200 `);
    expect(await createLog().findDelivered(delivery)).toMatchObject({ eventSequence: 6 });
    const log = createLog();
    log.record(attemptOf(5, 0, "failed"));
    await log.flush(5_000);
    expect(await createLog().findDelivered(delivery)).toMatchObject({ eventSequence: 6 });
  });
});

import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { takeTokens, tokenBucket } from "../../src/model/token-bucket.ts";
import { createLeaseTokens } from "../../src/storage/rate-limit-tokens.ts";
import { type Server, startRedisServer } from "../support/servers.ts";

let server: Server;
let redis: Redis;

beforeAll(async () => {
  server = await startRedisServer();
  redis = new Redis(server.url, { keyPrefix: "t:" });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

test.each([
  { perS: 0.5, burst: 40 },
  { perS: 0.01, burst: 1 },
  { perS: 0.05, burst: 7 },
])("the bucket in Redis has the tokens of the one in the process: %j", async (limit) => {
  const lease = createLeaseTokens(redis);
  const app = `app-${limit.burst}`;
  const bucket = tokenBucket(limit);
  const wanted = takeTokens(bucket, 0, { nowMs: 1, count: 1_000 });
  const first = await lease(app, bucket, 1_000);
  expect(first.granted).toBe(wanted.granted);
  const next = await lease(app, bucket, 1);
  expect(next.granted).toBe(0);
  expect(next.waitMs).toBeLessThanOrEqual(bucket.intervalMs);
  expect(next.waitMs).toBeGreaterThan(bucket.intervalMs - 60_000);
  const ttlMs = await redis.pttl(`rate-limit:{${app}}`);
  expect(ttlMs).toBeGreaterThan(0);
  expect(ttlMs).toBeLessThanOrEqual(bucket.toleranceMs + bucket.intervalMs + 1_001);
});

test("two replicas together get no more than one alone", async () => {
  const [one, other] = [createLeaseTokens(redis), createLeaseTokens(redis)];
  const bucket = tokenBucket({ perS: 0.1, burst: 20 });
  const granted = await Promise.all(Array.from({ length: 30 }, (_, n) => (n % 2 === 0 ? one : other)("shared", bucket, 1)));
  expect(granted.filter((tokens) => tokens.granted === 1)).toHaveLength(takeTokens(bucket, 0, { nowMs: 1, count: 100 }).granted);
});

test("a time that is far away, of another limit or of nobody, is not waited for, and a key of another type is an error", async () => {
  const lease = createLeaseTokens(redis);
  const bucket = tokenBucket({ perS: 10, burst: 2 });
  await redis.set("rate-limit:{far}", "9".repeat(16));
  expect((await lease("far", bucket, 1)).waitMs).toBeLessThan(200);
  await redis.set("rate-limit:{text}", "soon");
  expect((await lease("text", bucket, 1)).granted).toBe(1);
  await redis.lpush("rate-limit:{list}", "1");
  await expect(lease("list", bucket, 1)).rejects.toThrow(/WRONGTYPE/);
});

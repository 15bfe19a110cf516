import { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { createGiveBacks } from "../../src/storage/give-backs.ts";
import { connectRedis, type RedisClient } from "../../src/storage/redis.ts";
import { eventually } from "../support/eventually.ts";
import { type Server, startRedisServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let server: Server;
let redis: RedisClient;
let look: Redis;

beforeAll(async () => {
  server = await startRedisServer();
  redis = await connectRedis({ url: server.url, startupTimeoutMs: 10_000 }, systemClock, silentLogger);
  look = new Redis(server.url);
});
afterAll(async () => {
  redis.disconnect();
  look.disconnect();
  await server.stop();
});

const message = { stream: "T_EVENTS", sequence: 7 };
const KEY = "posthorn:give-backs:T_EVENTS:7";

test("a message's give-backs are counted over all replicas, and it has none at first", async () => {
  const [one, other] = [createGiveBacks(redis, systemClock), createGiveBacks(redis, systemClock)];
  expect(await one.count(message)).toBe(0);
  one.note(message);
  other.note(message);
  await eventually(async () => (await one.count(message)) === 2);
  expect(await look.ttl(KEY)).toBeGreaterThan(0);
  await look.del(KEY);
});

test("BACK-1: those that Redis did not take are added later, and no message's count is known before", async () => {
  const giveBacks = createGiveBacks(redis, systemClock);
  // Redis refuses to count in it.
  await look.set(KEY, "something else");
  for (let n = 0; n < 12; n++) giveBacks.note(message);
  const other = { ...message, sequence: 8 };
  await eventually(async () => (await giveBacks.count(other)) === null);
  await look.del(KEY);
  await eventually(async () => (await giveBacks.count(message)) === 12);
  expect(await giveBacks.count(other)).toBe(0);
});

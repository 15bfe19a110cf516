import { Redis } from "ioredis";
import { afterAll } from "vitest";
import { systemClock } from "../../src/model/clock.ts";
import { connectRedis } from "../../src/storage/redis.ts";
import { startRedisServer } from "./servers.ts";
import { silentLogger } from "./silent-logger.ts";

/** A Redis server for one test file, the service's client, and `look`, which sees the keys as redis-cli does. They end after the file's tests. */
export async function redisOfFile(options?: Parameters<typeof startRedisServer>[0]) {
  const server = await startRedisServer(options);
  const redis = await connectRedis({ url: server.url, startupTimeoutMs: 20_000 }, systemClock, silentLogger);
  const look = new Redis(server.url);
  look.on("error", () => {});
  afterAll(async () => {
    redis.disconnect();
    look.disconnect();
    await server.stop();
  });
  return { server, redis, look };
}

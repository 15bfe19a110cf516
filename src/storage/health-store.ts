/** Reads and clears an installation's health counters for the health rule. request-log.ts writes them. */
import type { HealthStore } from "../status/ports.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, unlessWrongType } from "./redis-reading.ts";

/** The counters expire after 30 days. */
const KEPT_DAYS = 31;
const DAY_MS = 86_400_000;

export function createHealthStore(redis: RedisClient, now: () => number): HealthStore {
  return {
    async read(installationUuid, days) {
      const hashes = await Promise.all(days.map((day) => unlessWrongType(redis.hgetall(keys.health(installationUuid, day)), {})));
      return days.map((day, index) => {
        const count = (name: string): number => countIn(hashes[index]?.[name]);
        return { day, success: count("success"), error: count("error"), timeout: count("timeout"), fatal: count("fatal") };
      });
    },

    async clear(installationUuid) {
      // Tomorrow, too: the clocks of replicas may differ around midnight.
      const days = Array.from({ length: KEPT_DAYS + 1 }, (_, ago) => new Date(now() + DAY_MS - ago * DAY_MS).toISOString().slice(0, 10));
      await redis.del(...days.map((day) => keys.health(installationUuid, day)));
    },
  };
}

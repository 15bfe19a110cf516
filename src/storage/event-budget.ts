/**
 * Limits the `delivery.*` events of an app to so many a minute, over all replicas. A minute begins with its first event. Events beyond the
 * limit, and those that can't be stored, are counted by app and minute until they are reported, so that they outlive the replica that
 * suppressed them.
 */
import type { EventBudget } from "../status/ports.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, type RedisProblem, reading } from "./redis-reading.ts";

export const EVENTS_PER_MINUTE = 100;
/** Every app is over it. */
const NO_LIMIT_LEFT = -1;
const MINUTE_MS = 60_000;

/** KEYS the app's minute, suppressed counts; ARGV now, length of the minute, limit, app, events. @returns 1: within the limit */
const TAKE = `
local now, length = tonumber(ARGV[1]), tonumber(ARGV[2])
local start = tonumber(redis.call('HGET', KEYS[1], 'start') or '')
if not start or math.abs(now - start) >= length then
  redis.call('HSET', KEYS[1], 'start', ARGV[1], 'count', 0)
end
redis.call('PEXPIRE', KEYS[1], length * 2)
if redis.call('HINCRBY', KEYS[1], 'count', ARGV[5]) <= tonumber(ARGV[3]) then return 1 end
redis.call('HINCRBY', KEYS[2], ARGV[4] .. ' ' .. redis.call('HGET', KEYS[1], 'start'), 1)
return 0
`;

type ScriptedRedis = RedisClient & {
  takeEvent(minuteKey: string, suppressedKey: string, ...args: readonly (number | string)[]): Promise<number>;
};

export function createEventBudget(redis: RedisClient, now: () => number, problem: RedisProblem): EventBudget {
  redis.defineCommand("takeEvent", { lua: TAKE, numberOfKeys: 2 });
  const scripted = redis as ScriptedRedis;
  /** Counts one as suppressed if the app is over the limit with so many events more. @returns whether it did; false while Redis is down */
  const countSuppressed = async (app: string, limit: number, events: 0 | 1): Promise<boolean> => {
    if (problem() !== null) return false;
    try {
      return (await scripted.takeEvent(keys.eventMinute(app), keys.suppressed, now(), MINUTE_MS, limit, app, events)) === 0;
    } catch {
      return false;
    }
  };

  return {
    take: async (app) => !(await countSuppressed(app, EVENTS_PER_MINUTE, 1)),
    suppress: (app) => countSuppressed(app, NO_LIMIT_LEFT, 0),

    suppressed: () =>
      reading("the suppressed events", problem, async () => {
        const counts = await redis.hgetall(keys.suppressed);
        return Object.entries(counts).map(([field, count]) => {
          const [app = "", start = ""] = field.split(" ");
          return { app, since: Number(start), until: Number(start) + MINUTE_MS, count: countIn(count) };
        });
      }),

    async reported({ app, since }) {
      await redis.hdel(keys.suppressed, `${app} ${since}`);
    },
  };
}

/**
 * The token buckets of rate limits that all replicas share: one key per app, with the time at which its bucket is full again
 * (model/token-bucket.ts) in microseconds by Redis's own clock.
 */
import type { LeaseTokens } from "../delivery/ports.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** KEYS key; ARGV interval and tolerance in microseconds, tokens wanted. Answers the tokens granted, and microseconds to the next one. */
const SCRIPT = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full_at = tonumber(redis.call('GET', KEYS[1]) or now) or now
if full_at < now then full_at = now end
if full_at > now + tolerance + interval then full_at = now + tolerance + interval end
local granted = math.floor((now + tolerance - full_at) / interval + 0.001) + 1
if granted < 0 then granted = 0 end
if granted > wanted then granted = wanted end
full_at = full_at + granted * interval
if granted > 0 then redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1000) end
local wait = full_at - tolerance - now
if wait < 0 then wait = 0 end
return { granted, math.ceil(wait) }
`;

const US_PER_MS = 1_000;

export function createLeaseTokens(redis: RedisClient): LeaseTokens {
  return async (app, { intervalMs, toleranceMs }, count) => {
    const args = [Math.round(intervalMs * US_PER_MS), Math.round(toleranceMs * US_PER_MS), count];
    const [granted, waitUs] = (await redis.eval(SCRIPT, 1, keys.rateLimit(app), ...args)) as [number, number];
    return { granted, waitMs: waitUs / US_PER_MS };
  };
}

/**
 * An app's attempts of the last 15 minutes, over all replicas. A hash holds a quarter of an hour; its fields are `<minute> delivered`
 * and `<minute> <response code>` (numbers of attempts, minutes from 0 to 14) and `<minute> first` (the minute's first failure). The
 * fields that only the stats by the minute read are those of minute-stats.ts.
 */
import type { Clock } from "../model/clock.ts";
import type { RecentAttempts, RecentMinute } from "../model/recent-attempts.ts";
import type { AppCreatedAt } from "./app-created.ts";
import { DELIVERED } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

const MINUTE_MS = 60_000;
const MINUTES = 15;
/** The stats by the minute reach back 6 hours; the rest is for attempts that are written late. */
export const RECENT_TTL_S = 7 * 3_600;

/** @returns the quarter's number, and the minute in it */
export function slotAt(epochMs: number): { readonly quarter: number; readonly minute: number } {
  const minute = Math.floor(epochMs / MINUTE_MS);
  return { quarter: Math.floor(minute / MINUTES), minute: minute % MINUTES };
}

/** @throws AppError REDIS_UNREACHABLE */
export type ReadRecentAttempts = (app: string) => Promise<RecentAttempts>;

export function createReadRecentAttempts(
  redis: RedisClient,
  appCreatedAt: AppCreatedAt,
  clock: Clock,
  problem: RedisProblem = () => null,
): ReadRecentAttempts {
  return (app) =>
    reading("the recent attempts", problem, async () => {
      const createdAt = appCreatedAt(app) ?? 0;
      const { quarter } = slotAt(clock.now());
      const hash = (number: number) => unlessWrongType(redis.hgetall(keys.recent(app, createdAt, number)), {});
      const [before, current, lastSuccess] = await Promise.all([
        hash(quarter - 1),
        hash(quarter),
        unlessWrongType(redis.hget(keys.lastSuccess(app), String(createdAt)), null),
      ]);
      const minutes = [...minutesOf(before, quarter - 1), ...minutesOf(current, quarter)];
      const now = Math.floor(clock.now() / MINUTE_MS) * MINUTE_MS;
      return {
        // A minute ahead of this clock is another replica's.
        minutes: minutes.filter(({ start }) => start > now - MINUTES * MINUTE_MS),
        lastSuccessAt: countIn(lastSuccess) || null,
      };
    });
}

function minutesOf(hash: Readonly<Record<string, string>>, quarter: number): RecentMinute[] {
  const minutes = Array.from({ length: MINUTES }, (_, minute) => ({
    start: (quarter * MINUTES + minute) * MINUTE_MS,
    delivered: 0,
    failures: new Map<number, number>(),
    firstFailureAt: null as number | null,
    blocked: 0,
    senderFailed: 0,
  }));
  for (const [field, value] of Object.entries(hash)) {
    const [minute = "", counted = ""] = field.split(" ");
    const found = minutes[Number(minute)];
    if (found === undefined) continue;
    if (counted === DELIVERED) found.delivered = countIn(value);
    else if (counted === "blocked") found.blocked = countIn(value);
    else if (counted === "sender_failed") found.senderFailed = countIn(value);
    else if (counted === "first") found.firstFailureAt = countIn(value) || null;
    else if (/^\d{1,3}$/.test(counted)) found.failures.set(Number(counted), countIn(value));
  }
  return minutes;
}

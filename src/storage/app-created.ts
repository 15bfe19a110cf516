/** Whether what Redis has under an app's slug is of the app of that slug that there is now (write-group.ts G2). */
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { unlessWrongType } from "./redis-reading.ts";

/** When the app of that slug was made, milliseconds since the epoch; null: not known, and nothing is left out. */
export type AppCreatedAt = (slug: string) => number | null;

/**
 * @returns since when what is there is of this app: 0 when all of it is, infinity when none is. What an early version has written
 * says nothing of its own.
 */
export async function belongsSince(redis: RedisClient, app: string, createdAt: number | null): Promise<number> {
  if (createdAt === null) return 0;
  const marker = await unlessWrongType(redis.get(keys.appCreated(app)), null);
  if (marker === null) return createdAt;
  return Number(marker) === createdAt || Number(marker) === 0 ? 0 : Number.POSITIVE_INFINITY;
}

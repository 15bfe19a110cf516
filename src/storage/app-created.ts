/** Whether the rows and stats under a slug belong to the current app of that slug (BATCH-2). */
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { unlessWrongType } from "./redis-reading.ts";

/** When the app of that slug was created, milliseconds since the epoch; null if unknown, and nothing is left out. */
export type AppCreatedAt = (slug: string) => number | null;

/**
 * @returns the time from which rows and stats belong to this app: 0 if all do, infinity if none does. An early version wrote no
 * marker; then everything since the app's creation does.
 */
export async function belongsSince(redis: RedisClient, app: string, createdAt: number | null): Promise<number> {
  if (createdAt === null) return 0;
  const marker = await unlessWrongType(redis.get(keys.appCreated(app)), null);
  if (marker === null) return createdAt;
  return Number(marker) === createdAt || Number(marker) === 0 ? 0 : Number.POSITIVE_INFINITY;
}

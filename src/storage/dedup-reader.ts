/** Reads dedup records. The lookups of one turn of the event loop share one command, on a cluster one per app. */
import type { Clock } from "../model/clock.ts";
import { type DedupRecord, decodeDedupRecord } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** @returns null if there is no record. Rejects if Redis is unreachable or slow. */
export type ReadDedupRecord = (app: string, dedupKey: string) => Promise<DedupRecord | null>;

interface Lookup {
  readonly app: string;
  readonly dedupKey: string;
  readonly resolve: (record: DedupRecord | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Long, because the alternative to waiting for a slow Redis is a duplicate; an unreachable one fails at once. */
const TIMEOUT_MS = 3_000;
const MAX_AT_ONCE = 500;

export function createDedupReader(redis: RedisClient, clock: Clock): ReadDedupRecord {
  let waiting: Lookup[] = [];

  const readMany = async (lookups: readonly Lookup[]): Promise<void> => {
    let cancel = (): void => {};
    const tooLate = new Promise<never>((_, reject) => {
      cancel = clock.after(TIMEOUT_MS, () => reject(new Error(`Redis did not answer within ${TIMEOUT_MS} ms`)));
    });
    try {
      const values = await Promise.race([redis.mget(lookups.map(({ app, dedupKey }) => keys.delivery(app, dedupKey))), tooLate]);
      for (const [at, { resolve }] of lookups.entries()) {
        const value = values[at] ?? null;
        resolve(value === null ? null : decodeDedupRecord(value));
      }
    } catch (error) {
      for (const { reject } of lookups) reject(error);
    } finally {
      cancel();
    }
  };

  const readWaiting = (): void => {
    const lookups = waiting;
    waiting = [];
    for (const group of redis.isCluster ? Map.groupBy(lookups, ({ app }) => app).values() : [lookups]) {
      for (let from = 0; from < group.length; from += MAX_AT_ONCE) void readMany(group.slice(from, from + MAX_AT_ONCE));
    }
  };

  return (app, dedupKey) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ app, dedupKey, resolve, reject }) === 1) setImmediate(readWaiting);
    });
}

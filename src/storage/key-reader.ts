/** Reads keys of apps: the look-ups of one turn of the event loop are one command, on a cluster one for each app. */
import type { Clock } from "../model/clock.ts";
import type { RedisClient } from "./redis.ts";

/** Null when the key is not there. Rejects if Redis is unreachable or slow. @param key one with the app's tag */
export type ReadKey = (app: string, key: string) => Promise<string | null>;

interface Lookup {
  readonly app: string;
  readonly key: string;
  readonly resolve: (value: string | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Long, because the alternative to waiting for a slow Redis is a duplicate; an unreachable one fails at once. */
const TIMEOUT_MS = 3_000;
const MAX_AT_ONCE = 500;

export function createKeyReader(redis: RedisClient, clock: Clock): ReadKey {
  let waiting: Lookup[] = [];

  const readMany = async (lookups: readonly Lookup[]): Promise<void> => {
    let cancel = (): void => {};
    const tooLate = new Promise<never>((_, reject) => {
      cancel = clock.after(TIMEOUT_MS, () => reject(new Error(`Redis did not answer within ${TIMEOUT_MS} ms`)));
    });
    try {
      const values = await Promise.race([redis.mget(lookups.map(({ key }) => key)), tooLate]);
      for (const [at, { resolve }] of lookups.entries()) resolve(values[at] ?? null);
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

  return (app, key) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ app, key, resolve, reject }) === 1) setImmediate(readWaiting);
    });
}

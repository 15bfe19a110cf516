/** Look-ups of one turn of the event loop are read together; on a cluster those of one app, so that a node that is down fails only its own. */
import type { Clock } from "../model/clock.ts";
import type { RedisClient } from "./redis.ts";

export interface OfApp {
  readonly app: string;
}

interface Lookup<Sought, Found> {
  readonly sought: Sought;
  readonly resolve: (found: Found) => void;
  readonly reject: (error: unknown) => void;
}

/** Long, because the alternative to waiting for a slow Redis is a duplicate; an unreachable one fails at once. */
const TIMEOUT_MS = 3_000;
const MAX_AT_ONCE = 500;

/** @param readMany returns one for each, in order. @returns rejects if Redis is unreachable or slow */
export function createTurnReader<Sought extends OfApp, Found>(
  redis: Pick<RedisClient, "isCluster">,
  clock: Clock,
  readMany: (sought: readonly Sought[]) => Promise<readonly Found[]>,
): (sought: Sought) => Promise<Found> {
  let waiting: Array<Lookup<Sought, Found>> = [];

  const readGroup = async (lookups: ReadonlyArray<Lookup<Sought, Found>>): Promise<void> => {
    let cancel = (): void => {};
    const tooLate = new Promise<never>((_, reject) => {
      cancel = clock.after(TIMEOUT_MS, () => reject(new Error(`Redis did not answer within ${TIMEOUT_MS} ms`)));
    });
    try {
      const found = await Promise.race([readMany(lookups.map(({ sought }) => sought)), tooLate]);
      for (const [at, { resolve }] of lookups.entries()) resolve(found[at] as Found);
    } catch (error) {
      for (const { reject } of lookups) reject(error);
    } finally {
      cancel();
    }
  };

  const readWaiting = (): void => {
    const lookups = waiting;
    waiting = [];
    for (const group of redis.isCluster ? Map.groupBy(lookups, ({ sought }) => sought.app).values() : [lookups]) {
      for (let from = 0; from < group.length; from += MAX_AT_ONCE) void readGroup(group.slice(from, from + MAX_AT_ONCE));
    }
  };

  return (sought) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ sought, resolve, reject }) === 1) setImmediate(readWaiting);
    });
}

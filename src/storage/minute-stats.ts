/**
 * An app's attempts by the minute, in the hashes of recent-attempts.ts: `<minute> <outcome>`, and `<minute> ~<bucket>` of
 * latency-histogram.ts. `<minute> delivered` serves both.
 */
import { OUTCOMES } from "../model/outcome.ts";
import { keys } from "./keys.ts";
import { slotAt } from "./recent-attempts.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, unlessWrongType } from "./redis-reading.ts";

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
/** Before the number of a bucket, which could be a response code otherwise. */
export const BUCKET = "~";

/** Attempts that count in a minute or an hour. */
export interface Counts {
  /** Start of the minute or hour, milliseconds since the epoch. */
  readonly at: number;
  readonly lengthMs: number;
  /** An outcome, or the number of a latency bucket. */
  readonly field: string;
  readonly attempts: number;
}

export async function readMinutes(
  redis: RedisClient,
  app: string,
  createdAt: number,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<Counts[]> {
  const first = slotAt(start).quarter;
  const last = slotAt(end - 1).quarter;
  const ofQuarter = async (quarter: number): Promise<Counts[]> => {
    const hash = await unlessWrongType(redis.hgetall(keys.recent(app, createdAt, quarter)), {});
    return Object.entries(hash).flatMap(([name, attempts]) => {
      const [minute = "", counted = ""] = name.split(" ");
      const field = counted.startsWith(BUCKET) ? counted.slice(1) : OUTCOMES.find((outcome) => outcome === counted);
      if (field === undefined || !/^\d{1,2}$/.test(minute)) return [];
      return [{ at: quarter * QUARTER_MS + Number(minute) * MINUTE_MS, lengthMs: MINUTE_MS, field, attempts: countIn(attempts) }];
    });
  };
  return (await Promise.all(Array.from({ length: last - first + 1 }, (_, at) => ofQuarter(first + at)))).flat();
}

/** A past for the stats: what an app's attempts of many days would have left in Redis. */
import type { Redis } from "ioredis";
import type { Outcome } from "../../src/model/outcome.ts";
import { DEFAULT_REDIS_KEY_PREFIX } from "../../src/model/redis-key-prefix.ts";
import { keys } from "../../src/storage/keys.ts";
import { bucketOf } from "../../src/storage/latency-histogram.ts";

const HOUR_MS = 3_600_000;

export interface Past {
  readonly app: string;
  readonly days: number;
  /** Attempts by outcome of the hour so many hours ago, 0 being the one that is going on, -1 the next one: it may begin meanwhile. */
  readonly outcomes: (hoursAgo: number) => Partial<Record<Outcome, number>>;
  /** When the app was made, milliseconds since the epoch: the past is that app's. */
  readonly createdAt: number;
  /** Around so many milliseconds the receiver answers. */
  readonly medianMs: number;
}

/** Shares of an hour's attempts by how long they took, as multiples of the median. */
const SPREAD = [
  [0.7, 0.25],
  [1, 0.4],
  [1.6, 0.2],
  [3, 0.1],
  [7, 0.04],
  [14, 0.01],
] as const;

export async function writePast(redis: Redis, pasts: readonly Past[], now = Date.now()): Promise<void> {
  const pipeline = redis.pipeline();
  const full = (key: string): string => `${DEFAULT_REDIS_KEY_PREFIX}:${key}`;
  for (const { app, days, createdAt, outcomes, medianMs } of pasts) {
    pipeline.set(full(keys.appCreated(app)), createdAt);
    for (let hoursAgo = -1; hoursAgo < days * 24; hoursAgo++) {
      const at = new Date(now - hoursAgo * HOUR_MS).toISOString();
      const hour = at.slice(11, 13);
      const fields = new Map<string, number>();
      let answered = 0;
      for (const [outcome, attempts = 0] of Object.entries(outcomes(hoursAgo))) {
        if (attempts > 0) fields.set(`${hour} ${outcome}`, attempts);
        if (outcome !== "unreachable" && outcome !== "blocked") answered += attempts;
      }
      for (const [factor, share] of SPREAD) {
        const attempts = Math.round(answered * share);
        const field = `${hour} ${bucketOf(medianMs * factor)}`;
        if (attempts > 0) fields.set(field, (fields.get(field) ?? 0) + attempts);
      }
      for (const [field, attempts] of fields) pipeline.hincrby(full(keys.stats(app, at.slice(0, 10))), field, attempts);
    }
  }
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

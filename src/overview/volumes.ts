/**
 * The volumes of all apps over the last 24 hours, for a page that asks every few seconds: volumes of past hours are cached,
 * and only the last two hours are read again.
 */
import type { Clock } from "../model/clock.ts";
import type { StatsQuery, Volume } from "../model/stats.ts";

const HOUR_MS = 3_600_000;
const HOURS = 24;
/** After this time all hours are read again, because another replica may have written late. */
const REREAD_ALL_MS = 5 * 60_000;
const NOTHING: Volume = { attempts: 0, delivered: 0 };

/** The starts of the last 24 hours, the current one included, oldest first. */
export function lastHours(now: number): readonly number[] {
  const current = now - (now % HOUR_MS);
  return Array.from({ length: HOURS }, (_, index) => current - (HOURS - 1 - index) * HOUR_MS);
}

/** App → its volume in each hour. Hours never move back between calls. @throws AppError REDIS_UNREACHABLE */
export type ReadVolumes = (apps: readonly string[], hours: readonly number[]) => Promise<ReadonlyMap<string, readonly Volume[]>>;

export function createVolumes(stats: StatsQuery, clock: Clock): ReadVolumes {
  /** App → start of an hour → volume. */
  const known = new Map<string, Map<number, Volume>>();
  let lastRead = 0;
  let allReadAt = Number.NEGATIVE_INFINITY;

  const read = async (apps: readonly string[], hours: readonly number[]): Promise<void> => {
    if (apps.length === 0) return;
    const volumes = await stats.ofHours(apps, hours);
    for (const [at, app] of apps.entries()) {
      const kept = [...(known.get(app) ?? [])].filter(([hour]) => hours.length < HOURS && !hours.includes(hour));
      known.set(app, new Map([...kept, ...hours.map((hour, index) => [hour, volumes[at]?.[index] ?? NOTHING] as const)]));
    }
  };

  return async (apps, hours) => {
    if (clock.now() - allReadAt >= REREAD_ALL_MS) {
      known.clear();
      allReadAt = clock.now();
    }
    const old = apps.filter((app) => known.has(app));
    try {
      await read(
        apps.filter((app) => !known.has(app)),
        hours,
      );
      await read(
        old,
        hours.filter((hour) => hour >= lastRead - HOUR_MS),
      );
    } catch (error) {
      // Rows written after an outage may belong to hours that were read before it.
      allReadAt = Number.NEGATIVE_INFINITY;
      throw error;
    }
    lastRead = hours.at(-1) ?? lastRead;
    return new Map(apps.map((app) => [app, hours.map((hour) => known.get(app)?.get(hour) ?? NOTHING)]));
  };
}

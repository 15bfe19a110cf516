/**
 * Reads the stats of apps: outcomes and durations of the attempts of each UTC hour of the last 30 days, or of each minute of the last 6
 * hours. Test events and manual resends count neither here nor in health.
 */
import { toRfc3339 } from "../model/clock.ts";
import { OUTCOMES, type Outcome } from "../model/outcome.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatsPeriod, StatsQuery, Volume } from "../model/stats.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { LAST_BUCKET, latencyOf } from "./latency-histogram.ts";
import { type Counts, readMinutes } from "./minute-stats.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const NAMES = OUTCOMES;
/** As many as are asked for at once: in between, deliveries get their turn. */
const APPS_AT_ONCE = 100;

export function createStatsQuery(redis: RedisClient, appCreatedAt: AppCreatedAt, problem: RedisProblem = () => null): StatsQuery {
  return {
    ofApp: (app, start, stepMs, steps) =>
      reading("the stats", problem, async () => {
        const end = start + stepMs * steps;
        const createdAt = appCreatedAt(app);
        const [since, allTypes, counts] = await Promise.all([
          belongsSince(redis, app, createdAt),
          unlessWrongType(redis.zrevrange(keys.eventTypes(app), 0, -1, "WITHSCORES"), []),
          stepMs < HOUR_MS ? readMinutes(redis, app, createdAt ?? 0, { start, end }) : readHours(redis, app, { start, end }),
        ]);
        const total = createSum();
        const sums = Array.from({ length: steps }, createSum);
        for (const { at, lengthMs, field, attempts } of counts) {
          if (!(at >= start && at < end && at + lengthMs > since)) continue;
          total.add(field, attempts);
          sums[Math.floor((at - start) / stepMs)]?.add(field, attempts);
        }
        const periods = sums.map((sum, index) => sum.period(start + index * stepMs));
        const eventTypes = allTypes.filter((_, at) => at % 2 === 0 && Number(allTypes[at + 1]) >= since);
        return { total: total.period(start), periods, eventTypes };
      }),

    ofHours: (apps, hours) =>
      reading("the stats", problem, async () => {
        const volumes: Volume[][] = [];
        for (let from = 0; from < apps.length; from += APPS_AT_ONCE) {
          volumes.push(...(await volumesOf(redis, apps.slice(from, from + APPS_AT_ONCE), hours, appCreatedAt)));
        }
        return volumes;
      }),
  };
}

async function readHours(redis: RedisClient, app: string, { start, end }: { start: number; end: number }): Promise<Counts[]> {
  const ofDay = async (day: string): Promise<Counts[]> => {
    const hash = await unlessWrongType(redis.hgetall(keys.stats(app, day)), {});
    return Object.entries(hash).map(([name, attempts]) => {
      const [hour = "", field = ""] = name.split(" ");
      return { at: epochMsOf(`${day}T${hour}:00:00Z`), lengthMs: HOUR_MS, field, attempts: countIn(attempts) };
    });
  };
  return (await Promise.all(daysBetween(start, end).map(ofDay))).flat();
}

async function volumesOf(
  redis: RedisClient,
  apps: readonly string[],
  hours: readonly number[],
  appCreatedAt: AppCreatedAt,
): Promise<Volume[][]> {
  const ofDay = Map.groupBy(hours, dayOf);
  const fieldsOfDay = [...ofDay].map(([day, hoursOfDay]) => ({
    day,
    fields: hoursOfDay.flatMap((at) => NAMES.map((name) => `${toRfc3339(at).slice(11, 13)} ${name}`)),
  }));
  const read = (app: string, day: string, fields: string[]) =>
    unlessWrongType(
      redis.hmget(keys.stats(app, day), ...fields),
      fields.map(() => null),
    );
  const [sinces, replies] = await Promise.all([
    Promise.all(apps.map((app) => belongsSince(redis, app, appCreatedAt(app)))),
    Promise.all(apps.flatMap((app) => fieldsOfDay.map(({ day, fields }) => read(app, day, fields)))),
  ]);
  return apps.map((_, index) =>
    replies
      .slice(index * ofDay.size, (index + 1) * ofDay.size)
      .flat()
      .reduce<Array<{ attempts: number; delivered: number }>>((volumes, count, at) => {
        const hour = Math.floor(at / NAMES.length);
        volumes[hour] ??= { attempts: 0, delivered: 0 };
        if ((hours[hour] ?? 0) + HOUR_MS <= (sinces[index] ?? 0)) return volumes;
        volumes[hour].attempts += countIn(count);
        if (NAMES[at % NAMES.length] === "delivered") volumes[hour].delivered += countIn(count);
        return volumes;
      }, []),
  );
}

interface Sum {
  /** @param field an outcome or the number of a latency bucket */
  add(field: string, attempts: number): void;
  period(start: number): StatsPeriod;
}

function createSum(): Sum {
  const outcomes = Object.fromEntries(NAMES.map((name) => [name, 0])) as Record<Outcome, number>;
  const buckets = new Map<number, number>();
  return {
    add(field, attempts) {
      if (Object.hasOwn(outcomes, field)) outcomes[field as Outcome] += attempts;
      else if (/^\d{1,2}$/.test(field) && Number(field) <= LAST_BUCKET)
        buckets.set(Number(field), (buckets.get(Number(field)) ?? 0) + attempts);
    },
    period: (start) => ({ start, outcomes, latency: latencyOf(buckets) }),
  };
}

function dayOf(at: number): string {
  return toRfc3339(at).slice(0, 10);
}

function daysBetween(start: number, end: number): string[] {
  const days: string[] = [];
  for (let at = start - (start % DAY_MS); at < end; at += DAY_MS) days.push(dayOf(at));
  return days;
}

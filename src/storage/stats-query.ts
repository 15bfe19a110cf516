/**
 * Reads the stats of apps: outcomes and durations of the attempts of each UTC hour of the last 30 days. Test events and manual
 * resends count neither here nor in health.
 */
import { toRfc3339 } from "../model/clock.ts";
import { OUTCOMES, type Outcome } from "../model/outcome.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { StatsPeriod, StatsQuery, Volume } from "../model/stats.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { LAST_BUCKET, latencyOf } from "./latency-histogram.ts";
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
        const days = daysBetween(start, end);
        const [since, allTypes, ...hashes] = await Promise.all([
          belongsSince(redis, app, appCreatedAt(app)),
          unlessWrongType(redis.zrevrange(keys.eventTypes(app), 0, -1, "WITHSCORES"), []),
          ...days.map((day) => unlessWrongType(redis.hgetall(keys.stats(app, day)), {})),
        ]);
        const total = createSum();
        const sums = Array.from({ length: steps }, createSum);
        for (const [index, day] of days.entries()) {
          for (const [field, attempts] of Object.entries(hashes[index] ?? {})) {
            const [hour = "", counted = ""] = field.split(" ");
            const at = epochMsOf(`${day}T${hour}:00:00Z`);
            if (!(at >= start && at < end && at + HOUR_MS > since)) continue;
            total.add(counted, countIn(attempts));
            sums[Math.floor((at - start) / stepMs)]?.add(counted, countIn(attempts));
          }
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

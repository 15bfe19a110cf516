/** GET /v1/apps/{slug}/stats: outcomes and latency of an app's attempts over the last hours, day, week or month. */
import { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import { type Clock, toRfc3339 } from "../../model/clock.ts";
import type { StatsPeriod, StatsQuery } from "../../model/stats.ts";
import { slugParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { answer, type Route, route } from "../http/route.ts";
import { appStats, statsRange } from "../schemas/stats.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** Range → periods. Each starts at a multiple of its length in UTC; the last one is the current period. */
const RANGES = {
  "1h": { stepMs: MINUTE_MS, steps: 60 },
  "6h": { stepMs: MINUTE_MS, steps: 360 },
  "24h": { stepMs: HOUR_MS, steps: 24 },
  "7d": { stepMs: 6 * HOUR_MS, steps: 28 },
  "30d": { stepMs: 24 * HOUR_MS, steps: 30 },
} as const;

export interface StatsRoutesDependencies {
  readonly index: RegistryIndex;
  readonly stats: StatsQuery;
  readonly clock: Clock;
}

export function statsRoutes({ index, stats, clock }: StatsRoutesDependencies): Route[] {
  return [
    route({
      operationId: "getAppStats",
      method: "GET",
      url: "/v1/apps/:slug/stats",
      access: "read",
      forApp: true,
      summary: "Attempts by outcome and latency percentiles over time. Test events and manual resends are not counted.",
      params: z.object({ slug: slugParameter }),
      query: z.object({
        range: statsRange
          .default("24h")
          .meta({ description: "Periods are a minute long in 1h and 6h, an hour in 24h, six hours in 7d, a day in 30d." }),
      }),
      answers: { 200: answer("totals and periods", appStats), 503: "Redis is unreachable" },
      async handle({ params: { slug }, query: { range } }) {
        if (index.app(slug) === undefined) throw new AppError("NOT_FOUND", `no app ${slug}`);
        const { stepMs, steps } = RANGES[range];
        const now = clock.now();
        const start = now - (now % stepMs) - (steps - 1) * stepMs;
        const { total, periods, eventTypes } = await stats.ofApp(slug, start, stepMs, steps);
        const { start: _, ...totals } = periodView(total);
        return {
          status: 200,
          body: {
            app: slug,
            range,
            start: toRfc3339(start),
            end: toRfc3339(start + steps * stepMs),
            step_s: stepMs / 1000,
            totals,
            periods: periods.map(periodView),
            event_types: eventTypes,
          },
        };
      },
    }),
  ];
}

function periodView({ start, outcomes, latency }: StatsPeriod) {
  const attempts = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  return {
    start: toRfc3339(start),
    attempts,
    success_rate: attempts === 0 ? null : Math.round((outcomes.delivered / attempts) * 10_000) / 10_000,
    outcomes,
    latency_ms: latency,
  };
}

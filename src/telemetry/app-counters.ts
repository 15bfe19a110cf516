/**
 * Counters of single apps, for a bounded number of apps. An app gets its own series with its first attempt, up to the limit, and
 * keeps it: a series that disappeared would be read as a reset. All other apps are counted as `_other`.
 */
import { OUTCOMES, type Outcome } from "../model/outcome.ts";
import { OTHER_APPS } from "../model/stream-metrics.ts";
import type { Counter, Metrics } from "./metrics.ts";

export interface AppCounters {
  attempted(app: string, outcome: Outcome, durationMs: number): void;
}

interface CountersOfApp {
  readonly attempts: Readonly<Record<Outcome, Counter>>;
  readonly seconds: Counter;
}

export function createAppCounters(metrics: Metrics, mostApps: number): AppCounters {
  const apps = new Map<string, CountersOfApp>();
  let other: CountersOfApp | undefined;

  const create = (app: string): CountersOfApp => {
    const attempts = Object.fromEntries(
      OUTCOMES.map((outcome) => [outcome, metrics.counter("posthorn_app_attempts_total", app, outcome)]),
    ) as Record<Outcome, Counter>;
    return { attempts, seconds: metrics.counter("posthorn_app_attempt_seconds_total", app) };
  };

  const countersOf = (app: string): CountersOfApp => {
    const known = apps.get(app);
    if (known !== undefined) return known;
    if (apps.size >= mostApps) {
      other ??= create(OTHER_APPS);
      return other;
    }
    const created = create(app);
    apps.set(app, created);
    return created;
  };

  return {
    attempted(app, outcome, durationMs) {
      const { attempts, seconds } = countersOf(app);
      attempts[outcome].add();
      seconds.add(durationMs / 1000);
    },
  };
}

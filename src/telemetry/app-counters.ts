/**
 * Counters of single apps, for a bounded number of them: an app gets its own series with its first attempt while there is
 * room, and keeps it; all others are counted as `_other`. A series that came and went would be read as a reset.
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

  const make = (app: string): CountersOfApp => {
    const attempts = Object.fromEntries(
      OUTCOMES.map((outcome) => [outcome, metrics.counter("posthorn_app_attempts_total", app, outcome)]),
    ) as Record<Outcome, Counter>;
    return { attempts, seconds: metrics.counter("posthorn_app_attempt_seconds_total", app) };
  };

  const countersOf = (app: string): CountersOfApp => {
    const known = apps.get(app);
    if (known !== undefined) return known;
    if (apps.size >= mostApps) {
      other ??= make(OTHER_APPS);
      return other;
    }
    const made = make(app);
    apps.set(app, made);
    return made;
  };

  return {
    attempted(app, outcome, durationMs) {
      const { attempts, seconds } = countersOf(app);
      attempts[outcome].add();
      seconds.add(durationMs / 1000);
    },
  };
}

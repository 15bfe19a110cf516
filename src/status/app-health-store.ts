/** The health of apps: records `health.<app>` in the registry bucket, changed through the outbox. */
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { failingSince, type RecentAttempts, totalsOf } from "../model/recent-attempts.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppHealthData, appHealthChanged, type StatusEvent } from "../model/status-event.ts";
import type { AppHealthRecord } from "../model/stored-records.ts";
import type { Outbox } from "./outbox.ts";
import type { StatusEventOptions } from "./ports.ts";

export const HEALTH_PREFIX = "health.";

/** The part of an event's id before its number; a circuit's ids have the slug alone. */
export function healthName(key: string): string {
  return `${key.slice(HEALTH_PREFIX.length)}:health`;
}

/** Makes the app failing or healthy. @returns whether this call changed it */
export type ChangeAppHealth = (app: string, state: AppHealthRecord["state"], attempts: RecentAttempts) => Promise<boolean>;

export function createChangeAppHealth(
  outbox: Outbox<AppHealthRecord, StatusEvent>,
  clock: Clock,
  { prefix, dashboardUrl }: StatusEventOptions,
): ChangeAppHealth {
  return async (app, state, recent) => {
    const { changed } = await outbox.change(HEALTH_PREFIX + app, (current) => {
      if ((current?.state ?? "healthy") === state) return null;
      const now = clock.now();
      const began = toRfc3339(failingSince(recent) ?? now);
      const since = state === "failing" ? began : (current?.since ?? began);
      const data = healthData(app, since, recent, dashboardUrl(`/apps/${app}`));
      return {
        members: { state, since },
        event: (id) => appHealthChanged({ id, time: toRfc3339(now), prefix }, state, data),
      };
    });
    return changed;
  };
}

/** When the app began to fail, milliseconds since the epoch. @param record null: there is none. @returns null when the app is healthy */
export function failingSinceOf(record: AppHealthRecord | null): number | null {
  return record?.state === "failing" ? epochMsOf(record.since) : null;
}

function healthData(app: string, since: string, recent: RecentAttempts, dashboardUrl: string | null): AppHealthData {
  const { attempts, failures, failuresByCode } = totalsOf(recent);
  const { lastSuccessAt } = recent;
  return {
    ...{ app, since, attempts, failures },
    last_success_at: lastSuccessAt === null ? null : toRfc3339(lastSuccessAt),
    by_code: Object.fromEntries(failuresByCode),
    dashboard_url: dashboardUrl,
  };
}

/** The throttles' shared records: `throttle.<app>` in the registry bucket, changed through the outbox. */
import type { SharedThrottle, ThrottleChange, ThrottleStore } from "../delivery/throttle/ports.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { appReleased, appThrottled, type StatusEvent } from "../model/status-event.ts";
import type { ThrottleRecord } from "../model/stored-records.ts";
import type { Outbox } from "./outbox.ts";
import type { StatusEventOptions } from "./ports.ts";

export const THROTTLE_PREFIX = "throttle.";

/** The name in the ids of an app's events: its circuit's events have the slug alone. */
export function throttleName(key: string): string {
  return `${key.slice(THROTTLE_PREFIX.length)}:throttle`;
}

export function createThrottleStore(
  outbox: Outbox<ThrottleRecord, StatusEvent>,
  clock: Clock,
  { prefix, dashboardUrl }: StatusEventOptions,
): ThrottleStore {
  const eventOf = (app: string, { next, announce }: ThrottleChange, id: string): StatusEvent => {
    const facts = { id, time: toRfc3339(clock.now()), prefix };
    const dashboard = dashboardUrl(`/apps/${app}`);
    return announce === "throttled"
      ? appThrottled(facts, { app, until: toRfc3339(next.until), response_code: next.responseCode, dashboard_url: dashboard })
      : appReleased(facts, { app, throttled_at: toRfc3339(next.since), dashboard_url: dashboard });
  };

  return {
    async change(app, decide) {
      const { record, revision } = await outbox.change(THROTTLE_PREFIX + app, (current) => {
        const change = decide(sharedThrottle(current));
        if (change === null) return null;
        return { members: members(change.next), event: change.announce === null ? null : (id) => eventOf(app, change, id) };
      });
      return { throttle: sharedThrottle(record), revision };
    },
  };
}

function members({ since, until, responseCode, isAnnounced }: SharedThrottle): ThrottleRecord {
  return { since, until, response_code: responseCode, announced: isAnnounced };
}

/** @param record a record `throttle.<app>`; null when there is none */
export function sharedThrottle(record: ThrottleRecord | null): SharedThrottle | null {
  if (record === null) return null;
  const { since, until, response_code: responseCode, announced } = record;
  return { since, until, responseCode, isAnnounced: announced };
}

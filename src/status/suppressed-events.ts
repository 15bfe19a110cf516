/**
 * Reports `delivery.*` events that were not published, because an app had too many of them or the store had no room: one
 * `delivery.suppressed` for each app and minute. Any replica reports, also for one that has died. The event's id is that of its minute, so that it is published once.
 */
import { messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { every, type PeriodicTask } from "../model/periodic.ts";
import { deliveriesSuppressed, type StatusEvent } from "../model/status-event.ts";
import type { EventBudget, StatusEventOptions, SuppressedEvents } from "./ports.ts";

export interface SuppressedReportsDependencies {
  readonly budget: EventBudget;
  /** Publishes an event unless it was published. */
  readonly publishOnce: (event: StatusEvent) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const CHECK_EVERY_MS = 5_000;
/** The clocks of replicas differ: one that is behind counts into a minute that others take for ended. */
const MARGIN_MS = 1_000;

export function createSuppressedReports(
  { budget, publishOnce, clock, logger }: SuppressedReportsDependencies,
  { prefix, dashboardUrl }: StatusEventOptions,
): PeriodicTask {
  const eventOf = ({ app, since, until, count }: SuppressedEvents): StatusEvent =>
    deliveriesSuppressed(
      { id: `${app}:suppressed:${since}`, time: toRfc3339(clock.now()), prefix },
      { app, count, since: toRfc3339(since), until: toRfc3339(until), dashboard_url: dashboardUrl(`/apps/${app}`) },
    );

  const report = async (): Promise<void> => {
    for (const events of await budget.suppressed()) {
      if (clock.now() < events.until + MARGIN_MS) continue;
      await publishOnce(eventOf(events));
      await budget.reported(events);
      logger.warn({ app: events.app, count: events.count }, "delivery events were suppressed");
    }
  };

  return every(clock, CHECK_EVERY_MS, report, (error) =>
    logger.debug({ error: messageOf(error) }, "suppressed delivery events can't be reported now, retrying"),
  );
}

/** Builds the status events of an integration's changes. */
import type { InstallationStatus } from "../model/app.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { withoutSecrets } from "../model/redaction/safe-url.ts";
import { type BrokenReasonData, integrationBroken, integrationChanged, type StatusEvent } from "../model/status-event.ts";
import type { InstallationRecord } from "../model/stored-records.ts";
import type { StatusEventOptions } from "./ports.ts";

/** @param before the record as the change found it */
export interface IntegrationEvents {
  broken(before: InstallationRecord, reason: BrokenReasonData): (id: string) => StatusEvent;
  changed(before: InstallationRecord, change: "recovered" | "disabled" | "enabled", by: "probe" | "person"): (id: string) => StatusEvent;
}

export function createIntegrationEvents(
  /** The URL that the installation's webhooks go to. */
  webhookUrlOf: (uuid: string) => string,
  clock: Clock,
  { prefix, dashboardUrl }: StatusEventOptions,
): IntegrationEvents {
  const facts = (id: string) => ({ id, time: toRfc3339(clock.now()), prefix });

  const data = ({ uuid, app, organization_id, status: previous }: InstallationRecord, status: InstallationStatus) => ({
    app,
    installation_uuid: uuid,
    organization_id,
    webhook_url: withoutSecrets(webhookUrlOf(uuid)),
    previous_status: previous,
    status,
    dashboard_url: dashboardUrl(`/installations/${uuid}`),
  });

  return {
    broken: (before, reason) => (id) => integrationBroken(facts(id), { ...data(before, "broken"), reason }),
    changed: (before, change, by) => (id) =>
      integrationChanged(facts(id), change, { ...data(before, change === "disabled" ? "disabled" : "active"), reason: { by } }),
  };
}

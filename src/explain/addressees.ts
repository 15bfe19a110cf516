/** Which installations of an event's organization want it, and why the others do not. */
import type { App, Installation } from "../model/app.ts";
import type { NotedAddressee, StoredEvent } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { deliveryId } from "../model/event-key.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type NotWantedBecause, whyNotWanted } from "../registry/match.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { EventAnswer, ExplainedDelivery } from "./answer-schemas.ts";
import type { DeliveryRef } from "./describe-delivery.ts";
import type { RegistrySources } from "./ports.ts";

export type NotWanted = EventAnswer["not_wanted"][number];

/**
 * @param noted installations that the event was delivered to, whatever the registry says now
 * @param onlyApp null: all apps
 */
export function addresseesOf(
  event: Event,
  index: RegistryIndex,
  noted: readonly NotedAddressee[],
  onlyApp: string | null,
): { wanted: readonly DeliveryRef[]; notWanted: NotWanted[] } {
  const wanted: DeliveryRef[] = [...noted];
  const notWanted: NotWanted[] = [];
  const notedUuids = new Set(noted.map(({ installationUuid }) => installationUuid));
  for (const installation of index.installationsOf(event.organizationId)) {
    const { uuid, app: slug } = installation;
    if (notedUuids.has(uuid) || (onlyApp !== null && slug !== onlyApp)) continue;
    const app = index.app(slug);
    const because = app && whyNotWanted(event, installation, app);
    if (because === null) wanted.push({ app: slug, installationUuid: uuid, deliveryId: deliveryId(event, uuid) });
    else {
      const reason =
        app === undefined || because === undefined
          ? ({ because: "no_app", detail: `app ${slug} is not in the registry` } as const)
          : { because, detail: inWords(because, event, installation, app) };
      notWanted.push({ app: slug, installation_uuid: uuid, ...reason });
    }
  }
  return { wanted, notWanted };
}

function inWords(because: NotWantedBecause, event: Event, installation: Installation, app: App): string {
  switch (because) {
    case "not_subscribed":
      return `the app subscribes to ${app.events.length === 0 ? "nothing" : app.events.join(", ")}; the event is ${event.type}`;
    case "other_project":
      return `it covers the projects ${installation.projectIds.slice(0, 10).join(", ")}; the event is of project ${event.projectId}`;
    case "other_app":
      return `the event is addressed to app ${event.app}`;
    case "other_installation":
      return `the event is addressed to installation ${event.installationUuid}`;
  }
}

/**
 * An installation that matches the event now, without any trace of a delivery, may have been installed or changed after the
 * event was handled. @returns null: the delivery is to be shown
 */
export async function whyNotWantedThen(
  { registry }: Pick<RegistrySources, "registry">,
  { app, installation_uuid: uuid, state, attempts }: Pick<ExplainedDelivery, "app" | "installation_uuid" | "state" | "attempts">,
  stored: StoredEvent | null,
): Promise<NotWanted | null> {
  if (state !== "unknown" || stored?.stage !== "handled" || attempts.length > 0) return null;
  const { record: installation } = await registry.getInstallation(uuid);
  const installedAt = installation.created_at;
  const notWanted = (because: "installed_later" | "changed_later", detail: string): NotWanted => ({
    ...{ app, installation_uuid: uuid, because, detail },
  });
  if (installedAt !== undefined && epochMsOf(installedAt) > stored.storedAt)
    return notWanted("installed_later", `it was installed at ${installedAt}, after the event`);
  const records = [
    ["app", (await registry.getApp(app)).record],
    ["installation", installation],
  ] as const;
  for (const [kind, { updated_at: changedAt }] of records) {
    if (changedAt !== undefined && epochMsOf(changedAt) > stored.storedAt)
      return notWanted("changed_later", `the ${kind} was changed at ${changedAt}, after the event, which it did not get`);
  }
  return null;
}

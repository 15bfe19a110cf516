/** Publishes delivery.exhausted and delivery.rejected when a delivery goes to dead letters. */
import type { GivenUp } from "../delivery/give-up.ts";
import type { RegistryView } from "../delivery/ports.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { deliveryGivenUp, type StatusEvent } from "../model/status-event.ts";

export interface GivenUpOptions {
  readonly prefix: string;
  readonly dashboardUrl: (path: string) => string | null;
}

/** Resolves when the event is stored. */
export function createDeliveryEvents(
  /** Resolves when the status stream has stored the event. */
  announce: (event: StatusEvent) => Promise<void>,
  registry: RegistryView,
  clock: Clock,
  { prefix, dashboardUrl }: GivenUpOptions,
) {
  return async ({ delivery, reason, error }: GivenUp): Promise<void> => {
    const change = reason === "exhausted" ? "exhausted" : "rejected";
    const last = delivery.attempts.at(-1) ?? null;
    const id = `${delivery.id}:${delivery.replay ?? 0}:${change}`;
    await announce(
      deliveryGivenUp({ id, time: toRfc3339(clock.now()), prefix }, change, {
        app: delivery.app,
        installation_uuid: delivery.installationUuid,
        organization_id: registry.installation(delivery.installationUuid)?.organizationId ?? delivery.event.organizationId,
        delivery_id: delivery.id,
        event_id: delivery.event.id,
        event_type: delivery.event.type,
        attempts: delivery.attemptsMade,
        reason,
        last_outcome: last?.outcome ?? null,
        last_response_code: last?.responseCode ?? null,
        last_error: last?.error ?? error,
        dashboard_url: dashboardUrl(`/apps/${delivery.app}`),
      }),
    );
  };
}

/** Publishes delivery.exhausted and delivery.rejected when a delivery goes to dead letters. */
import type { GivenUp } from "../delivery/give-up.ts";
import type { RegistryView } from "../delivery/ports.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { deliveryGivenUp, type StatusEvent } from "../model/status-event.ts";
import type { EventBudget, StatusEventOptions } from "./ports.ts";

export interface DeliveryEventsDependencies {
  /** Resolves when the status stream has stored the event. @throws AppError STORE_FULL, STREAM_REFUSED */
  readonly publish: (event: StatusEvent) => Promise<void>;
  readonly budget: Pick<EventBudget, "take" | "suppress">;
  readonly registry: RegistryView;
  readonly clock: Clock;
}

/**
 * Resolves when the event is stored, or counted among those that are suppressed. One that the stream has no room for is counted: in a full
 * store there may be none before the source of its dead letter is acknowledged, which waits for it. It is tried on while Redis can't count
 * it: rejected, its delivery would be attempted again, although its dead letter is stored.
 */
export function createDeliveryEvents(
  { publish, budget, registry, clock }: DeliveryEventsDependencies,
  { prefix, dashboardUrl }: StatusEventOptions,
) {
  return async ({ delivery, reason, error }: GivenUp): Promise<void> => {
    if (!(await budget.take(delivery.app))) return;
    const change = reason === "exhausted" ? "exhausted" : "rejected";
    const last = delivery.attempts.at(-1) ?? null;
    const id = `${delivery.id}:${delivery.replay ?? 0}:${change}`;
    const event = deliveryGivenUp({ id, time: toRfc3339(clock.now()), prefix }, change, {
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
    });
    for (;;) {
      try {
        return await publish(event);
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== "STORE_FULL") throw error;
        if (await budget.suppress(delivery.app)) return;
      }
    }
  };
}

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
 * Resolves when the event is stored or counted as suppressed. An event that finds no room is counted: its dead letter's source is
 * acknowledged only after it, which may be what makes room. While Redis can't count it, publishing is retried: a rejection would cause
 * another attempt of a delivery that has its dead letter.
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
      } catch (fault) {
        // Each try lasts until PUBLISH-1 gives up.
        if (!(fault instanceof AppError) || fault.code !== "STORE_FULL") throw fault;
        if (await budget.suppress(delivery.app)) return;
      }
    }
  };
}

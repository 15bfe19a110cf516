/**
 * Skips a delivery that was delivered before, for the same event message or for another message with the same event key. The skip
 * is logged, counted, and recorded in the delivery's history. Nothing else skips deliveries.
 */
import type { Delivery } from "../model/delivery.ts";
import type { AttemptLog, DeliveryObserver } from "./ports.ts";

/** @returns whether the delivery is skipped; false also when Redis is down */
export type SkipDelivered = (delivery: Delivery) => Promise<boolean>;

export interface SkipDeliveredDependencies {
  readonly log: Pick<AttemptLog, "findDelivered" | "skipped">;
  readonly observer: Pick<DeliveryObserver, "skipped">;
}

export function createSkipDelivered({ log, observer }: SkipDeliveredDependencies): SkipDelivered {
  return async (delivery) => {
    const delivered = await log.findDelivered(delivery);
    if (delivered === null) return false;
    log.skipped(delivery, delivered);
    observer.skipped(delivery, delivered);
    return true;
  };
}

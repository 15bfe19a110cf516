/**
 * Skips a delivery that is done: delivered before, for the same event message or for another message with the same event key; or stored
 * in another stream since, for the same message. The skip is logged and counted, and recorded in the delivery's history when it was
 * delivered. Nothing else skips deliveries.
 */
import type { Delivery } from "../model/delivery.ts";
import type { AttemptLog, DeliveryObserver } from "./ports.ts";

/** @returns whether the delivery is skipped; false also when Redis is down */
export type SkipDelivered = (delivery: Delivery) => Promise<boolean>;

export interface SkipDeliveredDependencies {
  readonly log: Pick<AttemptLog, "findDelivered" | "isHandedOver" | "skipped">;
  readonly observer: Pick<DeliveryObserver, "skipped">;
}

export function createSkipDelivered({ log, observer }: SkipDeliveredDependencies): SkipDelivered {
  return async (delivery) => {
    const [delivered, isHandedOver] = await Promise.all([log.findDelivered(delivery), log.isHandedOver(delivery)]);
    if (delivered === null && !isHandedOver) return false;
    if (delivered !== null) log.skipped(delivery, delivered);
    observer.skipped(delivery, delivered);
    return true;
  };
}

/**
 * The one place where a delivery is skipped because it is done: delivered before, for the same event message or for
 * another one with the same event key, which has the same delivery id; or stored in another stream since, for the same message.
 * A skip is logged and counted, and noted for those who ask what became of the delivery.
 */
import type { Delivery } from "../model/delivery.ts";
import type { AttemptLog, DeliveryObserver } from "./ports.ts";

/** @returns whether the delivery is skipped; false also when Redis can't tell. */
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

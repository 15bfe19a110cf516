/**
 * The one place where a delivery is skipped because it was delivered before: by an earlier handling of the same event
 * message, or for another message with the same event key, which has the same delivery id. It is logged, counted, and noted
 * for those who ask what became of the delivery.
 */
import type { Delivery } from "../model/delivery.ts";
import type { AttemptLog, DeliveryObserver } from "./ports.ts";

/** @returns whether the delivery is skipped; false also when Redis can't tell. */
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

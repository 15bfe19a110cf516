/** Finds the dead letter of a delivery's run, if it is one that stops an order key (STOP-3). */
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";
import type { DeliveryHistory, LocatedDelivery, StreamLocation } from "../model/delivery-location.ts";
import { stopsKey } from "../model/key-stop.ts";

/** @returns its sequence; null: there is none, or Redis does not know it */
export type StoppingDeadLetter = (delivery: Delivery) => Promise<number | null>;

export interface StoppingDeadLetterDependencies {
  readonly find: (deliveryIds: readonly string[], apps: readonly string[]) => Promise<Array<DeliveryHistory | null>>;
  readonly at: (deliveryId: string, location: StreamLocation) => Promise<LocatedDelivery | null>;
}

export function createStoppingDeadLetter({ find, at }: StoppingDeadLetterDependencies): StoppingDeadLetter {
  return async (delivery) => {
    const [history] = await find([delivery.id], [delivery.app]);
    const located = history?.location?.stream === "dead-letters" ? await at(delivery.id, history.location) : null;
    if (located?.stream !== "dead-letters" || dedupKeyOf(located.delivery) !== dedupKeyOf(delivery)) return null;
    return stopsKey(located.reason) ? located.sequence : null;
  };
}

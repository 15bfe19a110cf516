/** The attempt log without Redis: it keeps which runs were delivered. */
import type { AttemptLog } from "../../src/delivery/ports.ts";
import { dedupKeyOf } from "../../src/model/delivery.ts";

export function createAttemptLogInMemory(): AttemptLog {
  const delivered = new Map<string, number | null>();
  return {
    record({ delivery, outcome }) {
      if (outcome === "delivered") delivered.set(dedupKeyOf(delivery), delivery.eventSequence);
    },
    async findDelivered(delivery) {
      const eventSequence = delivered.get(dedupKeyOf(delivery));
      return eventSequence === undefined ? null : { eventSequence };
    },
    async isHandedOver() {
      return false;
    },
    skipped() {},
  };
}

/** The attempt log without Redis: it keeps which runs were delivered. */
import type { AttemptLog, DeliveredFor } from "../../src/delivery/ports.ts";
import { dedupKeyOf } from "../../src/model/delivery.ts";
import { sentAgainAt } from "../../src/model/replay.ts";

export function createAttemptLogInMemory(): AttemptLog {
  const delivered = new Map<string, DeliveredFor & { readonly endedAt: number }>();
  return {
    record({ delivery, outcome, endedAt }) {
      if (outcome !== "delivered") return;
      for (const key of [dedupKeyOf(delivery), delivery.id]) delivered.set(key, { eventSequence: delivery.eventSequence, endedAt });
    },
    async findDelivered(delivery) {
      const since = sentAgainAt(delivery.replay);
      const ofAny = since === null ? undefined : delivered.get(delivery.id);
      return delivered.get(dedupKeyOf(delivery)) ?? (ofAny !== undefined && ofAny.endedAt > (since ?? 0) ? ofAny : null);
    },
    async isHandedOver() {
      return false;
    },
    skipped() {},
  };
}

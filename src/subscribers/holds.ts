/** The holds of ordered queues, as records `hold.<app>` in the registry bucket. */
import type { Hold, Holds } from "../delivery/ports.ts";
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { AttemptSummary } from "../model/outcome.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface HoldRecords {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  putRecord(key: string, value: string): Promise<number>;
  deleteRecord(key: string): Promise<unknown>;
}

interface WireHold {
  delivery_id: string;
  attempts_made: number;
  attempts: AttemptSummary[];
  due_at: string;
}

export function createHolds(records: HoldRecords): Holds {
  const keyOf = (app: string): string => `hold.${app}`;
  return {
    async read(app) {
      const record = await records.readRecord(keyOf(app));
      return record === null ? null : fromWire(app, record.value);
    },
    async write(app, { deliveryId, attemptsMade, attempts, dueAt }) {
      const wire: WireHold = {
        delivery_id: deliveryId,
        attempts_made: attemptsMade,
        attempts: [...attempts],
        due_at: toRfc3339(dueAt),
      };
      await records.putRecord(keyOf(app), JSON.stringify(wire));
    },
    async clear(app) {
      await records.deleteRecord(keyOf(app));
    },
  };
}

function fromWire(app: string, value: string): Hold {
  try {
    const wire = JSON.parse(value) as WireHold;
    return {
      deliveryId: wire.delivery_id,
      attemptsMade: wire.attempts_made,
      attempts: wire.attempts,
      dueAt: Date.parse(wire.due_at),
    };
  } catch (error) {
    throw new AppError("RECORD_INVALID", `record hold.${app} is not JSON`, { cause: error });
  }
}

/** The holds of ordered apps, as records `hold.<app>` in the registry bucket. */
import type { Hold, Holds } from "../delivery/ports.ts";
import { AppError } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import type { AttemptSummary } from "../model/outcome.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface HoldRecords {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  putRecord(key: string, value: string): Promise<number>;
  deleteRecord(key: string): Promise<unknown>;
}

interface WireHold {
  delivery_id: string;
  parked_sequence: number;
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
    async claim(app, hold, instead) {
      const value = toWire(hold);
      if (instead === null) return (await records.createRecord(keyOf(app), value)) !== "conflict";
      const found = await records.readRecord(keyOf(app));
      if (found === null || fromWire(app, found.value).deliveryId !== instead.deliveryId) return false;
      return (await records.updateRecord(keyOf(app), value, found.revision)) !== "conflict";
    },
    async write(app, hold) {
      await records.putRecord(keyOf(app), toWire(hold));
    },
    async clear(app) {
      await records.deleteRecord(keyOf(app));
    },
  };
}

function toWire({ deliveryId, parkedSequence, attemptsMade, attempts, dueAt }: Hold): string {
  const wire: WireHold = {
    delivery_id: deliveryId,
    parked_sequence: parkedSequence,
    attempts_made: attemptsMade,
    attempts: [...attempts],
    due_at: toRfc3339(dueAt),
  };
  return JSON.stringify(wire);
}

function fromWire(app: string, value: string): Hold {
  try {
    const wire = JSON.parse(value) as WireHold;
    return {
      deliveryId: wire.delivery_id,
      parkedSequence: wire.parked_sequence,
      attemptsMade: wire.attempts_made,
      attempts: wire.attempts,
      dueAt: Date.parse(wire.due_at),
    };
  } catch (error) {
    throw new AppError("RECORD_INVALID", `record hold.${app} is not JSON`, { cause: error });
  }
}

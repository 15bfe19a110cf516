/** The holds of ordered apps, as records `hold.<app>` in the registry bucket. */
import type { FoundHold, Hold, Holds } from "../../delivery/ports.ts";
import { toRfc3339 } from "../../model/clock.ts";
import type { AttemptSummary } from "../../model/outcome.ts";
import { epochMsOf } from "../../model/rfc3339.ts";

/** What is needed of the bucket; registry/store.ts has it. */
export interface HoldRecords {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  deleteRecordAt(key: string, revision: number): Promise<"deleted" | "conflict">;
}

interface WireHold {
  delivery_id: string | null;
  parked_sequence: number;
  attempts_made: number;
  attempts: AttemptSummary[];
  due_at: string;
  busy_until?: string;
  settled?: number[];
}

/** Nobody's. */
const NONE: Hold = { deliveryId: null, parkedSequence: 0, attemptsMade: 0, attempts: [], dueAt: 0, busyUntil: 0, settled: [] };

/** Leaves what was settled before its turn. */
export function released({ settled }: Hold): Hold {
  return { ...NONE, settled };
}

export function createHolds(records: HoldRecords): Holds {
  const keyOf = (app: string): string => `hold.${app}`;

  const read = async (app: string): Promise<FoundHold | null> => {
    const record = await records.readRecord(keyOf(app));
    return record === null ? null : { ...fromWire(record.value), revision: record.revision };
  };

  /** @returns false when it is not as it was found. */
  const replace = async (app: string, found: FoundHold | null, hold: Hold): Promise<boolean> => {
    if (hold.deliveryId !== null || hold.settled.length > 0) {
      const value = toWire(hold);
      const key = keyOf(app);
      return (await (found === null ? records.createRecord(key, value) : records.updateRecord(key, value, found.revision))) !== "conflict";
    }
    return found === null || (await records.deleteRecordAt(keyOf(app), found.revision)) !== "conflict";
  };

  return {
    read,
    claim: (app, hold, instead) => replace(app, instead, hold),
    async change(app, found, next) {
      for (let current = found; !(await replace(app, current, next(current ?? NONE))); ) current = await read(app);
    },
  };
}

function toWire({ deliveryId, parkedSequence, attemptsMade, attempts, dueAt, busyUntil, settled }: Hold): string {
  const wire: WireHold = {
    delivery_id: deliveryId,
    parked_sequence: parkedSequence,
    attempts_made: attemptsMade,
    attempts: [...attempts],
    due_at: toRfc3339(dueAt),
    busy_until: toRfc3339(busyUntil),
    ...(settled.length > 0 ? { settled: [...settled] } : {}),
  };
  return JSON.stringify(wire);
}

/** One that can't be read is nobody's: whoever takes the next one writes it over. */
function fromWire(value: string): Hold {
  try {
    const {
      delivery_id,
      parked_sequence,
      attempts_made,
      attempts,
      due_at,
      busy_until = due_at,
      settled = [],
    } = JSON.parse(value) as WireHold;
    const hold: Hold = {
      deliveryId: delivery_id,
      parkedSequence: parked_sequence,
      attemptsMade: attempts_made,
      attempts,
      dueAt: epochMsOf(due_at),
      busyUntil: epochMsOf(busy_until),
      settled,
    };
    return isHold(hold) ? hold : NONE;
  } catch {
    return NONE;
  }
}

function isHold({ deliveryId, parkedSequence, attemptsMade, attempts, dueAt, busyUntil, settled }: Hold): boolean {
  const numbers = [parkedSequence, attemptsMade, dueAt, busyUntil, ...settled];
  return (
    (deliveryId === null || typeof deliveryId === "string") &&
    numbers.every((value) => Number.isFinite(value)) &&
    attempts.every((attempt) => typeof attempt === "object" && attempt !== null)
  );
}

/**
 * Decides who takes the deliveries of ordered apps from the events: a record `order.<app>` in the registry bucket, written by the owner of the
 * queues alone, says from which event on it does. Replicas may know the record late, so a change goes through states in which a
 * replica that knows it and one that does not make no hole between them:
 *
 * no record   replicas deliver; those of an ordered app they park in the app's queue, which the owner empties
 * `taking`    replicas leave events from `from` on to the owner, who takes them whatever replicas know
 * `ending`    replicas park, and the owner takes a moment later what replicas that know less have left
 *
 * A write changes only the record that its writer has seen. What an owner wrote while it was cut off may arrive when another one
 * has the app in hand. The writer knows at once what it has written, or it would take up again what it has just given back.
 */

import { AppError } from "../../model/app-error.ts";
import { parseJsonObject } from "../../model/json-object.ts";
import type { RecordKind } from "../../model/record-kind.ts";

export interface OrderRecord {
  /** Sequence of the first event that the owner takes. */
  readonly from: number;
  readonly state: "taking" | "ending";
}

export type OrderRecords = ReturnType<typeof createOrderRecords>;

const ORDER_PREFIX = "order.";

export const ORDER_RECORDS: RecordKind<OrderRecord> = {
  prefix: ORDER_PREFIX,
  parse(app, value) {
    const { from, state } = parseJsonObject(`record ${ORDER_PREFIX}${app}`, value);
    if (!Number.isSafeInteger(from) || (state !== "taking" && state !== "ending"))
      throw new AppError("RECORD_INVALID", `record ${ORDER_PREFIX}${app}: wanted from (a sequence) and state (taking or ending)`);
    return { from: Number(from), state };
  },
};

/** The bucket operations needed here, which registry/store.ts implements. */
export interface OrderRecordStore {
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  deleteRecordAt(key: string, revision: number): Promise<"deleted" | "conflict">;
}

/** @param onChange called with the app of each record that was pushed */
export function createOrderRecords(store: OrderRecordStore, onChange: (app: string) => void) {
  const records = new Map<string, OrderRecord>();
  /** Also of deletions. */
  const revisions = new Map<string, number>();

  const set = (app: string, record: OrderRecord | null): void => {
    if (record === null) records.delete(app);
    else records.set(app, record);
  };

  const write = async (app: string, record: OrderRecord | null): Promise<void> => {
    const key = ORDER_PREFIX + app;
    const seen = revisions.get(app) ?? 0;
    const written = await (record === null ? store.deleteRecordAt(key, seen) : store.updateRecord(key, JSON.stringify(record), seen));
    if (written === "conflict") throw new AppError("CONFLICT", `record ${key} was changed in the meantime`, { retryable: true });
    if ((revisions.get(app) ?? 0) === seen) set(app, record);
  };

  return {
    /** The record was pushed. */
    observe(key: string, record: OrderRecord | null, revision: number): void {
      const app = key.slice(ORDER_PREFIX.length);
      revisions.set(app, revision);
      set(app, record);
      onChange(app);
    },
    /** The bucket was made again: its revisions are others. */
    forgetRevisions: (): void => revisions.clear(),
    get: (app: string): OrderRecord | undefined => records.get(app),
    apps: (): Iterable<string> => records.keys(),
    /** Whether replicas leave the app's deliveries of the event to the owner. */
    areLeft(app: string, eventSequence: number): boolean {
      const record = records.get(app);
      return record?.state === "taking" && eventSequence >= record.from;
    },
    /** @throws AppError CONFLICT, as does `remove` */
    put: (app: string, record: OrderRecord): Promise<void> => write(app, record),
    remove: (app: string): Promise<void> => write(app, null),
  };
}

/** Records with the compare-and-set of a KV bucket, in memory: for tests of what is built on it, with faults to order. */
import type { StatusRecords } from "../../src/status/ports.ts";

export interface RecordStore<R extends object> extends StatusRecords<R> {
  put(key: string, value: object): void;
  json(key: string): R;
  /** Writes what is no record. */
  damage(key: string): void;
  remove(key: string): void;
  /** The next so many updates fail as if the process had died before them. */
  failUpdates(count: number): void;
}

const DAMAGED = "{";

export function createRecordStore<R extends object>(): RecordStore<R> {
  const records = new Map<string, { value: string; revision: number; lastGood: R | null }>();
  const removals = new Map<string, number>();
  let revision = 0;
  let failing = 0;
  const write = async (key: string, value: string, expected: number): Promise<number | "conflict"> => {
    await new Promise((resolve) => setImmediate(resolve));
    if (failing > 0) {
      failing--;
      throw new Error("the process is gone");
    }
    if ((records.get(key)?.revision ?? 0) !== expected) return "conflict";
    set(key, value);
    return revision;
  };
  const set = (key: string, value: string): void => {
    const lastGood = value === DAMAGED ? (records.get(key)?.lastGood ?? null) : (JSON.parse(value) as R);
    records.set(key, { value, revision: ++revision, lastGood });
    removals.delete(key);
  };
  return {
    async read(key) {
      await new Promise((resolve) => setImmediate(resolve));
      const found = records.get(key);
      if (found === undefined) return null;
      return { record: found.lastGood, revision: found.revision };
    },
    deletedAt: async (key) => removals.get(key) ?? 0,
    create: (key, record) => write(key, JSON.stringify(record), 0),
    update: (key, record, expected) => write(key, JSON.stringify(record), expected),
    reached: async () => {},
    put: (key, value) => set(key, JSON.stringify(value)),
    json: (key) => JSON.parse(records.get(key)?.value ?? "null") as R,
    damage: (key) => set(key, DAMAGED),
    remove(key) {
      records.delete(key);
      removals.set(key, ++revision);
    },
    failUpdates(count) {
      failing = count;
    },
  };
}

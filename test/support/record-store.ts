/** Records with the compare-and-set of a KV bucket, in memory: for tests of what is built on it, with faults to order. */
import type { StatusRecords } from "../../src/status/ports.ts";

export interface RecordStore extends StatusRecords {
  put(key: string, value: object): void;
  json(key: string): Record<string, unknown>;
  remove(key: string): void;
  /** The next so many updates fail as if the process had died before them. */
  failUpdates(count: number): void;
}

export function createRecordStore(): RecordStore {
  const records = new Map<string, { value: string; revision: number }>();
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
    records.set(key, { value, revision: ++revision });
    return revision;
  };
  return {
    async readRecord(key) {
      await new Promise((resolve) => setImmediate(resolve));
      return records.get(key) ?? null;
    },
    deletedAt: async (key) => removals.get(key) ?? 0,
    createRecord: (key, value) => write(key, value, 0),
    updateRecord: write,
    reached: async () => {},
    put: (key, value) => void records.set(key, { value: JSON.stringify(value), revision: ++revision }),
    json: (key) => JSON.parse(records.get(key)?.value ?? "null") as Record<string, unknown>,
    remove(key) {
      records.delete(key);
      removals.set(key, ++revision);
    },
    failUpdates(count) {
      failing = count;
    },
  };
}

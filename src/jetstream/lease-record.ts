/** The record of a lease in the registry bucket. */
import { AppError } from "../model/app-error.ts";
import { kindOfValue, parseJsonObject } from "../model/json-object.ts";

/** The bucket operations needed here, which registry/store.ts implements. */
export interface LeaseRecords {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
}

/** A JSON object. */
export type LeaseNote = Readonly<Record<string, unknown>>;

interface LeaseContent {
  /** Null: it was released. */
  readonly holder: string | null;
  readonly note: LeaseNote;
}

/** The record as this replica has last seen it. */
export interface SeenLease {
  /** Null: there is none. An unreadable one counts as none: the next holder overwrites it. */
  readonly content: LeaseContent | null;
  /** 0: there is none. */
  readonly revision: number;
  /** Monotonic milliseconds. */
  readonly at: number;
}

export interface LeaseRecord {
  seen(): SeenLease;
  observe(value: string | null, revision: number): void;
  /** @returns the new revision, or "conflict" when the record has another one than `revision` by now */
  write(holder: string | null, note: LeaseNote, revision: number): Promise<number | "conflict">;
  /** Reads what another replica has written. */
  refresh(): Promise<void>;
  /** The server has refused a write, and nobody else has made one. */
  isUnchanged(error: unknown, revision: number): Promise<boolean>;
}

export function createLeaseRecord(records: LeaseRecords, key: string, monotonicNow: () => number): LeaseRecord {
  let seen: SeenLease = { content: null, revision: 0, at: monotonicNow() };

  const observe: LeaseRecord["observe"] = (value, revision) => {
    if (revision > seen.revision) seen = { content: readOrNull(key, value), revision, at: monotonicNow() };
  };

  return {
    seen: () => seen,
    observe,
    write(holder, note, revision) {
      const value = JSON.stringify({ holder, note } satisfies LeaseContent);
      return revision === 0 ? records.createRecord(key, value) : records.updateRecord(key, value, revision);
    },
    async refresh() {
      const found = await records.readRecord(key);
      if (found !== null && found.revision !== seen.revision)
        seen = { content: readOrNull(key, found.value), revision: found.revision, at: monotonicNow() };
    },
    async isUnchanged(error, revision) {
      const isRefused = !(error instanceof AppError && error.code === "NATS_UNREACHABLE");
      return isRefused && (await records.readRecord(key))?.revision === revision;
    },
  };
}

/** The value stays text: the lease parses it when it takes it. */
export function leaseKind(key: string) {
  return {
    prefix: key,
    parse(_name: string, value: string): string {
      read(key, value);
      return value;
    },
  };
}

/** @throws AppError RECORD_INVALID */
function read(key: string, value: string): LeaseContent {
  const { holder, note } = parseJsonObject(`record ${key}`, value);
  if (holder !== null && typeof holder !== "string")
    throw new AppError("RECORD_INVALID", `record ${key}: holder: found ${kindOfValue(holder)}, wanted a name or null`);
  return { holder, note: typeof note === "object" && note !== null ? (note as LeaseNote) : {} };
}

function readOrNull(key: string, value: string | null): LeaseContent | null {
  try {
    return value === null ? null : read(key, value);
  } catch {
    return null;
  }
}

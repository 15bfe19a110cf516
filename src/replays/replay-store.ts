/**
 * The replays' records, which all replicas share: read and changed by compare-and-set, and known to every replica by the watch of the
 * registry bucket.
 */
import { AppError } from "../model/app-error.ts";
import type { RecordKind } from "../model/record-kind.ts";
import type { ReplayRecord } from "./replay-record.ts";

export interface ReplayStore<R = ReplayRecord> {
  /** The watch has delivered the record; null: it was deleted. */
  observe(key: string, record: R | null, revision: number): void;
  /** Revisions count from 1 again. */
  forgetRevisions(): void;
  /** @returns ends the calls */
  onChange(listener: (id: string) => void): () => void;
  known(id: string): R | undefined;
  all(): Iterable<R>;
  /** The newest value. @throws AppError NATS_UNREACHABLE, as do the writes */
  read(id: string): Promise<R | null>;
  create(record: R): Promise<void>;
  /**
   * @param change returns the changed record, or the same one to leave it as it is; called again when somebody else was faster
   * @returns the record in force
   * @throws AppError NOT_FOUND, and what `change` throws
   */
  update(id: string, change: (record: R) => R): Promise<R>;
  remove(id: string): Promise<void>;
}

/** Operations of the bucket, which registry/store.ts implements. */
export interface ReplayBucket {
  readRecord(key: string): Promise<{ readonly value: string; readonly revision: number } | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  deleteRecord(key: string): Promise<number>;
}

interface Known<R> {
  readonly record: R | null;
  readonly revision: number;
}

export function createReplayStore<R extends { readonly id: string }>(
  bucket: ReplayBucket,
  { prefix, parse }: RecordKind<R>,
): ReplayStore<R> {
  const keyOf = (id: string): string => prefix + id;
  const all = new Map<string, Known<R>>();
  const listeners = new Set<(id: string) => void>();

  const apply = (id: string, record: R | null, revision: number): void => {
    if (revision <= (all.get(id)?.revision ?? 0)) return;
    // The revision of a deleted record is kept: the watch may still be behind.
    all.set(id, { record, revision });
    for (const listener of listeners) listener(id);
  };

  const find = async (id: string): Promise<{ readonly record: R; readonly revision: number } | null> => {
    const found = await bucket.readRecord(keyOf(id));
    return found && { record: parse(id, found.value), revision: found.revision };
  };

  return {
    observe: (key, record, revision) => apply(key.slice(prefix.length), record, revision),
    forgetRevisions() {
      for (const [id, { record }] of all) all.set(id, { record, revision: 0 });
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    known: (id) => all.get(id)?.record ?? undefined,
    *all() {
      for (const { record } of all.values()) if (record !== null) yield record;
    },
    read: async (id) => (await find(id))?.record ?? null,

    async create(record) {
      const revision = await bucket.createRecord(keyOf(record.id), JSON.stringify(record));
      if (revision === "conflict") throw new AppError("CONFLICT", `there is a replay ${record.id}`);
      apply(record.id, record, revision);
    },

    async update(id, change) {
      for (;;) {
        const found = await find(id);
        if (found === null) throw new AppError("NOT_FOUND", `no replay ${id}`);
        const changed = change(found.record);
        if (changed === found.record) return changed;
        const revision = await bucket.updateRecord(keyOf(id), JSON.stringify(changed), found.revision);
        if (revision === "conflict") continue;
        apply(id, changed, revision);
        return changed;
      }
    },

    async remove(id) {
      apply(id, null, await bucket.deleteRecord(keyOf(id)));
    },
  };
}

/**
 * Unreadable records and what is in force instead.
 *
 * RECORD-1  A record that can't be read reaches no listener. The last readable revision of its key stays in force: the one that
 *     the listeners have or, after a start, the one that the bucket's history still has. A later readable write ends that.
 */

import { AppError, messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import type { RecordKind } from "../model/record-kind.ts";
import type { Bucket } from "./bucket.ts";
import type { BucketEntry } from "./bucket-entry.ts";
import type { InvalidRecord } from "./record-types.ts";

export interface RecordRecovery {
  /** Notes that the entry can't be read and looks for an earlier revision. */
  add(kind: RecordKind<unknown>, entry: BucketEntry, error: unknown): void;
  /** Notes that the key has a readable value again, or none. */
  remove(key: string): void;
  has(key: string): boolean;
  invalid(): readonly InvalidRecord[];
  /** Resolves when no history is being read. */
  whenIdle(): Promise<void>;
  stop(): void;
}

export interface RecordRecoveryDependencies {
  readonly bucket: Pick<Bucket, "history">;
  /** Puts an earlier revision in force. */
  readonly apply: (kind: RecordKind<unknown>, good: GoodRecord<unknown>) => void;
  readonly logger: Logger;
}

/** An earlier revision that can be read. */
export interface GoodRecord<T> {
  readonly record: T;
  readonly entry: BucketEntry;
  /** JSON text. */
  readonly value: string;
}

interface Unread {
  readonly kind: RecordKind<unknown>;
  readonly found: InvalidRecord;
}

const HISTORIES_AT_ONCE = 16;

export function createRecordRecovery({ bucket, apply, logger }: RecordRecoveryDependencies): RecordRecovery {
  const invalid = new Map<string, InvalidRecord>();
  /** Records whose history has not been read yet. */
  const unread = new Map<string, Unread>();
  let running: Promise<void> | undefined;
  let stopped = false;

  const recover = async ({ kind, found }: Unread): Promise<void> => {
    const { key, revision } = found;
    try {
      const good = await readLastGood(bucket, kind, key, revision);
      // A newer value may have arrived meanwhile.
      if (good === null || invalid.get(key) !== found) return;
      invalid.set(key, { ...found, inForce: true });
      apply(kind, good);
    } catch (error) {
      logger.warn({ key, error: messageOf(error) }, "the history of a registry record can't be read");
    }
  };

  const run = async (): Promise<void> => {
    while (unread.size > 0 && !stopped) {
      const some = [...unread].slice(0, HISTORIES_AT_ONCE);
      for (const [key] of some) unread.delete(key);
      await Promise.all(some.map(([, one]) => recover(one)));
    }
    running = undefined;
  };

  return {
    add(kind, { key, revision }, error) {
      const isSecret = error instanceof AppError && error.code === "SECRET_UNREADABLE";
      const found = { key, revision, problem: messageOf(error), isSecret, inForce: false };
      invalid.set(key, found);
      unread.set(key, { kind, found });
      logger.error({ key, revision, error: found.problem }, "a registry record can't be read; its last good revision stays in force");
      running ??= run();
    },
    remove(key) {
      invalid.delete(key);
      unread.delete(key);
    },
    has: (key) => invalid.has(key),
    invalid: () => [...invalid.values()],
    whenIdle: async () => running,
    stop() {
      stopped = true;
    },
  };
}

/** @returns the newest readable value before the revision; null if there is none, or a deletion follows it */
export async function readLastGood<T>(
  bucket: Pick<Bucket, "history">,
  kind: RecordKind<T>,
  key: string,
  revision: number,
): Promise<GoodRecord<T> | null> {
  for (const entry of (await bucket.history(key)).reverse()) {
    if (entry.revision >= revision) continue;
    try {
      const record = parseEntry(kind, entry);
      return record === null || entry.value === null ? null : { record, entry, value: entry.value };
    } catch {
      // An older one may be readable.
    }
  }
  return null;
}

/** @returns null for a deletion. @throws AppError RECORD_INVALID, SECRET_UNREADABLE */
export function parseEntry<T>(kind: RecordKind<T>, { key, value }: BucketEntry): T | null {
  return value === null ? null : kind.parse(key.slice(kind.prefix.length), value);
}

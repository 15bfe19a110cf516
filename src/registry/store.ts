/**
 * The registry's records: read and changed by compare-and-set, and every change passed to the listeners.
 *
 * STORE-1  A new bucket in place of a deleted one gets the records that this process knows, except for keys that it already has:
 *     without them every delivery would belong to an app that no longer exists.
 */

import type { NatsConnection } from "nats";
import { createPipelinedPublish } from "../jetstream/pipelined-publish.ts";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import type { RecordKind } from "../model/record-kind.ts";
import { type Bucket, createBucket } from "./bucket.ts";
import type { BucketEntry } from "./bucket-entry.ts";
import { type BucketWatch, createBucketWatch } from "./bucket-watch.ts";
import { createMemoryFirst, type RecordSource } from "./memory-first.ts";
import { createRecordRecovery, parseEntry, type RecordRecovery, readLastGood } from "./record-recovery.ts";
import type { FoundRecord, InvalidRecord, RecordListener, Records } from "./record-types.ts";
import { createRevisionWaiters } from "./revision-waiters.ts";

export interface StoredRecord {
  /** JSON text. */
  readonly value: string;
  readonly revision: number;
  /** By the server's clock, milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface RegistryStore {
  /** Resolves when all records have been passed to the listeners. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when no record has arrived for this long, or the store was stopped. */
  quiet(forMs: number): Promise<void>;
  /** Whether the listeners have seen every change so far. */
  isCurrent(): boolean;
  /** Reports that the bucket was deleted: what is in memory is not current until `reopen`. */
  bucketMissing(): void;
  /** STORE-1. Opens or creates the bucket that replaces the deleted one; its revisions count from 1. */
  reopen(): Promise<void>;
  /** Calls the listener when revisions count from 1 again. */
  onReopen(listener: () => void): void;
  /** Calls the listener whenever the watch has caught up. */
  onCurrent(listener: () => void): void;
  /** Register before `start`. */
  onRecord<T>(kind: RecordKind<T>, listener: RecordListener<T>): void;
  recordsOf<T>(kind: RecordKind<T>): Records<T>;
  /** Records whose newest value can't be read. */
  invalid(): readonly InvalidRecord[];
  /** Resolves when the listeners of every live replica have seen the revision (jetstream/confirmations.ts). */
  reached(revision: number): Promise<void>;
  /** Resolves when the listeners of this one have. */
  seenHere(revision: number): Promise<void>;
  /** The last revision that the listeners have seen. */
  seen(): number;
  /** The newest value as text. @throws AppError NATS_UNREACHABLE, as do the writes */
  readRecord(key: string): Promise<StoredRecord | null>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  putRecord(key: string, value: string): Promise<number>;
  /** @returns the revision of the deletion */
  deleteRecord(key: string): Promise<number>;
  /** Deletes the record if that revision is its newest. */
  deleteRecordAt(key: string, revision: number): Promise<"deleted" | "conflict">;
  /** This store for many changes at once (memory-first.ts). */
  memoryFirst(): RegistryStore;
}

export interface RegistryStoreDependencies {
  readonly connection: NatsConnection;
  readonly onReconnect: (listener: () => void) => () => void;
  /** Absent: there are no other replicas. */
  readonly seenByOthers?: (revision: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RegistryStoreOptions {
  readonly prefix: string;
  readonly replicas: number;
}

const WRITES_AT_ONCE = 64;

export function createRegistryStore(dependencies: RegistryStoreDependencies, options: RegistryStoreOptions): RegistryStore {
  const { connection, onReconnect, seenByOthers, clock, logger } = dependencies;
  const bucket = createBucket({ connection, publish: createPipelinedPublish(connection, clock), logger }, options);
  const revisions = createRevisionWaiters(clock);
  const listeners = createListeners(logger);
  /** The last readable entry of each key that is not deleted: for a bucket that is lost (STORE-1), and for many changes at once. */
  const known = new Map<string, BucketEntry>();
  const recovery = createRecordRecovery({
    bucket,
    apply(kind, { record, entry }) {
      known.set(entry.key, entry);
      listeners.apply(kind, entry, record);
    },
    logger,
  });
  const onEntry = (entry: BucketEntry): void => {
    receive(entry, listeners, recovery);
    if (entry.value === null) known.delete(entry.key);
    else if (!recovery.has(entry.key)) known.set(entry.key, entry);
  };
  const isNew = (key: string): boolean => !known.has(key);
  const watch = createBucketWatch({ bucket, revisions, onEntry, isNew, whenProcessed: recovery.whenIdle, clock, logger });
  const reached = async (revision: number): Promise<void> => {
    await revisions.reached(revision);
    await seenByOthers?.(revision);
  };
  const reopenListeners: Array<() => void> = [];
  let offReconnect = (): void => {};

  const store: RegistryStore = {
    async start() {
      await bucket.open();
      offReconnect = onReconnect(() => restart(watch));
      await watch.start();
    },
    async stop() {
      watch.stop();
      recovery.stop();
      offReconnect();
      revisions.release();
    },
    quiet: watch.quiet,
    isCurrent: watch.isCurrent,
    bucketMissing: watch.setOutdated,
    async reopen() {
      watch.setOutdated();
      await bucket.open();
      const records = await putBack(bucket, known.values());
      revisions.reset();
      for (const listener of reopenListeners) listener();
      watch.restart();
      logger.error({ bucket: bucket.name, records, known: known.size }, "the registry bucket was replaced; known records were put back");
    },
    onReopen: (listener) => void reopenListeners.push(listener),
    onCurrent: watch.onCurrent,
    onRecord: listeners.add,
    ...recordAccess(bucket, reached),
    invalid: recovery.invalid,
    reached,
    seenHere: revisions.reached,
    seen: revisions.seen,
    putRecord: bucket.put,
    deleteRecord: bucket.delete,
    deleteRecordAt: bucket.deleteAt,
    memoryFirst: () => ({
      ...store,
      ...recordAccess(
        createMemoryFirst(bucket, (key) => known.get(key) ?? null, recovery.has),
        reached,
      ),
    }),
  };
  return store;
}

function recordAccess(
  source: RecordSource,
  reached: RegistryStore["reached"],
): Pick<RegistryStore, "recordsOf" | "readRecord" | "createRecord" | "updateRecord"> {
  return {
    recordsOf: (kind) => createRecords(source, kind, reached),
    async readRecord(key) {
      const entry = await source.read(key);
      return entry === null || entry.value === null ? null : { ...entry, value: entry.value };
    },
    createRecord: source.create,
    updateRecord: source.update,
  };
}

function restart(watch: BucketWatch): void {
  watch.setOutdated();
  watch.restart();
}

interface Listeners {
  add<T>(kind: RecordKind<T>, listener: RecordListener<T>): void;
  kindsOf(key: string): Array<RecordKind<unknown>>;
  apply(kind: RecordKind<unknown>, entry: BucketEntry, record: unknown): void;
}

function createListeners(logger: Logger): Listeners {
  const listenersOf = new Map<RecordKind<unknown>, Array<RecordListener<unknown>>>();
  return {
    add<T>(kind: RecordKind<T>, listener: RecordListener<T>) {
      const all = listenersOf.get(kind) ?? [];
      all.push(listener as RecordListener<unknown>);
      listenersOf.set(kind, all);
    },
    kindsOf: (key) => [...listenersOf.keys()].filter(({ prefix }) => key.startsWith(prefix)),
    apply(kind, { key, revision, storedAt }, record) {
      for (const listener of listenersOf.get(kind) ?? []) {
        try {
          listener(key, record, revision, storedAt);
        } catch (error) {
          logger.error({ key, revision, error: messageOf(error) }, "a registry record could not be applied");
        }
      }
    },
  };
}

/** RECORD-1 */
function receive(entry: BucketEntry, listeners: Listeners, recovery: RecordRecovery): void {
  for (const kind of listeners.kindsOf(entry.key)) {
    recovery.remove(entry.key);
    let record: unknown;
    try {
      record = parseEntry(kind, entry);
    } catch (error) {
      recovery.add(kind, entry, error);
      continue;
    }
    listeners.apply(kind, entry, record);
  }
}

/** @returns the number of records written */
async function putBack(bucket: Bucket, known: Iterable<BucketEntry>): Promise<number> {
  const records = [...known].flatMap(({ key, value }) => (value === null ? [] : [{ key, value }]));
  let count = 0;
  for (let from = 0; from < records.length; from += WRITES_AT_ONCE) {
    const some = records.slice(from, from + WRITES_AT_ONCE);
    const results = await Promise.all(some.map(({ key, value }) => bucket.update(key, value, 0)));
    count += results.filter((result) => result !== "conflict").length;
  }
  return count;
}

function createRecords<T>(bucket: RecordSource, kind: RecordKind<T>, reached: RegistryStore["reached"]): Records<T> {
  const deletedAt = async (key: string): Promise<number> => {
    const entry = await bucket.read(key);
    return entry?.value === null ? entry.revision : 0;
  };
  return {
    async read(key): Promise<FoundRecord<T> | null> {
      const entry = await bucket.read(key);
      if (entry === null || entry.value === null) return null;
      const { revision, storedAt } = entry;
      try {
        return { record: parseEntry(kind, entry), revision, storedAt, problem: null };
      } catch (error) {
        const good = await readLastGood(bucket, kind, key, revision);
        return { record: good?.record ?? null, revision, storedAt, problem: messageOf(error) };
      }
    },
    deletedAt,
    async readDeleted(key) {
      const at = await deletedAt(key);
      return at === 0 ? null : ((await readLastGood(bucket, kind, key, at))?.record ?? null);
    },
    create: async (key, record) => bucket.create(key, writtenValue(kind, key, record)),
    update: async (key, record, revision) => bucket.update(key, writtenValue(kind, key, record), revision),
    reached,
  };
}

/** Parses the value as a reader will, so that no change is accepted that readers would ignore. @throws AppError RECORD_INVALID */
function writtenValue<T>(kind: RecordKind<T>, key: string, record: T): string {
  const value = JSON.stringify(record);
  kind.parse(key.slice(kind.prefix.length), value);
  return value;
}

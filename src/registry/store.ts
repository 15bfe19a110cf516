/**
 * The registry bucket `<prefix>-registry` (NATS KV): records by compare-and-set, and one watch over all of them.
 *
 * R1  Listeners get every change in the order of revisions, from the first record on; nothing is skipped over a restart
 *     of the watch, which goes on from the last revision seen.
 * R2  `isCurrent` is false from the start and from every reconnect until the watch has caught up.
 * R3  After a reconnect the watch is started anew: left to itself it lags by many seconds.
 */
import { type KV, type KvEntry, type NatsConnection, NatsError, type QueuedIterator } from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";

export interface StoredRecord {
  /** JSON text. */
  readonly value: string;
  readonly revision: number;
  /** By the server's clock, milliseconds since the epoch. */
  readonly storedAt: number;
}

/** @param value JSON text, or null when the record is gone. @param storedAt by the server's clock, milliseconds since the epoch */
export type RecordListener = (key: string, value: string | null, revision: number, storedAt: number) => void;

export interface RegistryStore {
  /** Resolves when every record there is has been handed to the listeners. */
  start(): Promise<void>;
  stop(): Promise<void>;
  isCurrent(): boolean;
  /** Calls the listener whenever the watch has caught up. */
  onCurrent(listener: () => void): void;
  /** Keys that start with `prefix`; register before `start`. */
  onRecord(prefix: string, listener: RecordListener): void;
  /** Resolves when the listeners have seen the revision. */
  reached(revision: number): Promise<void>;
  /** @throws AppError NATS_UNREACHABLE, as the writes do. */
  readRecord(key: string): Promise<StoredRecord | null>;
  /** The revision by which a record was deleted; 0 when it is there, or never was. */
  deletedAt(key: string): Promise<number>;
  createRecord(key: string, value: string): Promise<number | "conflict">;
  updateRecord(key: string, value: string, revision: number): Promise<number | "conflict">;
  putRecord(key: string, value: string): Promise<number>;
  /** @returns the revision of the deletion. */
  deleteRecord(key: string): Promise<number>;
  /** As it was at that revision. */
  deleteRecordAt(key: string, revision: number): Promise<"deleted" | "conflict">;
}

export interface RegistryStoreDependencies {
  readonly connection: NatsConnection;
  readonly onReconnect: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface RegistryStoreOptions {
  readonly prefix: string;
  readonly replicas: number;
}

const RESTART_AFTER_MS = 250;
const REACHED_TIMEOUT_MS = 5_000;
/** JetStream's "wrong last sequence". */
const WRONG_LAST_SEQUENCE = 10071;
/** JetStream's "insufficient resources", its limits of an account and of a server, and a stream that could not store. */
const FULL: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047, 10077]);

export function createRegistryStore(dependencies: RegistryStoreDependencies, { prefix, replicas }: RegistryStoreOptions): RegistryStore {
  const { connection, onReconnect, clock, logger } = dependencies;
  const bucketName = `${prefix}-registry`;
  const listeners: Array<{ readonly prefix: string; readonly listener: RecordListener }> = [];
  const currentListeners: Array<() => void> = [];
  const waiters = new Set<{ readonly revision: number; readonly resolve: () => void }>();
  let bucket: KV | undefined;
  let iterator: QueuedIterator<KvEntry> | undefined;
  let seen = 0;
  let current = false;
  let stopped = false;
  let restart = (): void => {};
  let offReconnect = (): void => {};

  const kv = (): KV => {
    if (bucket === undefined) throw new Error("the registry store was not started");
    return bucket;
  };

  const receive = (entry: KvEntry): void => {
    // A restarted watch begins with the last revision seen, or a new one of the same key.
    if (entry.revision <= seen) return;
    const value = entry.operation === "PUT" ? entry.string() : null;
    for (const { prefix: wanted, listener } of listeners) {
      if (!entry.key.startsWith(wanted)) continue;
      try {
        listener(entry.key, value, entry.revision, entry.created.getTime());
      } catch (error) {
        logger.error({ key: entry.key, revision: entry.revision, error: messageOf(error) }, "registry record can't be used");
      }
    }
    seen = entry.revision;
    for (const waiter of waiters) if (waiter.revision <= seen) waiter.resolve();
  };

  const becomeCurrent = (): void => {
    if (current || stopped) return;
    current = true;
    for (const listener of currentListeners) listener();
  };

  /** One life of the watch; ends when it fails or is restarted. */
  const watchOnce = async (): Promise<void> => {
    const watch = await kv().watch({ ...(seen > 0 ? { resumeFromRevision: seen } : {}), initializedFn: becomeCurrent });
    iterator = watch;
    restart = () => watch.stop();
    if (stopped) watch.stop();
    for await (const entry of watch) receive(entry);
  };

  const watchAlways = async (): Promise<void> => {
    while (!stopped) {
      try {
        await watchOnce();
      } catch (error) {
        if (!stopped) logger.warn({ bucket: bucketName, error: messageOf(error) }, "registry watch ended, starting it again");
      }
      current = false;
      if (!stopped) await new Promise((resolve) => clock.after(RESTART_AFTER_MS, () => resolve(undefined)));
    }
  };

  const conflictOr = async <T>(write: Promise<T>): Promise<T | "conflict"> => {
    try {
      return await write;
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === WRONG_LAST_SEQUENCE) return "conflict";
      throw unreachableOr(error);
    }
  };

  const orFault = <T>(write: Promise<T>): Promise<T> =>
    write.catch((error: unknown) => {
      throw unreachableOr(error);
    });

  const readRecord = async (key: string): Promise<StoredRecord | null> => {
    const entry = await kv()
      .get(key)
      .catch((error: unknown) => {
        throw unreachableOr(error);
      });
    return entry === null || entry.operation !== "PUT"
      ? null
      : { value: entry.string(), revision: entry.revision, storedAt: entry.created.getTime() };
  };

  return {
    async start() {
      bucket = await connection.jetstream().views.kv(bucketName, { history: 1, replicas });
      offReconnect = onReconnect(() => {
        current = false;
        restart();
      });
      const caughtUp = new Promise<void>((resolve) => currentListeners.push(resolve));
      void watchAlways();
      await caughtUp;
    },

    async stop() {
      stopped = true;
      current = false;
      offReconnect();
      iterator?.stop();
      for (const { resolve } of waiters) resolve();
    },

    isCurrent: () => current,
    onCurrent: (listener) => void currentListeners.push(listener),
    onRecord: (wanted, listener) => void listeners.push({ prefix: wanted, listener }),

    async reached(revision) {
      if (seen >= revision) return;
      await new Promise<void>((resolve, reject) => {
        const waiter = {
          revision,
          resolve: () => {
            waiters.delete(waiter);
            cancel();
            resolve();
          },
        };
        waiters.add(waiter);
        const cancel = clock.after(REACHED_TIMEOUT_MS, () => {
          waiters.delete(waiter);
          reject(
            new AppError("NATS_UNREACHABLE", `the change is stored as revision ${revision}, but the registry watch has not seen it yet`, {
              retryable: true,
            }),
          );
        });
      });
    },

    readRecord,
    async deletedAt(key) {
      const entry = await kv().get(key);
      return entry === null || entry.operation === "PUT" ? 0 : entry.revision;
    },
    createRecord: (key, value) => conflictOr(kv().create(key, value)),
    updateRecord: (key, value, revision) => conflictOr(kv().update(key, value, revision)),
    putRecord: (key, value) => orFault(kv().put(key, value)),
    async deleteRecord(key) {
      await orFault(kv().delete(key));
      // The library does not say which revision the marker got; the bucket's last is not before it.
      return (await kv().get(key))?.revision ?? 0;
    },
    deleteRecordAt: (key, revision) =>
      conflictOr(
        kv()
          .delete(key, { previousSeq: revision })
          .then(() => "deleted"),
      ),
  };
}

/** A server that does not answer is a fault of the moment, and says so; what it answers is not for this. */
export function unreachableOr(error: unknown): unknown {
  if (!(error instanceof NatsError)) return error;
  if (error.api_error !== undefined) {
    if (!FULL.has(error.api_error.err_code ?? 0)) return error;
    return new AppError("STORE_FULL", `JetStream has no room left (${messageOf(error)})`, { retryable: true, cause: error });
  }
  return new AppError("NATS_UNREACHABLE", `NATS does not answer: ${messageOf(error)}`, { retryable: true, cause: error });
}

/**
 * The registry bucket `<prefix>-registry` (NATS KV): records by compare-and-set, and one watch over all of them.
 *
 * REGISTRY-1  A record that can't be read reaches no listener. The last revision of its key that can be read stays in force: what
 *     the listeners have, or, after a start, what the bucket's history still has. A later write that can be read ends that.
 * R1  Listeners get every change in the order of revisions, from the first record on; nothing is skipped over a restart
 *     of the watch, which goes on from the last revision seen.
 * R2  `isCurrent` is false from the start and from every reconnect until the watch has caught up.
 * R3  After a reconnect the watch is started anew: left to itself it lags by many seconds.
 * R4  A bucket that takes the place of a deleted one gets the records that this process knows, where it has none of that key:
 *     without them every delivery would be one of an app that is gone.
 */
import { ErrorCode, type KV, type KvEntry, KvWatchInclude, type NatsConnection, NatsError, type QueuedIterator } from "nats";
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

/** The records under one prefix, and how they are read. */
export interface RecordKind<T> {
  readonly prefix: string;
  /** @param name the key without the prefix. @throws AppError RECORD_INVALID, SECRET_UNREADABLE */
  parse(name: string, value: string): T;
}

/** @param record null when it is gone. @param storedAt by the server's clock, milliseconds since the epoch */
export type RecordListener<T> = (key: string, record: T | null, revision: number, storedAt: number) => void;

/** A record as it is in force. */
export interface FoundRecord<T> {
  /** Null: it can't be read, and no earlier revision either. */
  readonly record: T | null;
  /** Of the newest value, whether it can be read or not. */
  readonly revision: number;
  /** By the server's clock, milliseconds since the epoch. */
  readonly storedAt: number;
  /** Why the newest value can't be read; null: it can. */
  readonly problem: string | null;
}

/** The records of one kind, read and written by their keys. */
export interface Records<T> {
  /** @throws AppError NATS_UNREACHABLE, as the writes do. */
  read(key: string): Promise<FoundRecord<T> | null>;
  /** The revision by which a record was deleted; 0 when it is there, or never was. */
  deletedAt(key: string): Promise<number>;
  /** The last value that a deleted record had, as far as the bucket's history has it. */
  readDeleted(key: string): Promise<T | null>;
  create(key: string, record: T): Promise<number | "conflict">;
  update(key: string, record: T, revision: number): Promise<number | "conflict">;
  /** Resolves when the listeners have seen the revision. */
  reached(revision: number): Promise<void>;
}

/** An earlier revision that can be read. */
interface GoodRecord<T> extends Place {
  readonly record: T;
  /** JSON text. */
  readonly value: string;
}

export interface InvalidRecord {
  readonly key: string;
  readonly revision: number;
  readonly problem: string;
  /** It is a secret that can't be decrypted. */
  readonly isSecret: boolean;
  /** Whether an earlier revision is in force. */
  inForce: boolean;
}

export interface RegistryStore {
  /** Resolves when every record there is has been handed to the listeners. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Resolves when no record has come for so long, or the store is stopped. */
  quiet(forMs: number): Promise<void>;
  isCurrent(): boolean;
  /** The bucket is gone: nothing is current until `reopen`. */
  bucketMissing(): void;
  /** Opens a bucket that is another one than before, or makes it (R4). Revisions count from 1 again. */
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
  /** Resolves when the listeners have seen the revision. */
  reached(revision: number): Promise<void>;
  /** The newest value, unread. @throws AppError NATS_UNREACHABLE, as the writes do. */
  readRecord(key: string): Promise<StoredRecord | null>;
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
/** Records put back at once. */
const PUT_AT_ONCE = 64;
const REACHED_TIMEOUT_MS = 5_000;
const LOOK_QUIET_MS = 250;
/** Revisions of a key that the bucket keeps: those before a value that can't be read. */
const HISTORY = 8;
/** Histories that are read at once. */
const HISTORIES_AT_ONCE = 16;
/** JetStream's "wrong last sequence". */
const WRONG_LAST_SEQUENCE = 10071;
/** JetStream's "insufficient resources", its limits of an account and of a server, and a stream that could not store. */
const FULL: ReadonlySet<number> = new Set([10002, 10023, 10028, 10047, 10077]);

export function createRegistryStore(dependencies: RegistryStoreDependencies, { prefix, replicas }: RegistryStoreOptions): RegistryStore {
  const { connection, onReconnect, clock, logger } = dependencies;
  const bucketName = `${prefix}-registry`;
  const listenersOf = new Map<RecordKind<unknown>, Array<RecordListener<unknown>>>();
  const invalid = new Map<string, InvalidRecord>();
  /** Invalid records whose history has not been read yet. */
  const toRecover = new Map<string, RecordKind<unknown>>();
  let recovering: Promise<void> | undefined;
  const currentListeners: Array<() => void> = [];
  const reopenListeners: Array<() => void> = [];
  /** As they were seen last, for a bucket that is lost (R4). */
  const known = new Map<string, string>();
  const waiters = new Set<{ readonly revision: number; readonly resolve: () => void }>();
  let bucket: KV | undefined;
  let iterator: QueuedIterator<KvEntry> | undefined;
  let seen = 0;
  let receivedAt = 0;
  let current = false;
  let stopped = false;
  let restart = (): void => {};
  let offReconnect = (): void => {};

  const kv = (): KV => {
    if (bucket === undefined) throw new Error("the registry store was not started");
    return bucket;
  };

  const orUnreachable = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw unreachableOr(error);
    }
  };

  const hand = <T>(kind: RecordKind<T>, { key, revision, storedAt }: Place, record: T | null): void => {
    for (const listener of listenersOf.get(kind) ?? []) {
      try {
        listener(key, record, revision, storedAt);
      } catch (error) {
        logger.error({ key, revision, error: messageOf(error) }, "a registry record could not be applied");
      }
    }
  };

  /** REGISTRY-1 */
  const receiveAs = <T>(kind: RecordKind<T>, entry: KvEntry): void => {
    const { key, revision } = entry;
    invalid.delete(key);
    toRecover.delete(key);
    try {
      hand(kind, placeOf(entry), parseEntry(kind, entry));
    } catch (error) {
      const isSecret = error instanceof AppError && error.code === "SECRET_UNREADABLE";
      invalid.set(key, { key, revision, problem: messageOf(error), isSecret, inForce: false });
      logger.error({ key, revision, error: messageOf(error) }, "a registry record can't be read; its last good revision stays in force");
      toRecover.set(key, kind);
      recovering ??= recover();
    }
  };

  const receive = (entry: KvEntry): void => {
    // A restarted watch begins with the last revision seen, or a new one of the same key.
    if (entry.revision <= seen) return;
    for (const kind of listenersOf.keys()) if (entry.key.startsWith(kind.prefix)) receiveAs(kind, entry);
    if (!isValue(entry)) known.delete(entry.key);
    else if (!invalid.has(entry.key)) known.set(entry.key, textOf(entry));
    seen = entry.revision;
    receivedAt = clock.now();
    for (const waiter of waiters) if (waiter.revision <= seen) waiter.resolve();
  };

  /** By a watch: the library's own `history` makes a consumer without a name, which permissions by stream don't cover. */
  const historyOf = async (key: string): Promise<KvEntry[]> => {
    let isWhole = false;
    let watch: QueuedIterator<KvEntry> | undefined;
    const end = (): void => {
      isWhole = true;
      watch?.stop();
    };
    watch = await orUnreachable(kv().watch({ key, include: KvWatchInclude.AllHistory, initializedFn: end }));
    if (isWhole) watch.stop();
    const entries: KvEntry[] = [];
    for await (const entry of watch) entries.push(entry);
    return entries;
  };

  /** @returns the newest value before `revision` that can be read; null when there is none, or a deletion came after it. */
  const lastGood = async <T>(kind: RecordKind<T>, key: string, revision: number): Promise<GoodRecord<T> | null> => {
    for (const entry of (await historyOf(key)).reverse()) {
      if (entry.revision >= revision) continue;
      try {
        const record = parseEntry(kind, entry);
        return record === null ? null : { record, ...placeOf(entry), value: textOf(entry) };
      } catch {
        // An older one may be readable.
      }
    }
    return null;
  };

  const recoverOne = async ([key, kind]: [string, RecordKind<unknown>]): Promise<void> => {
    const found = invalid.get(key);
    if (found === undefined) return;
    try {
      const good = await lastGood(kind, key, found.revision);
      // A newer value may have come meanwhile.
      if (good === null || invalid.get(key) !== found) return;
      found.inForce = true;
      known.set(key, good.value);
      hand(kind, good, good.record);
    } catch (error) {
      logger.warn({ key, error: messageOf(error) }, "the history of a registry record can't be read");
    }
  };

  const recover = async (): Promise<void> => {
    while (toRecover.size > 0 && !stopped) {
      const some = [...toRecover].slice(0, HISTORIES_AT_ONCE);
      for (const [key] of some) toRecover.delete(key);
      await Promise.all(some.map(recoverOne));
    }
    recovering = undefined;
  };

  const becomeCurrent = async (): Promise<void> => {
    await recovering;
    if (current || stopped) return;
    current = true;
    for (const listener of currentListeners) listener();
  };

  /** One life of the watch; ends when it fails or is restarted. */
  const watchOnce = async (): Promise<void> => {
    const watch = await kv().watch({ ...(seen > 0 ? { resumeFromRevision: seen } : {}), initializedFn: () => void becomeCurrent() });
    iterator = watch;
    restart = () => watch.stop();
    if (stopped) watch.stop();
    for await (const entry of watch) receive(entry);
  };

  const watchAlways = async (): Promise<void> => {
    for (let failures = 0; !stopped; ) {
      try {
        await watchOnce();
        failures = 0;
      } catch (error) {
        if (!stopped && failures++ === 0)
          logger.warn({ bucket: bucketName, error: messageOf(error) }, "registry watch ended, starting it again");
      }
      current = false;
      if (!stopped) await new Promise((resolve) => clock.after(RESTART_AFTER_MS, () => resolve(undefined)));
    }
  };

  const open = async (): Promise<void> => {
    bucket = await connection.jetstream().views.kv(bucketName, { history: HISTORY, replicas });
    await keepHistory(connection, bucketName, logger);
  };

  /** @returns how many. */
  const putBack = async (): Promise<number> => {
    let count = 0;
    const records = [...known];
    for (let from = 0; from < records.length; from += PUT_AT_ONCE) {
      const some = records.slice(from, from + PUT_AT_ONCE);
      const results = await Promise.all(some.map(([key, value]) => conflictOr(kv().put(key, value, { previousSeq: 0 }))));
      count += results.filter((result) => result !== "conflict").length;
    }
    return count;
  };

  const conflictOr = async <T>(write: Promise<T>): Promise<T | "conflict"> => {
    try {
      return await write;
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.err_code === WRONG_LAST_SEQUENCE) return "conflict";
      throw unreachableOr(error);
    }
  };

  const entryOf = (key: string): Promise<KvEntry | null> => orUnreachable(kv().get(key));

  const readRecord = async (key: string): Promise<StoredRecord | null> => {
    const entry = await entryOf(key);
    return entry === null || !isValue(entry) ? null : { value: textOf(entry), revision: entry.revision, storedAt: entry.created.getTime() };
  };

  const deletedAt = async (key: string): Promise<number> => {
    const entry = await entryOf(key);
    return entry === null || isValue(entry) ? 0 : entry.revision;
  };
  const createRecord = (key: string, value: string): Promise<number | "conflict"> => conflictOr(kv().create(key, value));
  const updateRecord = (key: string, value: string, revision: number): Promise<number | "conflict"> =>
    conflictOr(kv().update(key, value, revision));

  const reached = async (revision: number): Promise<void> => {
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
  };

  const recordsOf = <T>(kind: RecordKind<T>): Records<T> => ({
    async read(key) {
      const found = await readRecord(key);
      if (found === null) return null;
      const { value, revision, storedAt } = found;
      try {
        return { record: kind.parse(key.slice(kind.prefix.length), value), revision, storedAt, problem: null };
      } catch (error) {
        const good = await lastGood(kind, key, revision);
        return { record: good?.record ?? null, revision, storedAt, problem: messageOf(error) };
      }
    },
    deletedAt,
    async readDeleted(key) {
      const at = await deletedAt(key);
      return at === 0 ? null : ((await lastGood(kind, key, at))?.record ?? null);
    },
    create: (key, record) => createRecord(key, JSON.stringify(record)),
    update: (key, record, revision) => updateRecord(key, JSON.stringify(record), revision),
    reached,
  });

  return {
    async start() {
      await open();
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

    async quiet(forMs) {
      const since = clock.now();
      for (let leftMs = forMs; leftMs > 0 && !stopped; leftMs = Math.max(since, receivedAt) + forMs - clock.now())
        await new Promise((resolve) => clock.after(Math.min(leftMs, LOOK_QUIET_MS), () => resolve(undefined)));
    },
    isCurrent: () => current,
    bucketMissing() {
      current = false;
    },
    async reopen() {
      current = false;
      await open();
      const records = await putBack();
      seen = 0;
      for (const listener of reopenListeners) listener();
      restart();
      logger.error({ bucket: bucketName, records, known: known.size }, "the registry bucket is a new one; known records were put back");
    },
    onReopen: (listener) => void reopenListeners.push(listener),
    onCurrent: (listener) => void currentListeners.push(listener),
    onRecord<T>(kind: RecordKind<T>, listener: RecordListener<T>) {
      const all = listenersOf.get(kind) ?? [];
      all.push(listener as RecordListener<unknown>);
      listenersOf.set(kind, all);
    },
    recordsOf,
    invalid: () => [...invalid.values()],

    reached,
    readRecord,
    createRecord,
    updateRecord,
    putRecord: (key, value) => orUnreachable(kv().put(key, value)),
    async deleteRecord(key) {
      await orUnreachable(kv().delete(key));
      // The library does not say which revision the marker got; the bucket's last is not before it.
      return (await entryOf(key))?.revision ?? 0;
    },
    deleteRecordAt: (key, revision) =>
      conflictOr(
        kv()
          .delete(key, { previousSeq: revision })
          .then(() => "deleted"),
      ),
  };
}

/** Which value of which record. */
interface Place {
  readonly key: string;
  readonly revision: number;
  readonly storedAt: number;
}

function placeOf({ key, revision, created }: KvEntry): Place {
  return { key, revision, storedAt: created.getTime() };
}

/** Anything but a deletion: a message that somebody else has published is a value, whatever its headers say. */
function isValue({ operation }: KvEntry): boolean {
  return operation !== "DEL" && operation !== "PURGE";
}

/** What no JSON text is, in place of bytes that are not UTF-8. */
const NOT_UTF8 = "not UTF-8";
const utf8 = new TextDecoder("utf-8", { fatal: true });

function textOf(entry: KvEntry): string {
  try {
    return utf8.decode(entry.value);
  } catch {
    return NOT_UTF8;
  }
}

/** @returns null for a deletion. */
function parseEntry<T>(kind: RecordKind<T>, entry: KvEntry): T | null {
  return isValue(entry) ? kind.parse(entry.key.slice(kind.prefix.length), textOf(entry)) : null;
}

/** A bucket that an earlier version made keeps one revision of each key. */
async function keepHistory(connection: NatsConnection, bucketName: string, logger: Logger): Promise<void> {
  const stream = `KV_${bucketName}`;
  try {
    const manager = await connection.jetstreamManager({ checkAPI: false });
    const { config } = await manager.streams.info(stream);
    if (config.max_msgs_per_subject < HISTORY) await manager.streams.update(stream, { ...config, max_msgs_per_subject: HISTORY });
  } catch (error) {
    logger.warn(
      { stream, error: messageOf(error) },
      `the registry bucket could not be set to keep ${HISTORY} revisions of a record; if it keeps one, a record that can't be read has no earlier one`,
    );
  }
}

/** The client library's codes in words. */
const NATS_REASONS: Readonly<Record<string, string>> = {
  [ErrorCode.Timeout]: "no answer in time",
  [ErrorCode.NoResponders]: "JetStream is not available",
  [ErrorCode.ConnectionClosed]: "not connected",
  [ErrorCode.ConnectionDraining]: "the service is stopping",
  [ErrorCode.Disconnect]: "not connected",
  [ErrorCode.PermissionsViolation]: "its user lacks a permission, see docs/security.md",
};

/** Why a request to NATS failed, for people: the client library has codes for it. */
export function natsReason(error: unknown): string {
  return error instanceof NatsError && error.api_error === undefined
    ? (NATS_REASONS[error.code] ?? "the request failed")
    : messageOf(error);
}

/** JetStream's "stream not found". */
const STREAM_NOT_FOUND = 10059;

/** A server that doesn't answer, or refuses, is a fault of the moment and not of the call. */
export function unreachableOr(error: unknown): unknown {
  if (!(error instanceof NatsError)) return error;
  const answer = error.api_error;
  if (FULL.has(answer?.err_code ?? 0))
    return new AppError("STORE_FULL", `JetStream has no room left (${messageOf(error)})`, { retryable: true, cause: error });
  const why =
    answer === undefined
      ? `NATS does not answer (${natsReason(error)})`
      : answer.err_code === STREAM_NOT_FOUND
        ? "a stream or the registry bucket is missing; /readyz names it"
        : `JetStream refused the request (${answer.description})`;
  return new AppError("NATS_UNREACHABLE", why, { retryable: true, cause: error });
}

/** The registry bucket `<prefix>-registry` (NATS KV): values under keys, with their history, written by compare-and-set. */
import { type KV, type KvEntry, KvWatchInclude, type NatsConnection, NatsError, type QueuedIterator } from "nats";
import { isSubjectOverlap, unreachableOr } from "../jetstream/nats-errors.ts";
import type { PipelinedPublish } from "../jetstream/pipelined-publish.ts";
import { messageOf } from "../model/app-error.ts";
import type { Logger } from "../model/logger.ts";
import { type BucketEntry, toEntry } from "./bucket-entry.ts";
import { type EntryWatch, type WatchOptions, watchBucket } from "./watch-bucket.ts";

/** Calls reject with AppError NATS_UNREACHABLE when the server does not answer. */
export interface Bucket {
  readonly name: string;
  /** Opens the bucket, creating it if it does not exist. */
  open(): Promise<void>;
  watch(options: WatchOptions): Promise<EntryWatch>;
  /** The newest entry, which may be a deletion. */
  read(key: string): Promise<BucketEntry | null>;
  /** The kept entries of the key, oldest first. */
  history(key: string): Promise<BucketEntry[]>;
  create(key: string, value: string): Promise<number | "conflict">;
  /** @param revision the newest one of the key; 0 if there must be none, not even a deletion */
  update(key: string, value: string, revision: number): Promise<number | "conflict">;
  /** As `update`, for many at once. */
  updateInPipeline(key: string, value: string, revision: number): Promise<number | "conflict">;
  put(key: string, value: string): Promise<number>;
  /** @returns the revision of the deletion */
  delete(key: string): Promise<number>;
  deleteAt(key: string, revision: number): Promise<"deleted" | "conflict">;
}

/** Revisions kept of each key, so that one that can't be read has predecessors. */
const HISTORY = 8;
/** JetStream's "wrong last sequence". */
const WRONG_LAST_SEQUENCE = 10071;

export interface BucketDependencies {
  readonly connection: NatsConnection;
  readonly publish: PipelinedPublish;
  readonly logger: Logger;
}

export function createBucket({ connection, publish, logger }: BucketDependencies, options: { prefix: string; replicas: number }): Bucket {
  const name = `${options.prefix}-registry`;
  let bucket: KV | undefined;

  const kv = (): KV => {
    if (bucket === undefined) throw new Error("the registry bucket is not open");
    return bucket;
  };

  const read = async (key: string): Promise<BucketEntry | null> => {
    const entry = await answerTo(kv().get(key));
    return entry && toEntry(entry);
  };

  return {
    name,
    async open() {
      const openOrCreate = () => connection.jetstream().views.kv(name, { history: HISTORY, replicas: options.replicas });
      // Another replica may be creating it.
      bucket = await openOrCreate().catch((error: unknown) => (isSubjectOverlap(error) ? openOrCreate() : Promise.reject(error)));
      await keepHistory(connection, name, logger);
    },
    async watch({ fromRevision, onEntry, onCaughtUp }) {
      return answerTo(watchBucket(connection, name, { fromRevision, onEntry, onCaughtUp }));
    },
    read,
    history: (key) => readHistory(kv(), key),
    create: (key, value) => conflictOr(kv().create(key, value)),
    update: (key, value, revision) => conflictOr(kv().put(key, value, { previousSeq: revision })),
    updateInPipeline: (key, value, revision) =>
      conflictOr(
        publish({
          subject: `$KV.${name}.${key}`,
          body: value,
          headers: { "Nats-Expected-Last-Subject-Sequence": String(revision) },
        }).then(({ seq }) => seq),
      ),
    put: (key, value) => answerTo(kv().put(key, value)),
    async delete(key) {
      await answerTo(kv().delete(key));
      // The library does not return the deletion's revision; the key's newest one is not before it.
      return (await read(key))?.revision ?? 0;
    },
    async deleteAt(key, revision) {
      const result = await conflictOr(kv().delete(key, { previousSeq: revision }));
      return result === "conflict" ? result : "deleted";
    },
  };
}

/** Uses a watch: the library's own `history` creates a consumer without a name, which permissions by stream don't cover. */
async function readHistory(kv: KV, key: string): Promise<BucketEntry[]> {
  let isComplete = false;
  let watch: QueuedIterator<KvEntry> | undefined;
  const end = (): void => {
    isComplete = true;
    watch?.stop();
  };
  watch = await answerTo(kv.watch({ key, include: KvWatchInclude.AllHistory, initializedFn: end }));
  if (isComplete) watch.stop();
  const entries: BucketEntry[] = [];
  for await (const entry of watch) entries.push(toEntry(entry));
  return entries;
}

async function answerTo<T>(request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw unreachableOr(error);
  }
}

async function conflictOr<T>(write: Promise<T>): Promise<T | "conflict"> {
  try {
    return await write;
  } catch (error) {
    if (error instanceof NatsError && error.api_error?.err_code === WRONG_LAST_SEQUENCE) return "conflict";
    throw unreachableOr(error);
  }
}

/** A bucket created by an early version keeps one revision of each key. */
async function keepHistory(connection: NatsConnection, bucketName: string, logger: Logger): Promise<void> {
  const stream = `KV_${bucketName}`;
  try {
    const manager = await connection.jetstreamManager({ checkAPI: false });
    const { config } = await manager.streams.info(stream);
    if (config.max_msgs_per_subject < HISTORY) await manager.streams.update(stream, { ...config, max_msgs_per_subject: HISTORY });
  } catch (error) {
    logger.warn(
      { stream, error: messageOf(error) },
      `the registry bucket could not be set to keep ${HISTORY} revisions of a record; if it keeps one, an unreadable record has no earlier one`,
    );
  }
}

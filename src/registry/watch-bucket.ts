/**
 * The watch of the registry bucket.
 *
 * ENTRIES-1  An entry is passed on when its message is read from the connection. The library's own watch passes entries on some turns
 *            later: an event that comes behind a record in one packet would be matched before the record is known.
 */
import { type ConsumerInfo, consumerOpts, type JetStreamSubscription, type JsMsg, millis, type NatsConnection, nuid } from "nats";
import { type BucketEntry, type KeyMessage, toEntry } from "./bucket-entry.ts";

export interface EntryWatch {
  /** Resolves when the watch was stopped or its connection was lost. */
  readonly ended: Promise<void>;
  stop(): void;
}

export interface WatchOptions {
  /** The first revision wanted; 0 for the newest of every key. */
  readonly fromRevision: number;
  readonly onEntry: (entry: BucketEntry) => void;
  /** Called when every entry that existed at the start has been passed to `onEntry`. */
  readonly onCaughtUp: () => void;
}

const IDLE_HEARTBEAT_MS = 5_000;

export async function watchBucket(connection: NatsConnection, bucket: string, options: WatchOptions): Promise<EntryWatch> {
  const { fromRevision, onEntry, onCaughtUp } = options;
  const prefix = `$KV.${bucket}.`;
  const ended = Promise.withResolvers<void>();
  // It may end before anybody waits for it.
  ended.promise.catch(() => {});
  let received = 0;
  let expected = Number.POSITIVE_INFINITY;
  let isCaughtUp = false;
  const catchUp = (isLast: boolean): void => {
    if (isCaughtUp || !(isLast || received >= expected)) return;
    isCaughtUp = true;
    onCaughtUp();
  };

  const consumer = consumerOpts().bindStream(`KV_${bucket}`).orderedConsumer().consumerName(nuid.next()).idleHeartbeat(IDLE_HEARTBEAT_MS);
  if (fromRevision > 0) consumer.startSequence(fromRevision);
  else consumer.deliverLastPerSubject();
  consumer.callback((error, message) => {
    if (error !== null) return ended.reject(error);
    if (message === null) return;
    onEntry(toEntry(keyMessage(message, prefix)));
    received++;
    catchUp(message.info.pending === 0);
  });
  const subscription = await connection.jetstream().subscribe(`${prefix}>`, consumer);
  void subscription.closed.then(() => ended.resolve());
  void ended.promise.catch(() => subscription.unsubscribe());
  // The library's type leaves it out.
  const created = (subscription as JetStreamSubscription & { info?: { last?: ConsumerInfo } }).info?.last;
  if (created !== undefined) expected = created.num_pending + created.delivered.consumer_seq;
  catchUp(expected === 0);
  return { ended: ended.promise, stop: () => subscription.unsubscribe() };
}

function keyMessage({ subject, seq, info, headers, data }: JsMsg, prefix: string): KeyMessage {
  return {
    key: subject.slice(prefix.length),
    revision: seq,
    operation: headers?.get("KV-Operation") ?? "",
    value: data,
    created: new Date(millis(info.timestampNanos)),
  };
}

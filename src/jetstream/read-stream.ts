/**
 * Reads messages of a limits stream through temporary consumers.
 *
 * SCAN-1  Reading ends at the end of the stream, and not when a pull returns few messages: over a slow connection a pull returns the
 *         messages that arrived in time, and on nats-server 2.9 a consumer's num_pending can be too low, which ends pulls early.
 *         Therefore the stream itself is asked for the next message whenever a pull ends, and reading advances by at least one message
 *         each time, or rejects.
 * SCAN-2  No message is skipped. A consumer delivers each message once, possibly to a pull that has timed out or was cut off. A message
 *         that does not directly follow the last one is read again, through another consumer.
 * SCAN-3  A consumer is only asked for messages that exist. nats-server 2.9 leaves a pull unanswered when the consumer's num_pending is
 *         too high, as after a restart of the server.
 */
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamManager,
  type MsgHdrs,
  type NatsConnection,
  nanos,
  nuid,
  RequestStrategy,
  type StoredMsg,
} from "nats";
import { parseAckSubject, pullSubject } from "./api-subjects.ts";
import { nextMessage } from "./stored-message.ts";
import { subjectState } from "./subject-counts.ts";
import { mayLoseMessages } from "./subject-index.ts";
import { covers } from "./subjects.ts";

export interface StreamMessage {
  readonly sequence: number;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs | undefined;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface ForwardsQuery {
  readonly stream: string;
  /** A pattern within one of the stream's own subjects: older servers accept no other filter. */
  readonly subject: string;
  /** Both included. */
  readonly from: number;
  readonly to: number;
  /** Messages per pull. */
  readonly batch: number;
  /** Called with those of other subjects that have to be read (INDEX-1). */
  readonly onOther?: (message: StreamMessage) => void;
}

/** Size of one pull: it arrives in time, and answers to other requests do not wait long behind it. */
const MAX_PULL_BYTES = 1024 * 1024;
const PULL_TIMEOUT_MS = 5_000;
const MOST_COUNTED = 2_000;
/** The server removes consumers of a killed process. */
const FORGOTTEN_AFTER_MS = 30_000;

export async function* readForwards(
  connection: NatsConnection,
  manager: JetStreamManager,
  query: ForwardsQuery,
): AsyncGenerator<StreamMessage, void> {
  if (await isIndexed(connection, manager, query)) return yield* readBySubject(connection, manager, query);
  for await (const message of readBySubject(connection, manager, { ...query, subject: ">" })) {
    if (covers(query.subject, message.subject)) yield message;
    else query.onOther?.(message);
  }
}

/** Whether the server's index has all messages of the subject. They are read for that only where they are few, also beside the others. */
async function isIndexed(connection: NatsConnection, manager: JetStreamManager, query: ForwardsQuery): Promise<boolean> {
  if (!mayLoseMessages(connection)) return true;
  // INDEX-2.
  if (((await manager.streams.info(query.stream)).state.num_deleted ?? 0) === 0) return true;
  const { count, last } = await subjectState(manager, query.stream, query.subject);
  if (count > MOST_COUNTED || count * 4 > Math.min(query.to, last) - query.from) return false;
  let found = 0;
  for await (const _ of readBySubject(connection, manager, { ...query, from: 1, to: last })) found++;
  return found >= count;
}

async function* readBySubject(
  connection: NatsConnection,
  manager: JetStreamManager,
  { stream, subject, from, to, batch }: ForwardsQuery,
): AsyncGenerator<StreamMessage, void> {
  const nextFrom = async (sequence: number): Promise<StoredMsg | null> => {
    const found = sequence > to ? null : await nextMessage(manager, stream, subject, sequence);
    return found === null || found.seq > to ? null : found;
  };
  for (let next = await nextFrom(from); next !== null; ) {
    if (next.seq === to) return yield streamMessageOf(next);
    const { name } = await manager.consumers.add(stream, {
      ...temporary(),
      ...(subject === ">" ? {} : { filter_subject: subject }),
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: next.seq,
    });
    try {
      for (let taken = 0, isWhole = true; isWhole && next !== null; ) {
        const pulled = await pull(connection, stream, name, batch, taken);
        ({ isWhole } = pulled);
        taken += pulled.messages.length;
        const messages: readonly StreamMessage[] = pulled.messages.length > 0 ? pulled.messages : [streamMessageOf(next)];
        for (const message of messages) {
          if (message.sequence > to) return;
          yield message;
        }
        next = await nextFrom((messages.at(-1)?.sequence ?? next.seq) + 1);
      }
    } finally {
      await manager.consumers.delete(stream, name).catch(() => false);
    }
  }
}

export function streamMessageOf({ seq, subject, data, header, time }: StoredMsg): StreamMessage {
  return { sequence: seq, subject, data, headers: header, storedAt: time.getTime() };
}

/** The first sequence stored at or after a time (milliseconds since the epoch); one after the last when there is none. */
export async function sequenceAt(manager: JetStreamManager, stream: string, time: number): Promise<number> {
  const { name, delivered } = await manager.consumers.add(stream, {
    ...temporary(),
    deliver_policy: DeliverPolicy.StartTime,
    opt_start_time: new Date(time).toISOString(),
  });
  await manager.consumers.delete(stream, name).catch(() => false);
  return delivered.stream_seq + 1;
}

/** A consumer for one reader. It is named because the name is part of the request's subject, by which the server permits it. */
const temporary = () => ({
  name: nuid.next(),
  ack_policy: AckPolicy.None,
  mem_storage: true,
  num_replicas: 1,
  inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
});

/** Decodes a message's text as the library does. */
export function textOf(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8");
}

interface Pulled {
  readonly messages: readonly StreamMessage[];
  /** Whether they are all that the consumer delivered, and at least one: another pull is worthwhile. */
  readonly isWhole: boolean;
}

/**
 * Pulls the messages that the consumer can deliver at once, at most a batch. The library's fetch is not used: it waits for a whole batch,
 * and may end before it has returned the last messages (nats 2.29).
 * @param taken messages that the consumer has delivered before
 */
async function pull(connection: NatsConnection, stream: string, consumer: string, batch: number, taken: number): Promise<Pulled> {
  const answers = await connection.requestMany(
    pullSubject(stream, consumer),
    JSON.stringify({ batch, max_bytes: MAX_PULL_BYTES, no_wait: true }),
    { strategy: RequestStrategy.Timer, maxWait: PULL_TIMEOUT_MS, noMux: true },
  );
  const messages: StreamMessage[] = [];
  for await (const { reply, subject, data, headers } of answers) {
    // A status means that there are no more messages, or that the next one is too large.
    if (reply === undefined || (headers?.code ?? 0) > 0) return { messages, isWhole: messages.length > 0 };
    const { sequence, consumerSequence, storedAt } = parseAckSubject(reply);
    if (consumerSequence !== taken + messages.length + 1) break;
    messages.push({ sequence, subject, data, headers, storedAt });
    if (messages.length === batch) return { messages, isWhole: true };
  }
  return { messages, isWhole: false };
}

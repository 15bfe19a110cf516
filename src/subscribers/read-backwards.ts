/** Reads a stream from its newest message on. The server reads forwards only, so it is done in spans from the end. */
import {
  AckPolicy,
  DeliverPolicy,
  type JetStreamManager,
  type NatsConnection,
  nanos,
  RequestStrategy,
  type SeqMsgRequest,
  type StoredMsg,
} from "nats";
import { parseAckSubject } from "./pulled-message.ts";
import { isNotFound } from "./topology.ts";

export interface Found<T> {
  readonly sequence: number;
  readonly value: T;
}

export interface BackwardsQuery<T> {
  readonly stream: string;
  /** Each a pattern within one of the stream's own subjects: older servers take no other filter. */
  readonly subjects: readonly string[];
  /** Only messages with a lower sequence; null: from the newest. */
  readonly before: number | null;
  readonly limit: number;
  /** Null: not wanted. */
  readonly take: (text: string, subject: string, sequence: number) => T | null;
}

export interface BackwardsPage<T> {
  readonly items: ReadonlyArray<Found<T>>;
  /** What to give as `before`; null at the stream's beginning. */
  readonly next: number | null;
}

/** So many sequences are looked through at first, then more and more. */
const FIRST_SPAN = 250;
const LONGEST_SPAN = 16_000;
const BATCH = 500;
const PULL_TIMEOUT_MS = 2_000;
/** Removes what a process left behind. */
const FORGOTTEN_AFTER_MS = 30_000;

export async function readBackwards<T>(
  connection: NatsConnection,
  manager: JetStreamManager,
  { stream, subjects, before, limit, take }: BackwardsQuery<T>,
): Promise<BackwardsPage<T>> {
  const { state } = await manager.streams.info(stream);
  // A stream that never held anything begins with 0.
  const first = Math.max(1, state.first_seq);
  const found: Array<Found<T>> = [];
  let to = Math.min(state.last_seq, (before ?? Number.POSITIVE_INFINITY) - 1);
  for (let span = FIRST_SPAN; to >= first && found.length < limit; span = Math.min(span * 4, LONGEST_SPAN)) {
    const from = Math.max(first, to - span + 1);
    const ofSubjects = await Promise.all(subjects.map((subject) => readSpan(connection, manager, { stream, subject, from, to, take })));
    found.push(...ofSubjects.flat().sort((a, b) => b.sequence - a.sequence));
    to = from - 1;
  }
  const items = found.slice(0, limit);
  const isAll = found.length <= limit && to < first;
  return { items, next: isAll ? null : (items.at(-1)?.sequence ?? null) };
}

interface Span<T> extends Pick<BackwardsQuery<T>, "stream" | "take"> {
  readonly subject: string;
  /** Both included. */
  readonly from: number;
  readonly to: number;
}

/**
 * What is wanted on the subject from one sequence to another. Whether there is more is asked of the stream itself: of
 * nats-server 2.9 a consumer's num_pending can be too low, which ends its pulls early, and a subject's last message is
 * not found once the one that was last is deleted.
 */
async function readSpan<T>(connection: NatsConnection, manager: JetStreamManager, span: Span<T>): Promise<Array<Found<T>>> {
  const { stream, subject, from, to, take } = span;
  const found: Array<Found<T>> = [];
  let at = from;
  const add = (sequence: number, text: string, of: string): void => {
    at = sequence + 1;
    const value = sequence > to ? null : take(text, of, sequence);
    if (value !== null) found.push({ sequence, value });
  };

  for (;;) {
    const next = await nextMessage(manager, stream, subject, at);
    if (next === null || next.seq > to) return found;
    add(next.seq, next.string(), next.subject);
    const { name } = await manager.consumers.add(stream, {
      filter_subject: subject,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: at,
      ack_policy: AckPolicy.None,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: nanos(FORGOTTEN_AFTER_MS),
    });
    try {
      while (at <= to && (await pull(connection, stream, name, add)) > 0);
    } finally {
      await manager.consumers.delete(stream, name).catch(() => false);
    }
  }
}

/** The first message on the subject from a sequence on; null when there is none. */
async function nextMessage(manager: JetStreamManager, stream: string, subject: string, from: number): Promise<StoredMsg | null> {
  try {
    // The server's JSApiMsgGetRequest has had next_by_subj since 2.9; the library's type has not.
    return await manager.streams.getMessage(stream, { seq: from, next_by_subj: subject } as SeqMsgRequest);
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/**
 * What the consumer has at hand, at most a batch. A bare request: the library's fetch waits for a whole batch, and may end
 * before it has handed out the last messages (nats 2.29). @returns how many
 */
async function pull(
  connection: NatsConnection,
  stream: string,
  consumer: string,
  add: (sequence: number, text: string, subject: string) => void,
): Promise<number> {
  const answers = await connection.requestMany(
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
    JSON.stringify({ batch: BATCH, no_wait: true }),
    { strategy: RequestStrategy.Timer, maxWait: PULL_TIMEOUT_MS, noMux: true },
  );
  let received = 0;
  for await (const message of answers) {
    // A status says that there is no more.
    if (message.reply === undefined || (message.headers?.code ?? 0) > 0) break;
    add(parseAckSubject(message.reply).sequence, message.string(), message.subject);
    if (++received === BATCH) break;
  }
  return received;
}

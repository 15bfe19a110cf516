/**
 * Reads a stream backwards within bounds, for lists. The server only reads forwards, so the stream is read in spans from its end.
 *
 * NEWEST-1  A call examines a bounded number of messages and bytes, and says where it stopped. A span is examined as a whole, so that
 *           everything above that place has been examined.
 * NEWEST-2  A span with too many messages is read again as a smaller one; one with few is followed by a larger one. A sparse work queue
 *           costs few requests although its sequences are far apart.
 */
import type { JetStreamManager, NatsConnection, StreamState } from "nats";
import { readForwards, type StreamMessage, streamMessageOf } from "./read-stream.ts";
import { FEW_OTHERS, readSubject } from "./read-subject.ts";
import { nextMessage } from "./stored-message.ts";

/** Both included. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Reads the messages of a span. @param onOther called with those that had to be read and are left out */
export type ReadSpan = (span: Span, onOther: (message: StreamMessage) => void) => AsyncIterable<StreamMessage>;

export interface Taken<T> {
  readonly sequence: number;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  readonly value: T;
}

export interface NewestFirstQuery<T> extends Span {
  readonly read: ReadSpan;
  /** @returns null for a message to leave out */
  readonly take: (message: StreamMessage) => T | null;
  /** Messages that a call looks at. */
  readonly maxMessages?: number;
  /** Asked after each span. */
  readonly isEnough: (progress: NewestFirst<T>) => boolean;
}

export interface NewestFirst<T> {
  /** Newest first. */
  readonly items: ReadonlyArray<Taken<T>>;
  /** Nothing at or below this sequence was examined; null: the span was examined as a whole. */
  readonly below: number | null;
  /** When the oldest message that was examined was stored; null: none was. */
  readonly oldestAt: number | null;
}

const FIRST_SPAN = 16;
/** Limits of one call. */
const MAX_MESSAGES = 5_000;
const MAX_BYTES = 32 * 1024 * 1024;
/** Limits of one span. */
const MAX_SPAN_MESSAGES = 600;
const MAX_SPAN_BYTES = 8 * 1024 * 1024;

export async function readNewestFirst<T>(query: NewestFirstQuery<T>): Promise<NewestFirst<T>> {
  const { from: first, to: last, read, take, isEnough, maxMessages = MAX_MESSAGES } = query;
  let progress: NewestFirst<T> = { items: [], below: last, oldestAt: null };
  let messages = 0;
  let bytes = 0;
  let length = FIRST_SPAN;
  for (let to = last; to >= first; ) {
    const from = Math.max(first, to - length + 1);
    const span = await readSpan((onOther) => read({ from, to }, onOther), take, from === to);
    messages += span.messages;
    bytes += span.bytes;
    if (!span.isWhole) {
      length = Math.max(1, Math.floor(length / 16));
      continue;
    }
    to = from - 1;
    progress = {
      items: [...progress.items, ...span.items.sort((a, b) => b.sequence - a.sequence)],
      below: to < first ? null : to,
      oldestAt: span.oldestAt ?? progress.oldestAt,
    };
    if (isEnough(progress) || messages >= maxMessages || bytes >= MAX_BYTES) break;
    const hasRoom = span.messages * 4 <= MAX_SPAN_MESSAGES && span.bytes * 4 <= MAX_SPAN_BYTES;
    length = hasRoom ? length * 4 : length;
  }
  return last < first ? { ...progress, below: null } : progress;
}

interface ReadSpanResult<T> {
  readonly items: Array<Taken<T>>;
  readonly messages: number;
  readonly bytes: number;
  readonly oldestAt: number | null;
  /** False: it has too many messages. */
  readonly isWhole: boolean;
}

/** @param isSingle one message is never too many */
async function readSpan<T>(
  read: (onOther: (message: StreamMessage) => void) => AsyncIterable<StreamMessage>,
  take: NewestFirstQuery<T>["take"],
  isSingle: boolean,
): Promise<ReadSpanResult<T>> {
  const items: Array<Taken<T>> = [];
  let count = 0;
  let bytes = 0;
  let oldestAt: number | null = null;
  const examine = ({ data, storedAt }: StreamMessage): void => {
    bytes += data.length;
    oldestAt = Math.min(oldestAt ?? storedAt, storedAt);
  };
  for await (const message of read(examine)) {
    if (!isSingle && (count === MAX_SPAN_MESSAGES || bytes > MAX_SPAN_BYTES))
      return { items, messages: count, bytes, oldestAt, isWhole: false };
    count++;
    examine(message);
    const value = take(message);
    if (value !== null) items.push({ sequence: message.sequence, storedAt: message.storedAt, value });
  }
  return { items, messages: count, bytes, oldestAt, isWhole: true };
}

/** For a limits stream. */
export function spansOf(connection: NatsConnection, manager: JetStreamManager, stream: string, subject: string): ReadSpan {
  return (span, onOther) => readForwards(connection, manager, { stream, subject, ...span, batch: 500, onOther });
}

/** For a work queue, which allows no second consumer: message by message. Nothing counts as a redelivery. */
export function queueSpansOf(connection: NatsConnection, manager: JetStreamManager, stream: string, subject: string): ReadSpan {
  return async function* (span) {
    for await (const message of readSubject(connection, manager, { stream, subject, ...span, mostOthers: FEW_OTHERS }))
      yield streamMessageOf(message);
  };
}

export interface TimeSpan {
  /** Milliseconds since the epoch; the start is included, the end is not. Null: open. */
  readonly start: number | null;
  readonly end: number | null;
}

/** The sequences of the messages that were stored in a span of time. Empty when `to` < `from`. */
export async function sequencesWithin(
  manager: JetStreamManager,
  stream: string,
  { start, end }: TimeSpan,
): Promise<Span & { state: StreamState }> {
  const { state } = await manager.streams.info(stream);
  const firstSince = (time: number): Promise<number> => firstSinceIn(manager, stream, state, time);
  return {
    state,
    from: start === null ? Math.max(1, state.first_seq) : await firstSince(start),
    to: end === null ? state.last_seq : (await firstSince(end)) - 1,
  };
}

/** By bisection: a consumer that starts at a time would need a stream that allows one. */
async function firstSinceIn(manager: JetStreamManager, stream: string, state: StreamState, time: number): Promise<number> {
  let low = Math.max(1, state.first_seq);
  let high = state.last_seq + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const message = await nextMessage(manager, stream, ">", middle);
    if (message === null || message.seq >= high || message.time.getTime() >= time) high = middle;
    else low = message.seq + 1;
  }
  return low;
}

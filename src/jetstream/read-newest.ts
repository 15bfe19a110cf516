/** Reads a stream from its newest message on. The server reads forwards only, so it is done in spans from the end. */
import type { JetStreamManager, NatsConnection } from "nats";
import { readForwards, type StreamMessage } from "./read-stream.ts";

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
  readonly take: (message: StreamMessage) => T | null;
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

/** What is wanted on the subject from one sequence to another. */
async function readSpan<T>(connection: NatsConnection, manager: JetStreamManager, span: Span<T>): Promise<Array<Found<T>>> {
  const found: Array<Found<T>> = [];
  for await (const message of readForwards(connection, manager, { ...span, batch: BATCH })) {
    const value = span.take(message);
    if (value !== null) found.push({ sequence: message.sequence, value });
  }
  return found;
}

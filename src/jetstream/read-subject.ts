/**
 * Reads the messages of a subject one by one, without a consumer: a work queue allows no second one, and nothing counts as a redelivery.
 *
 * SUBJECT-1  Every message is found that was stored when the reading began and is not deleted meanwhile. Where the server's index may
 *            have lost some (INDEX-1), the subject's messages are counted first. When fewer are found, those of other subjects are looked
 *            at, too, and the lost ones come last.
 * SUBJECT-2  There, nothing is read that was stored after the count: a younger message would count in place of a lost one, or let a
 *            reader that continues from the last sequence pass over a message that was stored and lost meanwhile.
 */
import { headers, type JetStreamManager, type MsgHdrs, type NatsConnection, type StoredMsg } from "nats";
import { FENCE_HEADER } from "./durable-publish.ts";
import { headerOf } from "./read-stored-event.ts";
import { deleteMessage, messageAt, nextMessage } from "./stored-message.ts";
import { type SubjectState, subjectState } from "./subject-counts.ts";
import { mayLoseMessages } from "./subject-index.ts";
import { covers } from "./subjects.ts";

export interface SubjectQuery {
  readonly stream: string;
  /** A subject, or a pattern within one of the stream's own. */
  readonly subject: string;
  /** Both included; the whole stream when absent. */
  readonly from?: number;
  readonly to?: number;
  /** A count that the caller has; nothing younger has to be read. */
  readonly state?: SubjectState | undefined;
  /** Messages of other subjects that are looked at for lost ones; all when absent. */
  readonly mostOthers?: number | undefined;
}

interface Found {
  readonly message: StoredMsg;
  readonly isLost: boolean;
}

/** Enough others for a person who waits, or a metric. */
export const FEW_OTHERS = 2_000;
/** Parts of a stream that are looked through side by side. */
const SEARCHES_AT_ONCE = 16;

export async function* readSubject(
  connection: NatsConnection,
  manager: JetStreamManager,
  query: SubjectQuery,
): AsyncGenerator<StoredMsg, void> {
  for await (const { message } of search(connection, manager, query)) yield message;
}

/** A subject's first message, or a lost one among few others when the index has none; null when there is none. */
export async function firstMessageOf(
  connection: NatsConnection,
  manager: JetStreamManager,
  { stream, subject }: Pick<SubjectQuery, "stream" | "subject">,
): Promise<StoredMsg | null> {
  const first = await nextMessage(manager, stream, subject, 1);
  if (first !== null || !mayLoseMessages(connection)) return first;
  for await (const message of readSubject(connection, manager, { stream, subject, mostOthers: FEW_OTHERS })) return message;
  return null;
}

/**
 * Stores messages again that the index has lost, and deletes them where they were: a new consumer is handed them then.
 * @param isWanted false: a consumer may hold them by now
 */
export async function restoreLost(
  connection: NatsConnection,
  manager: JetStreamManager,
  query: SubjectQuery,
  isWanted: () => Promise<boolean>,
): Promise<void> {
  if (!mayLoseMessages(connection)) return;
  for await (const { message, isLost } of search(connection, manager, query)) {
    if (!isLost) continue;
    if (!(await isWanted())) return;
    const { seq, subject, data, header, time } = message;
    // Another replica may do the same: the message id keeps the copies from becoming two.
    const msgID = `again:${firstSequence(seq, headerOf(header, "nats-msg-id"))}:${seq}:${time.getTime()}`;
    await manager.jetstream().publish(subject, data, { msgID, headers: contentHeaders(header) });
    await deleteMessage(manager, query.stream, seq);
  }
}

/** @param messageId a message's Nats-Msg-Id */
export function isStoredAgain(messageId: string | undefined): boolean {
  return messageId?.startsWith("again:") ?? false;
}

/** Where a message was stored before it was stored again. @param messageId its Nats-Msg-Id */
export function firstSequence(sequence: number, messageId: string | undefined): number {
  return Number(/^again:(\d+):/.exec(messageId ?? "")?.[1] ?? sequence);
}

async function* search(connection: NatsConnection, manager: JetStreamManager, query: SubjectQuery): AsyncGenerator<Found, void> {
  if (!mayLoseMessages(connection)) {
    for await (const message of byIndex(manager, query)) yield { message, isLost: false };
    return;
  }
  const { count, last } = query.state ?? (await subjectState(manager, query.stream, query.subject));
  if (count === 0) return;
  const within = { ...query, from: query.from ?? 1, to: Math.min(query.to ?? last, last) };
  const seen = new Set<number>();
  for await (const message of byIndex(manager, within)) {
    seen.add(message.seq);
    yield { message, isLost: false };
    if (seen.size === count) return;
  }
  for (const message of await lostOf(manager, within, seen)) yield { message, isLost: true };
}

/** @param seen those within the bounds that the index had */
async function lostOf(
  manager: JetStreamManager,
  query: SubjectQuery & { readonly from: number; readonly to: number },
  seen: ReadonlySet<number>,
): Promise<StoredMsg[]> {
  const { stream, subject, from, to, mostOthers = Number.POSITIVE_INFINITY } = query;
  if (from > to) return [];
  let { count: missing, last } = await subjectState(manager, stream, subject);
  // As long as that costs less than to look at all messages within the bounds.
  if (missing <= Math.min(to - from, mostOthers)) {
    const indexed = new Set<number>();
    for await (const { seq } of byIndex(manager, { stream, subject, to: last })) indexed.add(seq);
    missing -= indexed.size;
    // Those that were seen last are the likeliest to be there still.
    for (const sequence of [...seen].filter((one) => !indexed.has(one)).reverse()) {
      if (missing === 0) break;
      if ((await messageAt(manager, stream, sequence)) !== null) missing--;
    }
  }
  const lost: StoredMsg[] = [];
  let others = 0;
  const searchFrom = async (first: number, end: number): Promise<void> => {
    for (let at = first; at <= end && lost.length < missing && others < mostOthers; at++) {
      if (seen.has(at)) continue;
      const message = await nextMessage(manager, stream, ">", at);
      if (message === null || message.seq > end) return;
      at = message.seq;
      if (!covers(subject, message.subject)) others++;
      else if (!seen.has(at)) lost.push(message);
    }
  };
  const step = Math.ceil((to - from + 1) / SEARCHES_AT_ONCE);
  const starts = Array.from({ length: SEARCHES_AT_ONCE }, (_, n) => from + n * step);
  await Promise.all(starts.map((first) => searchFrom(first, Math.min(first + step - 1, to))));
  return lost.sort((a, b) => a.seq - b.seq);
}

async function* byIndex(
  manager: JetStreamManager,
  { stream, subject, from = 1, to = Number.POSITIVE_INFINITY }: SubjectQuery,
): AsyncGenerator<StoredMsg, void> {
  for (let at = from; at <= to; ) {
    const message = await nextMessage(manager, stream, subject, at);
    if (message === null || message.seq > to) return;
    yield message;
    at = message.seq + 1;
  }
}

/** Without those that belonged to the first storing: a message that is stored again is not late (FENCE-1). */
function contentHeaders(header: MsgHdrs | undefined): MsgHdrs {
  const kept = headers();
  for (const [name, values] of header ?? []) {
    if (name === FENCE_HEADER || name.toLowerCase().startsWith("nats-")) continue;
    for (const value of values) kept.append(name, value);
  }
  return kept;
}

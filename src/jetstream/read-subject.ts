/**
 * Reads the messages of a subject one by one, without a consumer: a work queue allows no second one, and nothing counts as a redelivery.
 *
 * SUBJECT-1  Every message is found that was stored when the reading began and is not deleted meanwhile. Where the server's index may
 *            have lost some (INDEX-1), they come last, after those that it found: the subject's messages are counted first, and only
 *            when fewer are found are those of other subjects looked at, too.
 */
import { headers, type JetStreamManager, type MsgHdrs, type NatsConnection, type StoredMsg } from "nats";
import { FENCE_HEADER } from "./durable-publish.ts";
import { deleteMessage, nextMessage } from "./stored-message.ts";
import { mayLoseMessages } from "./subject-index.ts";
import { covers } from "./subjects.ts";

export interface SubjectQuery {
  readonly stream: string;
  /** A subject, or a pattern within one of the stream's own. */
  readonly subject: string;
  /** Both included; the whole stream when absent. */
  readonly from?: number;
  readonly to?: number;
  /**
   * Messages of other subjects that are looked at for lost ones; all when absent. A message that is deleted during
   * the reading seems to be lost, so the others may be looked at in vain.
   */
  readonly mostOthers?: number;
}

interface Found {
  readonly message: StoredMsg;
  readonly isLost: boolean;
}

/** The stream when the reading began. */
interface Stored {
  /** Messages of the subject. */
  readonly count: number;
  readonly last: number;
}

/** Parts of a stream that are looked through side by side. */
const SEARCHES_AT_ONCE = 16;

export async function* readSubject(
  connection: NatsConnection,
  manager: JetStreamManager,
  query: SubjectQuery,
): AsyncGenerator<StoredMsg, void> {
  for await (const { message } of search(connection, manager, query)) yield message;
}

/** A subject's first message, or one that the index has lost when it has no other; null when there is none. */
export async function firstOf(
  connection: NatsConnection,
  manager: JetStreamManager,
  { stream, subject }: Pick<SubjectQuery, "stream" | "subject">,
): Promise<StoredMsg | null> {
  const first = await nextMessage(manager, stream, subject, 1);
  if (first !== null) return first;
  for await (const message of readSubject(connection, manager, { stream, subject })) return message;
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
    const msgID = `again:${query.stream}:${seq}:${time.getTime()}`;
    await manager.jetstream().publish(subject, data, { msgID, headers: contentHeaders(header) });
    await deleteMessage(manager, query.stream, seq);
  }
}

async function* search(connection: NatsConnection, manager: JetStreamManager, query: SubjectQuery): AsyncGenerator<Found, void> {
  const before = mayLoseMessages(connection) ? await countOf(manager, query) : null;
  if (before?.count === 0) return;
  const seen = new Set<number>();
  for await (const message of byIndex(manager, query)) {
    if (before !== null && message.seq <= before.last) seen.add(message.seq);
    yield { message, isLost: false };
  }
  if (before === null) return;
  for (const message of await lostOf(manager, query, before, seen)) yield { message, isLost: true };
}

/** @param seen the messages within the bounds that the index has */
async function lostOf(
  manager: JetStreamManager,
  { stream, subject, from = 1, to = Number.POSITIVE_INFINITY, mostOthers = Number.POSITIVE_INFINITY }: SubjectQuery,
  before: Stored,
  seen: ReadonlySet<number>,
): Promise<StoredMsg[]> {
  const end = Math.min(to, before.last);
  let missing = before.count - seen.size;
  // As long as that costs less than to look at all messages within the bounds.
  if (missing <= end - from) {
    for await (const _ of byIndex(manager, { stream, subject, to: from - 1 })) missing--;
    for await (const _ of byIndex(manager, { stream, subject, from: end + 1, to: before.last })) missing--;
  }
  const lost: StoredMsg[] = [];
  let others = 0;
  const searchFrom = async (first: number, last: number): Promise<void> => {
    for (let at = first; at <= last && lost.length < missing && others < mostOthers; at++) {
      if (seen.has(at)) continue;
      const message = await nextMessage(manager, stream, ">", at);
      if (message === null || message.seq > last) return;
      at = message.seq;
      if (!covers(subject, message.subject)) others++;
      else if (!seen.has(at)) lost.push(message);
    }
  };
  const step = Math.ceil((end - from + 1) / SEARCHES_AT_ONCE);
  const starts = Array.from({ length: SEARCHES_AT_ONCE }, (_, n) => from + n * step);
  await Promise.all(starts.map((first) => searchFrom(first, Math.min(first + step - 1, end))));
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

async function countOf(manager: JetStreamManager, { stream, subject }: SubjectQuery): Promise<Stored> {
  const { state } = await manager.streams.info(stream, { subjects_filter: subject });
  const count = Object.values(state.subjects ?? {}).reduce((sum, one) => sum + one, 0);
  return { count, last: state.last_seq };
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

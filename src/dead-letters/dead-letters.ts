/**
 * Reads the dead-letters stream and sends what is in it on its way again. A replay keeps the delivery id and starts counting
 * attempts from 1. The dead letter is removed once the retries stream has stored the delivery; if it fails again, it comes
 * back as another letter.
 *
 * R1  A letter is replayed once, whoever asks for it at the same time or asks again because its removal failed: message id
 *     and run are the letter's own. JetStream takes the first of several stores within its duplicate window, and answers the
 *     others with that one; after it the delivered mark of the run tells.
 * R2  No other run has them, so that neither deduplication nor marks swallow a replay.
 * R3  A letter that holds a whole event goes to everybody who wants it and whom it has not reached yet. It stays when that
 *     is nobody.
 */

import type { JetStreamManager, NatsConnection } from "nats";
import type { TraceBatch, Tracing } from "../delivery/tracing-ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { isDeletedAlready } from "../jetstream/nats-errors.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { decodeRawMessage, eventTypeIn, installationIn, type RawMessage } from "../jetstream/raw-message.ts";
import { readBackwards } from "../jetstream/read-newest.ts";
import { readForwards } from "../jetstream/read-stream.ts";
import { messageAt } from "../jetstream/stored-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { Event } from "../model/event.ts";
import { readEvent } from "../model/event-reader.ts";
import { decodeBatch, type FanOutBatch, type Target } from "../model/fan-out-batch.ts";
import type { ReplayProgress } from "../model/replay.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type DeadLetter, readDeadLetter, UNREADABLE } from "./read-dead-letter.ts";

export interface DeadLetterFilter {
  /** Null: all apps, and what belongs to none. */
  readonly app: string | null;
  readonly installationUuid?: string | null;
  readonly eventType?: string | null;
  /** Milliseconds since the epoch, of when it became a dead letter. */
  readonly start?: number | null;
  readonly end?: number | null;
  /** Only what belongs to the app that has its slug now, not what an earlier one has left. */
  readonly ownOnly?: boolean;
}

export interface DeadLetters {
  /** Newest first, before the given sequence or, with null, from the last one. */
  listNewest(filter: DeadLetterFilter, before: number | null, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  /** In the order they were stored, after the given sequence. */
  list(filter: DeadLetterFilter, after: number, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  /** @throws AppError NOT_FOUND */
  get(sequence: number): Promise<DeadLetter>;
  /** Removes it for good. @throws AppError NOT_FOUND */
  delete(sequence: number): Promise<void>;
  /** Whether it belongs to the app that has its slug now. */
  isOwn(letter: DeadLetter): boolean;
  /** @throws AppError NOT_FOUND, CONFLICT when it has no delivery in it, STREAM_REFUSED */
  replayOne(sequence: number): Promise<void>;
  /** Replays all that match and were stored before the call. @param dryRun only counts. */
  replayAll(filter: DeadLetterFilter, dryRun: boolean, onProgress?: (progress: ReplayProgress) => void): Promise<ReplayProgress>;
}

/** Read at once; each may be as large as the server takes. */
const PAGE = 50;
/** Of one answer: it ends with the letter that reaches it. */
const MAX_LIST_BYTES = 16 * 1024 * 1024;

export interface DeadLettersDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly streams: DeliveryStreamWriter;
  readonly names: Subjects;
  readonly match: (event: Event) => readonly Target[];
  /** When the app was made (model/app.ts); null: it is not known, or there is none. */
  readonly appCreatedAt: (slug: string) => number | null;
  readonly tracing: Tracing;
  readonly clock: Clock;
}

export function createDeadLetters(dependencies: DeadLettersDependencies): DeadLetters {
  const { connection, manager, streams, names, match, appCreatedAt, tracing, clock } = dependencies;
  const stream = names.streams.deadLetters;

  /** One of an early version, or of a whole message, says nothing of its app: then by when it became one. */
  const isOwn = ({ app, content }: DeadLetter): boolean => {
    const createdAt = app === null ? null : appCreatedAt(app);
    if (createdAt === null) return true;
    const stamp = content["app_created_at"];
    if (typeof stamp === "string") return epochMsOf(stamp) === createdAt;
    return epochMsOf(String(content["dead_lettered_at"])) >= createdAt;
  };

  const matches = (letter: DeadLetter, { eventType, installationUuid, start, end, ownOnly }: DeadLetterFilter): boolean => {
    const { content } = letter;
    if (ownOnly && !isOwn(letter)) return false;
    if (installationUuid != null && installationIn(content) !== installationUuid) return false;
    if (eventType != null && eventTypeIn(content, names) !== eventType) return false;
    const at = epochMsOf(String(content["dead_lettered_at"]));
    return (start == null || at >= start) && (end == null || at < end);
  };

  const list: DeadLetters["list"] = async (filter, after, limit) => {
    const items: DeadLetter[] = [];
    let bytes = 0;
    const query = { stream, subject: names.deadLettersFilter(filter.app), from: after + 1, to: Number.POSITIVE_INFINITY, batch: PAGE };
    for await (const message of readForwards(connection, manager, query)) {
      const letter = readDeadLetter(message, names);
      if (!matches(letter, filter)) continue;
      items.push(letter);
      bytes += letter.json.length;
      if (items.length === limit || bytes >= MAX_LIST_BYTES) return { items, next: letter.sequence };
    }
    return { items, next: null };
  };

  const listNewest: DeadLetters["listNewest"] = async (filter, before, limit) => {
    const { items, next } = await readBackwards(connection, manager, {
      stream,
      subjects: [names.deadLettersFilter(filter.app)],
      before,
      limit,
      take(message) {
        const letter = readDeadLetter(message, names);
        return matches(letter, filter) ? letter : null;
      },
    });
    return { items: items.map(({ value }) => value), next };
  };

  const get: DeadLetters["get"] = async (sequence) => {
    const message = await messageAt(manager, stream, sequence);
    if (message === null) throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
    return readDeadLetter({ subject: message.subject, sequence, data: message.data, storedAt: message.time.getTime() }, names);
  };

  const conflict = (sequence: number, content: DeadLetter["content"], why: string): AppError =>
    new AppError("CONFLICT", `dead letter ${sequence} (reason ${String(content["reason"])}) can't be replayed: ${why}`);

  const decoded = <T>(decode: (text: string) => T, text: string, { sequence, content }: DeadLetter): T => {
    try {
      return decode(text);
    } catch (error) {
      throw conflict(sequence, content, messageOf(error));
    }
  };

  const replayDelivery = async (json: string, letter: DeadLetter, batch: TraceBatch): Promise<void> => {
    const { sequence, content } = letter;
    const { delivery } = decoded(decodeDeliveryMessage, json, letter);
    // The time of the letter sets it apart from one of a stream that was made anew.
    const run = `letter-${sequence}-${epochMsOf(String(content["dead_lettered_at"]))}`;
    const again = { ...delivery, attemptsMade: 0, attempts: [], replay: run, firstParkedAt: null };
    const now = { dueAt: clock.now(), delayMs: 0, notBefore: false };
    await batch.store("retries", again, "replayed", (trace) => streams.retry(again, now, { stream, sequence }, trace));
  };

  const replayRaw = async (letter: DeadLetter, raw: RawMessage, batch: TraceBatch): Promise<void> => {
    const { sequence, content } = letter;
    const source = { stream, sequence };
    const replayFanOut = async (fanOut: FanOutBatch): Promise<void> => {
      await batch.fanOut(fanOut.event, (trace) => streams.fanOut(fanOut, source, trace));
    };
    if (raw.stream !== names.streams.events) {
      const text = Buffer.from(raw.data).toString("utf8");
      if (raw.subject === names.fanOut) return await replayFanOut(decoded(decodeBatch, text, letter));
      return await replayDelivery(text, letter, batch);
    }
    const byName = new Map(Object.entries(raw.headers).map(([name, value]) => [name.toLowerCase(), value]));
    const read = readEvent({
      ...(names.parseEvent(raw.subject) ?? { resource: "", action: "" }),
      body: raw.data,
      header: (name) => byName.get(name),
      fallbackId: `${raw.stream}:${raw.sequence}`,
      storedAt: raw.storedAt,
    });
    if (!read.ok) throw conflict(sequence, content, read.problem);
    const targets = match(read.event);
    if (targets.length === 0) throw conflict(sequence, content, "nobody wants its event now");
    await replayFanOut({ event: read.event, eventSequence: raw.sequence, targets });
  };

  const remove = async (sequence: number): Promise<void> => {
    try {
      await manager.streams.deleteMessage(stream, sequence, false);
    } catch (error) {
      // Somebody else has replayed it at the same time.
      if (!isDeletedAlready(error)) throw error;
    }
  };

  const replay = async (letter: DeadLetter, batch: TraceBatch): Promise<void> => {
    const { sequence, json, content } = letter;
    const raw = decodeRawMessage(content);
    if (raw !== null) await replayRaw(letter, raw, batch);
    else if (typeof content["delivery_id"] === "string") await replayDelivery(json, letter, batch);
    else throw conflict(sequence, content, content["reason"] === UNREADABLE ? "it can't be read" : "its body was cut to fit");
    await remove(sequence);
  };

  const replayAll = async (
    filter: DeadLetterFilter,
    dryRun: boolean,
    onProgress: ((progress: ReplayProgress) => void) | undefined,
    batch: TraceBatch,
  ): Promise<ReplayProgress> => {
    // What a replay sends back here during the run is not replayed again.
    const { last_seq: lastSequence } = (await manager.streams.info(stream)).state;
    const progress = { matched: 0, replayed: 0, skipped: 0 };
    let after = 0;
    for (;;) {
      const { items, next } = await list(filter, after, PAGE);
      for (const letter of items) {
        if (letter.sequence > lastSequence) return progress;
        progress.matched++;
        if (dryRun) continue;
        try {
          await replay(letter, batch);
          progress.replayed++;
        } catch (error) {
          if (!(error instanceof AppError) || error.code !== "CONFLICT")
            throw new AppError("STREAM_REFUSED", messageOf(error), { retryable: true, cause: error });
          progress.skipped++;
        }
      }
      onProgress?.({ ...progress });
      if (next === null) return progress;
      after = next;
    }
  };

  const replayOne = async (sequence: number): Promise<void> => {
    const letter = await get(sequence);
    await tracing.batch("replay dead letters", (batch) => replay(letter, batch));
  };

  return {
    list: (filter, after, limit) => orUnreachable(list(filter, after, limit)),
    listNewest: (filter, before, limit) => orUnreachable(listNewest(filter, before, limit)),
    get: (sequence) => orUnreachable(get(sequence)),
    delete: (sequence) => orUnreachable(get(sequence).then(() => remove(sequence))),
    isOwn,
    replayOne: (sequence) => orUnreachable(replayOne(sequence)),
    replayAll: (filter, dryRun, onProgress) =>
      orUnreachable(tracing.batch("replay dead letters", (batch) => replayAll(filter, dryRun, onProgress, batch))),
  };
}

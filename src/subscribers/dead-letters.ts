/**
 * Reads the dead-letters lane and sends what is in it on its way again. A replay keeps the delivery id and starts counting
 * attempts from 1. The dead letter is removed once the retries lane has stored the delivery; if it fails again, it comes
 * back as another letter.
 *
 * R1  A letter is replayed once, whoever asks for it at the same time or asks again because its removal failed: message id
 *     and run are the letter's own. JetStream takes the first of several stores within its duplicate window, and answers the
 *     others with that one; after it the delivered mark of the run tells.
 * R2  No other run has them, so that neither deduplication nor marks swallow a replay.
 * R3  A letter that holds a whole event goes to everybody who wants it and whom it has not reached yet. It stays when that
 *     is nobody.
 */

import { type JetStreamManager, type NatsConnection, NatsError } from "nats";
import type { TraceBatch, Tracing } from "../delivery/ports.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Event } from "../model/event.ts";
import { readEvent } from "../model/event-reader.ts";
import { decodeChunk, type FanOutChunk, type Target } from "../model/fan-out-chunk.ts";
import { decodeLaneMessage } from "../model/lane-message.ts";
import type { ReplayProgress } from "../model/replay.ts";
import type { LaneWriter } from "./lanes.ts";
import { type BusNames, INVALID } from "./names.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { decodeRawLetter, eventTypeIn, type RawMessage } from "./raw-letter.ts";
import { readBackwards } from "./read-backwards.ts";
import { readForwards, textOf } from "./read-forwards.ts";
import { isDeletedAlready } from "./topology.ts";

export interface DeadLetterFilter {
  /** Null: all apps, and what belongs to none. */
  readonly app: string | null;
  readonly eventType?: string | null;
  /** Milliseconds since the epoch, of when it became a dead letter. */
  readonly start?: number | null;
  readonly end?: number | null;
}

export interface DeadLetter {
  /** Its number in the lane; names it in `get` and `replay`. */
  readonly sequence: number;
  readonly app: string | null;
  /** As stored: reason, error, dead_lettered_at, delivery_id, attempts, event, … */
  readonly content: Readonly<Record<string, unknown>>;
  /** The stored JSON text. */
  readonly json: string;
}

export interface DeadLetters {
  /** Newest first, before the given sequence or, with null, from the last one. */
  listNewest(filter: DeadLetterFilter, before: number | null, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  /** In the order they were stored, after the given sequence. */
  list(filter: DeadLetterFilter, after: number, limit: number): Promise<{ items: DeadLetter[]; next: number | null }>;
  /** @throws AppError NOT_FOUND */
  get(sequence: number): Promise<DeadLetter>;
  /** @throws AppError NOT_FOUND, CONFLICT when it has no delivery in it, LANE_REFUSED */
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
  readonly lanes: LaneWriter;
  readonly names: BusNames;
  readonly match: (event: Event) => readonly Target[];
  readonly tracing: Tracing;
  readonly clock: Clock;
}

export function createDeadLetters({ connection, manager, lanes, names, match, tracing, clock }: DeadLettersDependencies): DeadLetters {
  const stream = names.streams.deadLetters;

  const fromJson = (subject: string, sequence: number, json: string): DeadLetter => {
    const app = subject.split(".").at(-1) ?? "";
    return { sequence, app: app === INVALID ? null : app, content: JSON.parse(json) as Record<string, unknown>, json };
  };

  const subjectsOf = (app: string | null): string => (app === null ? `${names.prefix}.dead-letters.*` : names.deadLetter(app));

  const matches = ({ content }: DeadLetter, { eventType, start, end }: DeadLetterFilter): boolean => {
    if (eventType != null && eventTypeIn(content, names) !== eventType) return false;
    const at = Date.parse(String(content["dead_lettered_at"]));
    return (start == null || at >= start) && (end == null || at < end);
  };

  const list: DeadLetters["list"] = async (filter, after, limit) => {
    const items: DeadLetter[] = [];
    let bytes = 0;
    const query = { stream, subject: subjectsOf(filter.app), from: after + 1, to: Number.POSITIVE_INFINITY, batch: PAGE };
    for await (const { subject, sequence, data } of readForwards(connection, manager, query)) {
      const letter = fromJson(subject, sequence, textOf(data));
      if (!matches(letter, filter)) continue;
      items.push(letter);
      bytes += letter.json.length;
      if (items.length === limit || bytes >= MAX_LIST_BYTES) return { items, next: sequence };
    }
    return { items, next: null };
  };

  const listNewest: DeadLetters["listNewest"] = async (filter, before, limit) => {
    const { items, next } = await readBackwards(connection, manager, {
      stream,
      subjects: [subjectsOf(filter.app)],
      before,
      limit,
      take(json, subject, sequence) {
        const letter = fromJson(subject, sequence, json);
        return matches(letter, filter) ? letter : null;
      },
    });
    return { items: items.map(({ value }) => value), next };
  };

  const get: DeadLetters["get"] = async (sequence) => {
    try {
      const { subject, data } = await manager.streams.getMessage(stream, { seq: sequence });
      return fromJson(subject, sequence, textOf(data));
    } catch (error) {
      if (error instanceof NatsError && error.api_error?.code === 404) {
        throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
      }
      throw error;
    }
  };

  const conflict = (sequence: number, content: DeadLetter["content"], why: string): AppError =>
    new AppError("CONFLICT", `dead letter ${sequence} (reason ${String(content["reason"])}) can't be replayed: ${why}`);

  const replayDelivery = async (json: string, { sequence, content }: DeadLetter, batch: TraceBatch): Promise<void> => {
    const { delivery } = decodeLaneMessage(json);
    // The time of the letter sets it apart from one of a stream that was made anew.
    const run = `letter-${sequence}-${Date.parse(String(content["dead_lettered_at"]))}`;
    const again = { ...delivery, attemptsMade: 0, attempts: [], replay: run, firstParkedAt: null, stores: 0 };
    const now = { dueAt: clock.now(), delayMs: 0, floor: false };
    await batch.store("retries", again, "replayed", (trace) => lanes.retry(again, now, { stream, sequence }, trace));
  };

  const replayRaw = async (letter: DeadLetter, raw: RawMessage, batch: TraceBatch): Promise<void> => {
    const { sequence, content } = letter;
    const source = { stream, sequence };
    const replayFanOut = async (fanOut: FanOutChunk): Promise<void> => {
      await batch.fanOut(fanOut.event, (trace) => lanes.fanOut(fanOut, source, trace));
    };
    if (raw.stream !== names.streams.events) {
      const text = Buffer.from(raw.data).toString("utf8");
      try {
        if (raw.subject === names.fanOut) return await replayFanOut(decodeChunk(text));
        return await replayDelivery(text, letter, batch);
      } catch (error) {
        if (error instanceof AppError) throw error;
        throw conflict(sequence, content, messageOf(error));
      }
    }
    const [, , resource = "", action = ""] = raw.subject.split(".");
    const byName = new Map(Object.entries(raw.headers).map(([name, value]) => [name.toLowerCase(), value]));
    const read = readEvent({
      resource,
      action,
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
    const raw = decodeRawLetter(content);
    if (raw !== null) await replayRaw(letter, raw, batch);
    else if (typeof content["delivery_id"] === "string") await replayDelivery(json, letter, batch);
    else throw conflict(sequence, content, "its body was cut to fit");
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
            throw new AppError("LANE_REFUSED", messageOf(error), { retryable: true, cause: error });
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
    replayOne: (sequence) => orUnreachable(replayOne(sequence)),
    replayAll: (filter, dryRun, onProgress) =>
      orUnreachable(tracing.batch("replay dead letters", (batch) => replayAll(filter, dryRun, onProgress, batch))),
  };
}

/**
 * The request log, health counters, stats and delivery marks: attempts are collected for a few milliseconds and written in
 * one round trip, behind the delivery path. Notes of where an event and a delivery are go with them.
 *
 * A1  `record` never waits and never throws; a write that fails never fails a delivery.
 * A2  One batch is under way at a time. It is sent again, as it was, until Redis has all of it (write-batch.ts).
 * A3  While Redis is away at most `bufferRows` attempts are kept; beyond it the oldest are dropped and counted;
 *     of the notes, which only help to find things again, the newest are.
 */
import { randomUUID } from "node:crypto";
import type { AttemptLog, AttemptRecord } from "../delivery/ports.ts";
import type { LateBatch } from "../delivery/tracing-ports.ts";
import { messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import type { Logger } from "../model/logger.ts";
import { OUTCOME_RULES, type Outcome } from "../model/outcome.ts";
import type { Counted, LogEntry, Note, WriteOptions } from "./batch-script.ts";
import { type Batch, createWriteBatch } from "./batch-writer.ts";
import { createDedupReader } from "./dedup-reader.ts";
import { DELIVERED, encodeAddressee, encodeDedupRecord, encodePlace, encodeSkip } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { logRow } from "./log-row.ts";
import type { RedisClient } from "./redis.ts";

export interface BufferedAttemptLog extends AttemptLog {
  /** Notes where a delivery was stored. */
  stored(delivery: Delivery, place: StreamLocation): void;
  /** Writes what is buffered; gives up after `deadlineMs`. @returns the attempts that could not be written. */
  flush(deadlineMs: number): Promise<number>;
  buffered(): number;
  /** Of where events and deliveries are. */
  notesBuffered(): number;
  dropped(): number;
  /** Writes to single keys that Redis refused. */
  refused(): number;
}

export interface AttemptLogOptions extends Omit<WriteOptions, "now"> {
  readonly bufferRows: number;
}

export interface AttemptLogDependencies {
  readonly redis: RedisClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told after a batch was written which installations had counted attempts that were not delivered. */
  readonly onFailuresWritten?: (installationUuids: ReadonlySet<string>) => void;
  /** Told of a batch that took longer than marks may take, or more than one try. */
  readonly onLateBatch?: (batch: LateBatch) => void;
}

/** How long attempts are collected: far below the 50 ms within which marks have to be written. */
const COLLECT_MS = 5;
const LATE_MS = 50;
const LOG_REFUSED_EVERY_MS = 10_000;
const MAX_BATCH = 1_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 1_000;

/** Runs that were delivered, by their mark. */
type Delivered = ReadonlyMap<string, LogEntry>;

const NONE: Delivered = new Map();
const NOTHING: Batch = { entries: [], notes: [] };

export function createRequestLog(dependencies: AttemptLogDependencies, options: AttemptLogOptions): BufferedAttemptLog {
  const { redis, clock, logger, onFailuresWritten, onLateBatch } = dependencies;
  const write = createWriteBatch(redis, { ...options, now: clock.now });
  const readDedupRecord = createDedupReader(redis, clock);
  const writer = randomUUID();
  let waiting: LogEntry[] = [];
  let notes = new Map<string, Note>();
  let batch: Batch = NOTHING;
  let batchNumber = 0;
  let running: Promise<void> | undefined;
  let dropped = 0;
  let refused = 0;
  let refusedLoggedAt = Number.NEGATIVE_INFINITY;
  let failing = false;
  /** Runs delivered according to what is not written yet: what waits, and the batch. New maps for each batch (model/slots.ts). */
  let waitingMarks = new Map<string, LogEntry>();
  let batchMarks: Delivered = NONE;
  let wakeRetry = (): void => {};

  /** A key that is in the way may be so for every batch. */
  const refuse = (problems: readonly string[]): void => {
    refused += problems.length;
    const now = clock.now();
    if (now - refusedLoggedAt < LOG_REFUSED_EVERY_MS) return;
    refusedLoggedAt = now;
    logger.error({ problems: [...new Set(problems)].slice(0, 5) }, "Redis refused writes to single keys; the others were written");
  };

  const writeBatchUntilDone = async (): Promise<void> => {
    const startedAt = clock.now();
    let lastError: string | null = null;
    for (let tries = 1, retryMs = FIRST_RETRY_MS; ; tries++, retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)) {
      try {
        const problems = await write(writer, batchNumber, batch);
        if (problems.length > 0) refuse(problems);
        if (failing) logger.info({ buffered: waiting.length, dropped }, "the request log is written again");
        failing = false;
        const endedAt = clock.now();
        if (tries > 1 || endedAt - startedAt > LATE_MS)
          onLateBatch?.({ startedAt, endedAt, tries, error: lastError, traceparents: batch.entries.map(({ traceparent }) => traceparent) });
        return;
      } catch (error) {
        lastError = messageOf(error);
        if (!failing) logger.warn({ error: lastError }, "the request log can't be written; attempts are buffered");
        failing = true;
        await new Promise<void>((resolve) => {
          wakeRetry = resolve;
          clock.after(retryMs, resolve);
        });
      }
    }
  };

  /** As many as one call takes; a new map for each batch, as almost always all are. */
  const takeNotes = (): Note[] => {
    const taken = [...notes.values()].slice(0, MAX_BATCH * 2);
    notes = notes.size === taken.length ? new Map() : new Map([...notes].slice(taken.length));
    return taken;
  };

  const run = async (): Promise<void> => {
    while (waiting.length > 0 || notes.size > 0) {
      batch = { entries: waiting.slice(0, MAX_BATCH), notes: takeNotes() };
      waiting = waiting.slice(MAX_BATCH);
      batchMarks = waitingMarks;
      waitingMarks = new Map(waiting.filter(({ failed }) => !failed).map((entry) => [entry.mark, entry]));
      batchNumber++;
      await writeBatchUntilDone();
      const failed = new Set<string>();
      for (const { failed: isFailed, counted, installationUuid } of batch.entries) {
        if (isFailed && counted !== null) failed.add(installationUuid);
      }
      batch = NOTHING;
      batchMarks = NONE;
      if (failed.size > 0) onFailuresWritten?.(failed);
    }
    running = undefined;
  };

  const start = (): void => {
    running ??= new Promise((resolve) => clock.after(COLLECT_MS, () => void run().then(resolve)));
  };

  /** @param of with the kind of note, what it is a note of */
  const note = (kind: "addressee" | "place" | "skip", of: string, noted: Note): void => {
    const name = `${kind} ${of}`;
    if (notes.size < options.bufferRows || notes.has(name)) notes.set(name, noted);
  };

  const noteAddressee = (delivery: Delivery): void =>
    note("addressee", delivery.id, {
      key: keys.addressees(delivery.event.id),
      field: delivery.id,
      value: encodeAddressee(delivery),
    });

  return {
    record(attempt) {
      const entry = entryOf(attempt);
      waiting.push(entry);
      if (!entry.failed) waitingMarks.set(entry.mark, entry);
      if (attempt.attempt === 1) noteAddressee(attempt.delivery);
      if (waiting.length + batch.entries.length > options.bufferRows) {
        const oldest = waiting.shift();
        dropped++;
        if (oldest !== undefined) waitingMarks.delete(oldest.mark);
      }
      start();
    },

    async findDelivered(delivery) {
      const mark = dedupKeyOf(delivery);
      const unwritten = waitingMarks.get(mark) ?? batchMarks.get(mark);
      if (unwritten !== undefined) return isOfSameEvent(delivery, unwritten.endedAt) ? unwritten : null;
      try {
        const found = await readDedupRecord(delivery.app, mark);
        return found?.delivered && isOfSameEvent(delivery, found.last?.endedAt) ? found : null;
      } catch {
        // A duplicate is better than a delivery that waits for Redis.
        return null;
      }
    },

    skipped({ id, eventSequence }, delivered) {
      if (eventSequence === null) return;
      const value = encodeSkip(delivered, clock.now());
      note("skip", `${id} ${eventSequence}`, { key: keys.skipped(id), field: String(eventSequence), value });
      start();
    },

    stored(delivery, place) {
      noteAddressee(delivery);
      note("place", delivery.id, { key: keys.place(delivery.id), field: null, value: encodePlace(delivery, place) });
      start();
    },

    async flush(deadlineMs) {
      wakeRetry();
      const deadline = new Promise<void>((resolve) => clock.after(deadlineMs, resolve));
      await Promise.race([running, deadline]);
      return waiting.length + batch.entries.length;
    },

    buffered: () => waiting.length + batch.entries.length,
    notesBuffered: () => notes.size + batch.notes.length,
    dropped: () => dropped,
    refused: () => refused,
  };
}

/**
 * An event without an id is named by its place, which another message has when the events stream was deleted and made
 * again: what was delivered before the message was stored was another event.
 */
function isOfSameEvent({ event, eventSequence }: Delivery, deliveredAt = Number.POSITIVE_INFINITY): boolean {
  return deliveredAt >= event.publishedAt || !event.id.endsWith(`:${eventSequence}`);
}

const HOUR_MS = 3_600_000;
let lastHour = Number.NaN;
let lastText = "";

/** UTC, `YYYY-MM-DDTHH`; almost always that of the attempt before. */
function hourOf(epochMs: number): string {
  const hour = Math.floor(epochMs / HOUR_MS);
  if (hour !== lastHour) {
    lastText = toRfc3339(epochMs).slice(0, 13);
    lastHour = hour;
  }
  return lastText;
}

/** Outcomes of attempts that waited for the receiver: how long says something about it. */
const REACHED: ReadonlySet<Outcome> = new Set(["delivered", "gone", "failed", "rejected", "timed_out"]);

function entryOf(attempt: AttemptRecord): LogEntry {
  const { delivery, app, installation, outcome, endedAt } = attempt;
  const isDelivered = outcome === DELIVERED;
  return {
    app: app.slug,
    appCreatedAt: app.createdAt ?? 0,
    eventType: delivery.event.type,
    installationUuid: installation.uuid,
    row: logRow(attempt),
    failed: !isDelivered,
    counted: delivery.counted ? countedOf(attempt) : null,
    endedAt,
    mark: dedupKeyOf(delivery),
    markValue: encodeDedupRecord(attempt),
    eventSequence: delivery.eventSequence,
    traceparent: attempt.requestHeaders["traceparent"] ?? "",
  };
}

function countedOf({ outcome, endedAt, durationMs }: AttemptRecord): Counted {
  const hour = hourOf(endedAt);
  return {
    day: hour.slice(0, 10),
    hour: hour.slice(11),
    as: OUTCOME_RULES[outcome].countedAs,
    outcome,
    latencyMs: REACHED.has(outcome) ? durationMs : null,
  };
}

/**
 * Replays dead letters: sends their deliveries again under the same delivery id, counting attempts from 1. A dead letter is
 * removed once its delivery is stored; a delivery that fails again becomes another dead letter.
 *
 * REPLAY-1  A dead letter is replayed once, even when several callers ask at the same time, or when its removal failed and
 *           it is replayed again: the message id and the run are its own. JetStream deduplicates within its window, the dedup
 *           key of the run after that.
 * REPLAY-2  No other run shares them, so that neither JetStream nor a dedup key swallows a replay.
 * REPLAY-3  A dead letter that holds a whole event goes to every installation that wants the event and has not received it.
 *           It stays in the stream when no installation wants it.
 */
import type { TraceBatch, Tracing } from "../delivery/tracing-ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { isCut } from "../jetstream/encode-dead-letter.ts";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { decodeRawMessage, type RawMessage } from "../jetstream/raw-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { NOTHING_SPENT } from "../model/delivery.ts";
import { decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { Event } from "../model/event.ts";
import { type ReadEvent, readEvent } from "../model/event-reader.ts";
import { decodeBatch, type FanOutBatch, type Target } from "../model/fan-out-batch.ts";
import { type DeadLetterFilter, deadLetteredAt } from "./dead-letter-filter.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { type DeadLetter, UNREADABLE } from "./read-dead-letter.ts";
import type { StoreAgain } from "./store-again.ts";

/** How far a replay of many has come, and what it is for. */
export interface ReplayPosition {
  readonly filter: DeadLetterFilter;
  readonly dry_run: boolean;
  /** Dead letters up to this sequence were looked at, and those up to `last` are to be. */
  readonly after: number;
  readonly last: number;
  readonly matched: number;
  readonly replayed: number;
  readonly skipped: number;
}

export interface ReplayOptions {
  /** False: it stops where it is. */
  readonly isWanted: () => boolean;
  readonly onProgress: (progress: Pick<ReplayPosition, "after" | "matched" | "replayed" | "skipped">) => Promise<void>;
}

export interface ReplayDeadLetters {
  /** @throws AppError NOT_FOUND, CONFLICT when it can't be replayed, STREAM_REFUSED, NATS_UNREACHABLE */
  one(sequence: number): Promise<void>;
  /**
   * Replays all that match. A delivery that fails again comes back behind `last`, and is not replayed again.
   * @throws AppError STREAM_REFUSED, NATS_UNREACHABLE
   */
  all(from: ReplayPosition, options: ReplayOptions): Promise<void>;
}

export interface ReplayDependencies {
  readonly deadLetters: Pick<DeadLetters, "get" | "list" | "remove">;
  readonly storeAgain: StoreAgain;
  readonly streams: Pick<DeliveryStreamWriter, "fanOut">;
  readonly names: Subjects;
  readonly match: (event: Event) => readonly Target[];
  readonly tracing: Pick<Tracing, "batch">;
}

const PAGE_SIZE = 50;

export function createReplay({ deadLetters, storeAgain, streams, names, match, tracing }: ReplayDependencies): ReplayDeadLetters {
  const replayDelivery = async (json: string, deadLetter: DeadLetter, batch: TraceBatch): Promise<void> => {
    const { delivery } = decoded(decodeDeliveryMessage, json, deadLetter);
    const { run, source } = replayOf(deadLetter, names);
    const again = { ...delivery, attemptsMade: 0, spent: NOTHING_SPENT, attempts: [], replay: run, firstParkedAt: null };
    await storeAgain(again, source, batch, "replayed");
  };

  const replayFanOut = async (fanOut: FanOutBatch, deadLetter: DeadLetter, batch: TraceBatch): Promise<void> => {
    await batch.fanOut(fanOut.event, (trace) => streams.fanOut(fanOut, replayOf(deadLetter, names).source, trace));
  };

  const replayRaw = async (raw: RawMessage, deadLetter: DeadLetter, batch: TraceBatch): Promise<void> => {
    if (raw.stream !== names.streams.events) {
      const text = Buffer.from(raw.data).toString("utf8");
      if (raw.subject === names.fanOut) return await replayFanOut(decoded(decodeBatch, text, deadLetter), deadLetter, batch);
      return await replayDelivery(text, deadLetter, batch);
    }
    const read = eventOf(raw, names);
    if (!read.ok) throw conflict(deadLetter, read.problem);
    const targets = match(read.event);
    if (targets.length === 0) throw conflict(deadLetter, "no installation wants its event now");
    await replayFanOut({ event: read.event, eventSequence: raw.sequence, targets }, deadLetter, batch);
  };

  const replay = async (deadLetter: DeadLetter, batch: TraceBatch): Promise<void> => {
    const { sequence, json, content } = deadLetter;
    const raw = decodeRawMessage(content);
    if (raw !== null) await replayRaw(raw, deadLetter, batch);
    else if (content["reason"] === UNREADABLE) throw conflict(deadLetter, "it can't be read");
    else if (isCut(content)) throw conflict(deadLetter, "it was cut to fit");
    else await replayDelivery(json, deadLetter, batch);
    await deadLetters.remove(sequence);
  };

  const all = async (from: ReplayPosition, { isWanted, onProgress }: ReplayOptions, batch: TraceBatch): Promise<void> => {
    const { filter, dry_run: isDryRun, last } = from;
    const { matched, replayed, skipped } = from;
    const progress = { matched, replayed, skipped };
    for (let after: number | null = from.after; after !== null && after < last && isWanted(); ) {
      const { items, next } = await deadLetters.list(filter, after, PAGE_SIZE);
      for (const deadLetter of items.filter(({ sequence }) => sequence <= last)) {
        if (!isWanted()) return;
        progress.matched++;
        if (isDryRun) continue;
        try {
          await replay(deadLetter, batch);
          progress.replayed++;
        } catch (error) {
          const isOfThisOne = error instanceof AppError && (error.code === "CONFLICT" || error.code === "TOO_LARGE");
          if (!isOfThisOne) throw new AppError("STREAM_REFUSED", messageOf(error), { retryable: true, cause: error });
          progress.skipped++;
        }
      }
      after = next;
      await onProgress({ ...progress, after: Math.min(next ?? last, last) });
    }
  };

  const inTrace = <T>(work: (batch: TraceBatch) => Promise<T>): Promise<T> => orUnreachable(tracing.batch("replay dead letters", work));
  return {
    one: async (sequence) => {
      const deadLetter = await deadLetters.get(sequence);
      await inTrace((batch) => replay(deadLetter, batch));
    },
    all: (from, options) => inTrace((batch) => all(from, options, batch)),
  };
}

/** REPLAY-1, REPLAY-2. The time distinguishes the run from one of the same sequence in a stream that was recreated. */
export function replayOf({ sequence, content }: DeadLetter, { streams }: Subjects) {
  return { run: `dead-letter-${sequence}-${deadLetteredAt(content)}`, source: { stream: streams.deadLetters, sequence } };
}

/** The dead letter whose run it is; null: it is another run's name. */
export function replayedSequence(run: string): number | null {
  const sequence = /^dead-letter-(\d+)-/.exec(run)?.[1];
  return sequence === undefined ? null : Number(sequence);
}

function eventOf({ subject, data, headers, stream, sequence, storedAt }: RawMessage, names: Subjects): ReadEvent {
  const type = names.parseEvent(subject) ?? { resource: "", action: "" };
  const byName = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return readEvent({ ...type, body: data, header: (name) => byName.get(name), fallbackId: `${stream}:${sequence}`, storedAt });
}

function conflict({ sequence, content }: DeadLetter, reason: string): AppError {
  return new AppError("CONFLICT", `dead letter ${sequence} (reason ${String(content["reason"])}) can't be replayed: ${reason}`);
}

/** @throws AppError CONFLICT when the text can't be decoded */
function decoded<T>(decode: (text: string) => T, text: string, deadLetter: DeadLetter): T {
  try {
    return decode(text);
  } catch (error) {
    throw conflict(deadLetter, messageOf(error));
  }
}

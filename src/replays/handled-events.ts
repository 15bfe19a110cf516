/**
 * How far the events stream is handled. An event that is not handled yet has no dedup records, and is not missed: a replay waits for it.
 */
import type { JetStreamManager, NatsConnection } from "nats";
import { unlessNotFound } from "../jetstream/nats-errors.ts";
import { readSubject } from "../jetstream/read-subject.ts";
import { mayLoseMessages } from "../jetstream/subject-index.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { decodeBatch } from "../model/fan-out-batch.ts";

/** The sequence up to which every delivery of the app was attempted or is stored. */
export type HandledUpTo = (app: string) => Promise<number>;

export interface HandledEventsDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  /** The same of the events that the owner of the queues reads; null: it reads none of the app. */
  readonly readByOwner: (app: string) => number | null;
}

export function createHandledUpTo({ connection, manager, names, readByOwner }: HandledEventsDependencies): HandledUpTo {
  const handledDirectly = async (): Promise<number> => {
    const info = await unlessNotFound(manager.consumers.info(names.streams.events, names.eventsConsumer));
    if (info === null) return 0;
    return info.num_pending + info.num_ack_pending === 0 ? Number.POSITIVE_INFINITY : info.ack_floor.stream_seq;
  };

  /** The batches of large fan-outs are stored in the order of their events, except for those that the index has lost (INDEX-1). */
  const handledInBatches = async (): Promise<number> => {
    let first = Number.POSITIVE_INFINITY;
    for await (const batch of readSubject(connection, manager, { stream: names.streams.retries, subject: names.fanOut })) {
      first = Math.min(first, sequenceIn(batch.string()));
      if (!mayLoseMessages(connection)) break;
    }
    return first - 1;
  };

  return async (app) => {
    const ofOwner = readByOwner(app) ?? Number.POSITIVE_INFINITY;
    // The batches are looked at last: an event is acknowledged when they are stored.
    const direct = await handledDirectly();
    return Math.min(ofOwner, direct, await handledInBatches());
  };
}

/** A batch that can't be read goes to dead letters. */
function sequenceIn(batch: string): number {
  try {
    return decodeBatch(batch).eventSequence;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

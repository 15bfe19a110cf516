/**
 * How many dead letters belong to the app that has its slug now: those of an earlier app of that slug are not for its token.
 * Every dead letter of an app is read once; afterwards only new ones are.
 */
import type { JetStreamManager, NatsConnection } from "nats";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { readForwards } from "../jetstream/read-stream.ts";
import { messageAt } from "../jetstream/stored-message.ts";
import { countable } from "../jetstream/subject-counts.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { readDeadLetter } from "./read-dead-letter.ts";

/** @throws AppError NATS_UNREACHABLE */
export type CountOwnDeadLetters = (app: string) => Promise<number>;

export interface OwnDeadLettersDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly isOwn: DeadLetters["isOwn"];
  readonly appCreatedAt: (slug: string) => number | null;
}

interface Seen {
  readonly createdAt: number | null;
  /** When the stream was made: sequences are its own. */
  readonly streamCreated: string;
  upTo: number;
  total: number;
  /** Sequences of the earlier app's. */
  readonly foreign: Set<number>;
}

const BATCH = 100;

export function createOwnDeadLetters(dependencies: OwnDeadLettersDependencies): CountOwnDeadLetters {
  const { connection, manager, names, isOwn, appCreatedAt } = dependencies;
  const stream = names.streams.deadLetters;
  const seenOf = new Map<string, Seen>();

  const count = async (app: string): Promise<number> => {
    const subject = names.deadLetter(app);
    const { state, created } = await manager.streams.info(stream, { subjects_filter: countable(subject) });
    const total = state.subjects?.[subject] ?? 0;
    const createdAt = appCreatedAt(app);
    let seen = seenOf.get(app);
    if (seen === undefined || seen.createdAt !== createdAt || seen.streamCreated !== created)
      seen = { createdAt, streamCreated: created, upTo: 0, total: 0, foreign: new Set() };
    seenOf.set(app, seen);
    if (total === seen.total && seen.upTo === state.last_seq) return total - seen.foreign.size;
    for await (const message of readForwards(connection, manager, {
      stream,
      subject,
      from: seen.upTo + 1,
      to: state.last_seq,
      batch: BATCH,
    }))
      if (!isOwn(readDeadLetter(message, names))) seen.foreign.add(message.sequence);
    for (const sequence of seen.foreign) if ((await messageAt(manager, stream, sequence)) === null) seen.foreign.delete(sequence);
    seen.upTo = state.last_seq;
    seen.total = total;
    return Math.max(0, total - seen.foreign.size);
  };

  const running = new Map<string, Promise<number>>();
  return (app) => {
    const current = running.get(app) ?? orUnreachable(count(app)).finally(() => running.delete(app));
    running.set(app, current);
    return current;
  };
}

/** Reads and removes messages of the dead-letters stream. */
import type { JetStreamManager, NatsConnection } from "nats";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { readBackwards } from "../jetstream/read-newest.ts";
import { readForwards } from "../jetstream/read-stream.ts";
import { deleteMessage, messageAt } from "../jetstream/stored-message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { AppError } from "../model/app-error.ts";
import { type AppCreatedAt, type DeadLetterFilter, isOwnDeadLetter, matchesFilter } from "./dead-letter-filter.ts";
import { type DeadLetter, readDeadLetter } from "./read-dead-letter.ts";

/** `next` is the cursor of the following page; null: this is the last one. */
export interface DeadLetterPage {
  readonly items: DeadLetter[];
  readonly next: number | null;
}

/** Every call rejects with AppError NATS_UNREACHABLE when the server does not answer. */
export interface DeadLetters {
  /** Newest first. @param before a sequence; null: from the newest on */
  listNewest(filter: DeadLetterFilter, before: number | null, limit: number): Promise<DeadLetterPage>;
  /** Oldest first. @param after a sequence; 0: from the oldest on */
  list(filter: DeadLetterFilter, after: number, limit: number): Promise<DeadLetterPage>;
  /** @throws AppError NOT_FOUND */
  get(sequence: number): Promise<DeadLetter>;
  /** Removes it for good. @throws AppError NOT_FOUND */
  delete(sequence: number): Promise<void>;
  /** As `delete`, and does nothing when it is gone. */
  remove(sequence: number): Promise<void>;
  /** Whether it belongs to the app that has its slug now. */
  isOwn(deadLetter: DeadLetter): boolean;
  /** The sequence of the newest message, stored or removed. */
  lastSequence(): Promise<number>;
}

/** Messages per read; each may be as large as the server takes. */
const READ_BATCH = 50;
/** A page ends with the dead letter that reaches this. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;

export interface DeadLettersDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly appCreatedAt: AppCreatedAt;
  /** One was removed. */
  readonly onRemoved: (sequence: number) => void;
}

export function createDeadLetters({ connection, manager, names, appCreatedAt, onRemoved }: DeadLettersDependencies): DeadLetters {
  const stream = names.streams.deadLetters;

  const list: DeadLetters["list"] = async (filter, after, limit) => {
    const items: DeadLetter[] = [];
    let bytes = 0;
    const query = {
      stream,
      subject: names.deadLettersFilter(filter.app),
      from: after + 1,
      to: Number.POSITIVE_INFINITY,
      batch: READ_BATCH,
    };
    for await (const message of readForwards(connection, manager, query)) {
      const deadLetter = readDeadLetter(message, names);
      if (!matchesFilter(deadLetter, filter, names, appCreatedAt)) continue;
      items.push(deadLetter);
      bytes += deadLetter.json.length;
      if (items.length === limit || bytes >= MAX_PAGE_BYTES) return { items, next: deadLetter.sequence };
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
        const deadLetter = readDeadLetter(message, names);
        return matchesFilter(deadLetter, filter, names, appCreatedAt) ? deadLetter : null;
      },
    });
    return { items: items.map(({ value }) => value), next };
  };

  const get: DeadLetters["get"] = async (sequence) => {
    const message = await messageAt(manager, stream, sequence);
    if (message === null) throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
    return readDeadLetter({ subject: message.subject, sequence, data: message.data, storedAt: message.time.getTime() }, names);
  };

  const remove = async (sequence: number): Promise<void> => {
    await deleteMessage(manager, stream, sequence);
    onRemoved(sequence);
  };

  return {
    list: (filter, after, limit) => orUnreachable(list(filter, after, limit)),
    listNewest: (filter, before, limit) => orUnreachable(listNewest(filter, before, limit)),
    get: (sequence) => orUnreachable(get(sequence)),
    delete: (sequence) => orUnreachable(get(sequence).then(() => remove(sequence))),
    remove: (sequence) => orUnreachable(remove(sequence)),
    isOwn: (deadLetter) => isOwnDeadLetter(deadLetter, appCreatedAt),
    lastSequence: () => orUnreachable(manager.streams.info(stream).then(({ state }) => state.last_seq)),
  };
}

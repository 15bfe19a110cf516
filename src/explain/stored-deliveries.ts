/** Deliveries that a stream holds now: those that wait for a retry or are parked, and dead letters. Newest first, within bounds. */
import type { JetStreamManager, NatsConnection } from "nats";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { queueSpansOf, type ReadSpan, readNewestFirst, sequencesWithin, spansOf } from "../jetstream/read-newest-first.ts";
import { textOf } from "../jetstream/read-stream.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { LocatedDelivery, StreamLocation } from "../model/delivery-location.ts";
import { isBehind, type ListPosition, type Slice } from "./newest-first.ts";
import { createReadLocated } from "./read-located.ts";

export interface StoredCandidate extends ListPosition {
  readonly located: LocatedDelivery;
}

export interface StoredDeliveriesQuery {
  readonly streams: ReadonlySet<StreamLocation["stream"]>;
  /** Null: all apps. */
  readonly app: string | null;
  /** Milliseconds since the epoch, when the stream stored them; the start is included, the end is not. Null: open. */
  readonly start: number | null;
  readonly end: number | null;
  readonly cursor: ListPosition | null;
  readonly limit: number;
  readonly isWanted: (located: LocatedDelivery) => boolean;
  /** A cheap check before the message is decoded. */
  readonly mentions?: (text: string) => boolean;
  /** Messages that are looked at in each subject. */
  readonly maxMessages?: number;
}

/** @returns a slice for each subject that was read. @throws AppError NATS_UNREACHABLE */
export type ReadStoredDeliveries = (query: StoredDeliveriesQuery) => Promise<Array<Slice<StoredCandidate>>>;

interface Source {
  readonly kind: StreamLocation["stream"];
  readonly stream: string;
  readonly read: ReadSpan;
}

export function createReadStoredDeliveries(connection: NatsConnection, manager: JetStreamManager, names: Subjects): ReadStoredDeliveries {
  const { retries, parked, deadLetters } = names.streams;
  const locate = createReadLocated(names);

  const sourcesOf = ({ streams, app }: StoredDeliveriesQuery): Source[] => {
    const all: Source[] = [
      { kind: "retries", stream: retries, read: queueSpansOf(connection, manager, retries, names.retriesFilter(app)) },
      ...names
        .parkedFilters(app)
        .map((subject) => ({ kind: "parked", stream: parked, read: queueSpansOf(connection, manager, parked, subject) }) as const),
      { kind: "dead-letters", stream: deadLetters, read: spansOf(connection, manager, deadLetters, names.deadLettersFilter(app)) },
    ];
    return all.filter(({ kind }) => streams.has(kind));
  };

  const sliceOf = async ({ kind, stream, read }: Source, query: StoredDeliveriesQuery): Promise<Slice<StoredCandidate>> => {
    const { cursor, limit, start, end, isWanted, mentions = () => true, maxMessages } = query;
    const until = Math.min(end ?? Number.POSITIVE_INFINITY, cursor === null ? Number.POSITIVE_INFINITY : cursor.at + 1);
    const span = await sequencesWithin(manager, stream, { start, end: Number.isFinite(until) ? until : null });
    const { items, below, oldestAt } = await readNewestFirst({
      ...{ from: span.from, to: span.to, read, ...(maxMessages === undefined ? {} : { maxMessages }) },
      take({ subject, sequence, storedAt, data }) {
        const text = textOf(data);
        const located = mentions(text) ? locate(kind, { subject, sequence, storedAt, text }) : null;
        const isListed = located !== null && isBehind({ at: storedAt, key: located.delivery.id }, cursor) && isWanted(located);
        return isListed ? located : null;
      },
      isEnough: ({ items: found, oldestAt: after }) => found.filter(({ storedAt }) => storedAt > (after ?? 0)).length > limit,
    });
    const candidates = items.map(({ storedAt, value }) => ({ at: storedAt, key: value.delivery.id, located: value }));
    return { candidates, doneTo: below === null ? null : oldestAt };
  };

  return (query) => orUnreachable(Promise.all(sourcesOf(query).map((source) => sliceOf(source, query))));
}

/** Lists the events stream, newest first. A call reads a bounded part of it. */
import type { JetStreamManager, NatsConnection } from "nats";
import type { StoredEvent } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { readNewestFirst, sequencesWithin, spansOf, type Taken, type TimeSpan } from "./read-newest-first.ts";
import { type EventContent, readStages, readStoredEvent } from "./read-stored-event.ts";
import type { Subjects } from "./subjects.ts";

export interface EventListQuery extends TimeSpan {
  /** Null: any. */
  readonly type: string | null;
  /** Asked with null about an event that can't be read. */
  readonly isWanted: (event: Event | null) => boolean;
  /** Only events with a lower sequence; null: from the newest. */
  readonly before: number | null;
  readonly limit: number;
}

export interface EventPage {
  /** Newest first. */
  readonly items: readonly StoredEvent[];
  /** The next page's `before`; null: this is the last one. A page with a next one may be short, or empty. */
  readonly next: number | null;
  /** When the oldest event of the stream was stored, milliseconds since the epoch; null: it is empty. */
  readonly reachesBackTo: number | null;
}

/** @throws AppError NATS_UNREACHABLE */
export type ListStoredEvents = (query: EventListQuery) => Promise<EventPage>;

/** A page ends with the event that reaches this. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;

interface Listed {
  readonly content: EventContent;
  readonly bytes: number;
}

export function createListStoredEvents(connection: NatsConnection, manager: JetStreamManager, names: Subjects): ListStoredEvents {
  const stream = names.streams.events;

  const list: ListStoredEvents = async ({ type, isWanted, before, limit, start, end }) => {
    const { state, from, to } = await sequencesWithin(manager, stream, { start, end });
    const [resource = "*", action = "*"] = type?.split(".") ?? [];
    const { items: found, below } = await readNewestFirst<Listed>({
      ...{ from, to: Math.min(to, (before ?? Number.POSITIVE_INFINITY) - 1) },
      read: spansOf(connection, manager, stream, names.event(resource, action)),
      take(message) {
        const content = readStoredEvent(message, names);
        return isWanted(content.event) ? { content, bytes: message.data.length } : null;
      },
      isEnough: ({ items }) => fitting(items, limit) < items.length || items.length >= limit,
    });
    const shown = found.slice(0, fitting(found, limit));
    const stageOf = await readStages(manager, names);
    const isCut = shown.length < found.length;
    return {
      items: shown.map(({ sequence, value }) => ({ ...value.content, stage: stageOf(sequence) })),
      next: isCut ? (shown.at(-1)?.sequence ?? null) : below === null ? null : below + 1,
      reachesBackTo: state.messages === 0 ? null : epochMsOf(state.first_ts),
    };
  };

  return (query) => orUnreachable(list(query));
}

/** How many of them make a page: at least one. */
function fitting(items: ReadonlyArray<Taken<Listed>>, limit: number): number {
  let bytes = 0;
  for (const [at, { value }] of items.entries()) {
    bytes += value.bytes;
    if (at + 1 === limit || bytes >= MAX_PAGE_BYTES) return at + 1;
  }
  return items.length;
}

/** GET /v1/events: the events stream, newest first, with the data of each event. */
import type { ListStoredEvents } from "../jetstream/list-stored-events.ts";
import type { StoredEvent } from "../model/delivery-location.ts";
import type { ListedEvent } from "./answer-schemas.ts";
import { summarizeEvent } from "./summarize-event.ts";

/** Null members do not restrict the list. */
export interface EventsQuery {
  readonly organizationId: string | null;
  readonly type: string | null;
  /** Milliseconds since the epoch, when the stream stored it; the start is included, the end is not. */
  readonly start: number | null;
  readonly end: number | null;
  /** Only events with a lower sequence; null: from the newest. */
  readonly before: number | null;
  readonly limit: number;
}

export interface EventsPage {
  readonly items: readonly ListedEvent[];
  /** The next page's `before`; null: this is the last one. */
  readonly next: number | null;
  /** Milliseconds since the epoch; null: the stream is empty. */
  readonly reachesBackTo: number | null;
}

/** @throws AppError NATS_UNREACHABLE */
export type ListEvents = (query: EventsQuery) => Promise<EventsPage>;

export function createListEvents(listStored: ListStoredEvents): ListEvents {
  return async ({ organizationId, ...query }) => {
    const { items, next, reachesBackTo } = await listStored({
      ...query,
      // The organization of an event that can't be read is not known.
      isWanted: (event) => organizationId === null || event?.organizationId === organizationId,
    });
    return { items: items.map(listed), next, reachesBackTo };
  };
}

function listed(stored: StoredEvent): ListedEvent {
  const { stream, sequence, event, problem } = stored;
  const id = event?.id ?? `${stream}:${sequence}`;
  return { ...summarizeEvent({ id, event, row: undefined, stored, traceId: null }), problem };
}

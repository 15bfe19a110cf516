/**
 * Finds the events that have an id. There may be several, because an event is identified by its type and id, a CloudEvent by
 * its source and id (model/event-key.ts). Every search is bounded.
 */

import { toRfc3339 } from "../model/clock.ts";
import type { LocatedDelivery, NotedAddressee, StoredEvent } from "../model/delivery-location.ts";
import { deliveryId, type EventIdentity, eventKey } from "../model/event-key.ts";
import { type Notes, notFound, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources } from "./ports.ts";

export interface EventQuery {
  readonly id: string;
  /** Where to start the search for events that Redis does not know, milliseconds since the epoch; null: the newest events. */
  readonly since: number | null;
  /** `<resource>.<action>`; null: any. */
  readonly type: string | null;
  /** Source of a CloudEvent; null: any source, and plain events. */
  readonly source: string | null;
  /** Explains the event for this app only; null: for all. */
  readonly app: string | null;
  /** Leaves out deliveries of an earlier app with the same slug. */
  readonly ownOnly?: boolean;
}

/** An event in its stream, or its remains: deliveries that Redis knows, or dead letters. */
export interface FoundEvent {
  readonly stored: StoredEvent | null;
  readonly noted: readonly NotedAddressee[];
  readonly deadLetters: readonly LocatedDelivery[];
}

/** Newest first, at least one. @throws AppError NOT_FOUND */
export type FindEvents = (query: EventQuery, notes: Notes) => Promise<FoundEvent[]>;

/** Events found for one id. */
const MAX_EVENTS = 10;

/** @param eventsStream its name */
export function createFindEvents(
  { lookup, events, streams }: Pick<DeliverySources, "lookup" | "events" | "streams">,
  eventsStream: string,
): FindEvents {
  /** The deliveries that Redis knows, grouped by event. */
  const findNoted = async (query: EventQuery, noted: readonly NotedAddressee[]): Promise<FoundEvent[]> => {
    const found: FoundEvent[] = [];
    const left = new Set(noted);
    const take = (stored: StoredEvent | null, isOfEvent: (addressee: NotedAddressee) => boolean): void => {
      const taken = [...left].filter(isOfEvent);
      for (const addressee of taken) left.delete(addressee);
      if (taken.length > 0) found.push({ stored, noted: taken, deadLetters: [] });
    };
    for (const sequence of sequencesOf(noted)) {
      const stored = await events.at(sequence);
      const event = stored?.event ?? null;
      if (event !== null && matches(query, event)) take(stored, (one) => one.deliveryId === deliveryId(event, one.installationUuid));
      if (event?.id !== query.id) take(null, (one) => one.eventSequence === sequence && mayMatch(query, one));
      if (found.length > MAX_EVENTS) break;
    }
    take(null, (one) => one.eventSequence === null && mayMatch(query, one));
    return found;
  };

  const findDeadLetters = async (query: EventQuery): Promise<FoundEvent[]> => {
    const deadLetters = (await streams.deadLettersOf(query.id)).filter(({ delivery }) => matches(query, delivery.event));
    const byEvent = Map.groupBy(deadLetters, ({ delivery }) => eventKey(delivery.event));
    return [...byEvent.values()].map((ofEvent) => {
      const noted = ofEvent.map(({ delivery: { id, ...delivery } }) => ({ ...delivery, deliveryId: id }));
      return { stored: null, noted, deadLetters: ofEvent };
    });
  };

  return async (query, notes) => {
    const { id, since, type } = query;
    const noted = await unlessRedisIsDown(lookup.ofEvent(id), [], notes);
    const sequence = sequenceIn(eventsStream, id);
    const located = sequence === null ? null : await events.at(sequence);
    if (located !== null) return [{ stored: located, noted, deadLetters: [] }];
    // Events without deliveries may have the same id: the stream is searched in any case.
    const [known, search] = await Promise.all([findNoted(query, noted), events.search(id, since, type)]);
    const { searched, from, isWhole } = search;
    const found = [...known, ...unknownOf(search.found, known, query)].sort(newestFirst);
    const repeats = repeatsOf(search.found, found, query);
    if (repeats.length > 0)
      notes.add(`The same event was published more than once: also as message ${repeats.join(", ")} of the events stream.`);
    if (found.length > MAX_EVENTS) notes.add(`At least ${found.length} events have this id; the newest ${MAX_EVENTS} are shown.`);
    if (found.length > 0 && !isWhole && from !== null)
      notes.add(`Only ${searched} events from ${toRfc3339(from)} on were searched for others with this id.`);
    if (found.length > 0) return found.slice(0, MAX_EVENTS);
    const deadLetters = await findDeadLetters(query);
    if (deadLetters.length > 0) return deadLetters.slice(0, MAX_EVENTS);
    const extent = from === null ? "there are no events to search" : `${searched} events from ${toRfc3339(from)} on were searched`;
    const hint = isWhole || from === null ? "" : "; ?since=<time shortly before it was published> searches elsewhere";
    throw notFound(`no event ${id}: ${extent}${hint}`, notes);
  };
}

/** Found in the stream, and without deliveries that Redis knows. */
function unknownOf(stored: readonly StoredEvent[], known: readonly FoundEvent[], query: EventQuery): FoundEvent[] {
  const keys = new Set(known.flatMap((one) => (one.stored?.event ? [eventKey(one.stored.event)] : [])));
  const isNew = ({ event }: StoredEvent): boolean => {
    if (event === null || !matches(query, event) || keys.has(eventKey(event))) return false;
    keys.add(eventKey(event));
    return true;
  };
  return stored.filter(isNew).map((one) => ({ stored: one, noted: [], deadLetters: [] }));
}

/** Sequences of further messages of the events that are explained. */
function repeatsOf(stored: readonly StoredEvent[], explained: readonly FoundEvent[], query: EventQuery): number[] {
  const shown = new Set(explained.map((one) => one.stored?.sequence));
  return stored
    .filter(({ event, sequence }) => event !== null && matches(query, event) && !shown.has(sequence))
    .map(({ sequence }) => sequence);
}

/** Those whose message is gone are the oldest. */
function newestFirst(a: FoundEvent, b: FoundEvent): number {
  return (b.stored?.sequence ?? 0) - (a.stored?.sequence ?? 0);
}

function matches({ id, type, source }: EventQuery, event: EventIdentity): boolean {
  return event.id === id && (type === null || event.type === type) && (source === null || event.source === source);
}

/** For an event that is gone: only the delivery's id depends on its type and source. */
function mayMatch({ id, type, source }: EventQuery, noted: NotedAddressee): boolean {
  if (type === null && source === null) return true;
  return deliveryId({ id, source, type: type ?? "" }, noted.installationUuid) === noted.deliveryId;
}

/** Newest first. */
function sequencesOf(noted: readonly NotedAddressee[]): number[] {
  const sequences = noted.map(({ eventSequence }) => eventSequence).filter((sequence) => sequence !== null);
  return [...new Set(sequences)].sort((a, b) => b - a);
}

/** An event published without an id has the id `<stream>:<sequence>`. */
function sequenceIn(stream: string, eventId: string): number | null {
  const sequence = eventId.startsWith(`${stream}:`) ? eventId.slice(stream.length + 1) : "";
  return /^[1-9]\d{0,14}$/.test(sequence) ? Number(sequence) : null;
}

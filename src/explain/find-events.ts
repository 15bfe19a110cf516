/**
 * Finds the events with an id. There may be several: an event is named by its type and id, a CloudEvent by its source and id
 * (model/event-key.ts). Each look is bounded.
 */

import { toRfc3339 } from "../model/clock.ts";
import type { LocatedDelivery, NotedAddressee, StoredEvent } from "../model/delivery-location.ts";
import { deliveryId, type EventIdentity, eventKey } from "../model/event-key.ts";
import { type Notes, notFound, unlessRedisIsAway } from "./notes.ts";
import type { DeliverySources } from "./ports.ts";

export interface EventQuery {
  readonly id: string;
  /** Where to begin looking for events that Redis does not know, milliseconds since the epoch; null: among the newest. */
  readonly since: number | null;
  /** `<resource>.<action>`; null: any. */
  readonly type: string | null;
  /** Of a CloudEvent; null: any, and plain events. */
  readonly source: string | null;
}

/** An event in its stream, or what is left of it: deliveries that Redis knows, or dead letters. */
export interface FoundEvent {
  readonly stored: StoredEvent | null;
  readonly noted: readonly NotedAddressee[];
  readonly letters: readonly LocatedDelivery[];
}

/** Newest first, at least one. @throws AppError NOT_FOUND */
export type FindEvents = (query: EventQuery, notes: Notes) => Promise<FoundEvent[]>;

/** Of one id. */
const MOST_EVENTS = 10;

/** @param stream name of the events stream */
export function createFindEvents(
  { lookup, events, streams }: Pick<DeliverySources, "lookup" | "events" | "streams">,
  stream: string,
): FindEvents {
  /** Of the deliveries that Redis knows, by the event that they are of. */
  const findNoted = async (query: EventQuery, noted: readonly NotedAddressee[]): Promise<FoundEvent[]> => {
    const found: FoundEvent[] = [];
    const left = new Set(noted);
    const take = (stored: StoredEvent | null, isOfEvent: (addressee: NotedAddressee) => boolean): void => {
      const taken = [...left].filter(isOfEvent);
      for (const addressee of taken) left.delete(addressee);
      if (taken.length > 0) found.push({ stored, noted: taken, letters: [] });
    };
    for (const sequence of sequencesOf(noted)) {
      const stored = await events.at(sequence);
      const event = stored?.event ?? null;
      if (event !== null && isAsked(query, event)) take(stored, (one) => one.deliveryId === deliveryId(event, one.installationUuid));
      if (event?.id !== query.id) take(null, (one) => one.eventSequence === sequence && mayBeAsked(query, one));
      if (found.length === MOST_EVENTS) break;
    }
    take(null, (one) => one.eventSequence === null && mayBeAsked(query, one));
    return found;
  };

  const findLetters = async (query: EventQuery): Promise<FoundEvent[]> => {
    const letters = (await streams.deadLettersOf(query.id)).filter(({ delivery }) => isAsked(query, delivery.event));
    const byEvent = Map.groupBy(letters, ({ delivery }) => eventKey(delivery.event));
    return [...byEvent.values()].map((ofEvent) => {
      const noted = ofEvent.map(({ delivery: { id, ...delivery } }) => ({ ...delivery, deliveryId: id }));
      return { stored: null, noted, letters: ofEvent };
    });
  };

  return async (query, notes) => {
    const { id, since, type } = query;
    const noted = await unlessRedisIsAway(lookup.ofEvent(id), [], notes);
    const place = placeIn(stream, id);
    const placed = place === null ? null : await events.at(place);
    if (placed !== null) return [{ stored: placed, noted, letters: [] }];
    const known = await findNoted(query, noted);
    if (known.length > 0) return known;
    const { found, searched, from, complete } = await events.search(id, since, type);
    const asked = found.filter(({ event }) => event !== null && isAsked(query, event)).toReversed();
    if (asked.length > 0) return asked.slice(0, MOST_EVENTS).map((stored) => ({ stored, noted: [], letters: [] }));
    const letters = await findLetters(query);
    if (letters.length > 0) return letters.slice(0, MOST_EVENTS);
    const looked = from === null ? "there is none in the events stream" : `${searched} events from ${toRfc3339(from)} on were looked at`;
    const hint = complete ? "" : "; ?since=<time shortly before it was published> looks elsewhere";
    throw notFound(`no event ${id}: ${looked}${hint}`, notes);
  };
}

function isAsked({ id, type, source }: EventQuery, event: EventIdentity): boolean {
  return event.id === id && (type === null || event.type === type) && (source === null || event.source === source);
}

/** The event itself is gone: its type or source is known by the delivery's id only. */
function mayBeAsked({ id, type, source }: EventQuery, noted: NotedAddressee): boolean {
  if (type === null && source === null) return true;
  return deliveryId({ id, source, type: type ?? "" }, noted.installationUuid) === noted.deliveryId;
}

/** Newest first. */
function sequencesOf(noted: readonly NotedAddressee[]): number[] {
  const sequences = noted.map(({ eventSequence }) => eventSequence).filter((sequence) => sequence !== null);
  return [...new Set(sequences)].sort((a, b) => b - a);
}

/** The id of an event that brought none is `<stream>:<sequence>`. */
function placeIn(stream: string, eventId: string): number | null {
  const sequence = eventId.startsWith(`${stream}:`) ? eventId.slice(stream.length + 1) : "";
  return /^[1-9]\d{0,14}$/.test(sequence) ? Number(sequence) : null;
}

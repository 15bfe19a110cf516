/** Finds events in the events stream: by sequence, or by id among the newest. */
import type { JetStreamManager, NatsConnection } from "nats";
import type { Clock } from "../model/clock.ts";
import type { StoredEvent } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { headerOf, readStages, readStoredEvent } from "./read-stored-event.ts";
import { readForwards, type StreamMessage, sequenceAt } from "./read-stream.ts";
import { messageAt } from "./stored-message.ts";
import type { Subjects } from "./subjects.ts";

export interface EventSearch {
  /** Messages in the order of the stream; at most 20. Two of them may have the same event (model/event-key.ts). */
  readonly found: readonly StoredEvent[];
  /** How many events were searched. */
  readonly searched: number;
  /** When the earliest of them was stored, milliseconds since the epoch; null: none was searched. */
  readonly from: number | null;
  /** Whether all of the stream was searched. */
  readonly isWhole: boolean;
}

/** Every call rejects with AppError NATS_UNREACHABLE when the server does not answer. */
export interface StoredEvents {
  /** Null: the stream does not have the event any more, or not yet. */
  at(sequence: number): Promise<StoredEvent | null>;
  /**
   * Searches for events with an id.
   * @param since milliseconds since the epoch; null: searches the newest events
   * @param type null: any
   */
  search(eventId: string, since: number | null, type: string | null): Promise<EventSearch>;
  /** Searches the newest events for those that mention a text. */
  mentioning(text: string, isWanted: (event: Event) => boolean): Promise<EventSearch>;
}

/** Limits of one search. */
const MOST_EVENTS = 20_000;
const SEARCH_MS = 3_000;
const BATCH = 500;
const MOST_FOUND = 20;

export function createStoredEvents(connection: NatsConnection, manager: JetStreamManager, names: Subjects, clock: Clock): StoredEvents {
  const stream = names.streams.events;

  const read = async (message: StreamMessage): Promise<StoredEvent> => {
    const content = readStoredEvent(message, names);
    return { ...content, stage: (await readStages(manager, names))(content.sequence) };
  };

  const at = async (sequence: number): Promise<StoredEvent | null> => {
    const message = await messageAt(manager, stream, sequence);
    if (message === null) return null;
    const { subject, data, header, time } = message;
    return read({ subject, data, headers: header, sequence, storedAt: time.getTime() });
  };

  const scan = async (
    { since, type }: { readonly since: number | null; readonly type: string | null },
    mentions: (message: StreamMessage) => boolean,
    isWanted: (event: Event) => boolean,
  ): Promise<EventSearch> => {
    const { last_seq: last, first_seq: first } = (await manager.streams.info(stream)).state;
    const until = clock.now() + SEARCH_MS;
    const start = since === null ? Math.max(first, last - MOST_EVENTS + 1, 1) : await sequenceAt(manager, stream, since);
    const [resource = "*", action = "*"] = type?.split(".") ?? [];
    const found: StoredEvent[] = [];
    const query = { stream, subject: names.event(resource, action), from: start, to: Number.POSITIVE_INFINITY, batch: BATCH };
    let searched = 0;
    let from: number | null = null;
    const result = (isWhole: boolean): EventSearch => ({ found, searched, from, isWhole });
    for await (const message of readForwards(connection, manager, query)) {
      if (searched >= MOST_EVENTS || clock.now() >= until) return result(false);
      searched++;
      from ??= message.storedAt;
      if (!mentions(message)) continue;
      const stored = await read(message);
      if (stored.event === null || !isWanted(stored.event)) continue;
      if (found.push(stored) >= MOST_FOUND) return result(false);
    }
    return result(start <= Math.max(1, first));
  };

  return {
    at: (sequence) => orUnreachable(at(sequence)),
    search: (eventId, since, type) =>
      orUnreachable(
        scan(
          { since, type },
          (message) => mayHaveId(message, eventId),
          ({ id }) => id === eventId,
        ),
      ),
    mentioning: (text, isWanted) => orUnreachable(scan({ since: null, type: null }, (message) => mayMention(message, text), isWanted)),
  };
}

/** A cheap check before the event is decoded: the id is in a header, or its JSON text is somewhere in the body. */
function mayHaveId({ headers, data }: StreamMessage, eventId: string): boolean {
  if (headerOf(headers, "nats-msg-id") === eventId || headerOf(headers, "ce-id") !== undefined) return true;
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).includes(JSON.stringify(eventId).slice(1, -1));
}

/** As above, for a part of any of its texts: its id, or a trace in a header. */
function mayMention(message: StreamMessage, text: string): boolean {
  for (const [, values] of message.headers ?? []) if (values.some((value) => value.includes(text))) return true;
  return mayHaveId(message, text);
}

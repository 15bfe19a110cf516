/** Finds events in the EVENTS stream again: by their place, or by their id among the newest. */
import type { JetStreamManager, MsgHdrs, NatsConnection } from "nats";
import type { Clock } from "../model/clock.ts";
import type { StoredEvent } from "../model/delivery-location.ts";
import { eventKey } from "../model/event-key.ts";
import { readEvent } from "../model/event-reader.ts";
import { unlessNotFound } from "./nats-errors.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { readForwards, type StreamMessage, sequenceAt } from "./read-stream.ts";
import { messageAt } from "./stored-message.ts";
import type { Subjects } from "./subjects.ts";

export interface EventSearch {
  /** In the order of the stream, one for each event key; of very many the first. */
  readonly found: readonly StoredEvent[];
  /** How many events were looked at. */
  readonly searched: number;
  /** When the earliest of them was stored, milliseconds since the epoch; null: there was none to look at. */
  readonly from: number | null;
  /** Whether there was nothing left to look at. */
  readonly complete: boolean;
}

/** Every call rejects with AppError NATS_UNREACHABLE when the server does not answer. */
export interface StoredEvents {
  /** Null: the stream has it no more, or not yet. */
  at(sequence: number): Promise<StoredEvent | null>;
  /**
   * Looks for events with an id, of a type or (null) of any, from a time on (milliseconds since the epoch) or, with null,
   * among the newest.
   */
  search(eventId: string, since: number | null, type: string | null): Promise<EventSearch>;
}

/** What one call looks at, and for how long. */
const MOST_EVENTS = 20_000;
const SEARCH_MS = 3_000;
const BATCH = 500;
const MOST_FOUND = 20;

export function createStoredEvents(connection: NatsConnection, manager: JetStreamManager, names: Subjects, clock: Clock): StoredEvents {
  const stream = names.streams.events;

  const stageOf = async (sequence: number): Promise<StoredEvent["stage"]> => {
    const info = await unlessNotFound(manager.consumers.info(stream, names.eventsConsumer));
    if (info === null || sequence > info.delivered.stream_seq) return "waiting";
    return sequence <= info.ack_floor.stream_seq ? "handled" : "taken";
  };

  const read = async (message: StreamMessage): Promise<StoredEvent> => {
    const { sequence, storedAt } = message;
    const result = readEvent({
      ...(names.parseEvent(message.subject) ?? { resource: "", action: "" }),
      body: message.data,
      header: (name) => headerOf(message.headers, name),
      fallbackId: `${stream}:${sequence}`,
      storedAt,
    });
    const { event, problem } = result.ok ? { event: result.event, problem: null } : { event: null, problem: result.problem };
    return { stream, sequence, storedAt, event, problem, stage: await stageOf(sequence) };
  };

  const at = async (sequence: number): Promise<StoredEvent | null> => {
    const message = await messageAt(manager, stream, sequence);
    if (message === null) return null;
    const { subject, data, header, time } = message;
    return read({ subject, data, headers: header, sequence, storedAt: time.getTime() });
  };

  const search: StoredEvents["search"] = async (eventId, since, type) => {
    const { last_seq: last, first_seq: first } = (await manager.streams.info(stream)).state;
    const until = clock.now() + SEARCH_MS;
    const start = since === null ? Math.max(first, last - MOST_EVENTS + 1, 1) : await sequenceAt(manager, stream, since);
    const [resource = "*", action = "*"] = type?.split(".") ?? [];
    const found = new Map<string, StoredEvent>();
    const query = { stream, subject: names.event(resource, action), from: start, to: Number.POSITIVE_INFINITY, batch: BATCH };
    let searched = 0;
    let from: number | null = null;
    for await (const message of readForwards(connection, manager, query)) {
      if (searched >= MOST_EVENTS || clock.now() >= until) return { found: [...found.values()], searched, from, complete: false };
      searched++;
      from ??= message.storedAt;
      if (!mayBe(message, eventId)) continue;
      const stored = await read(message);
      if (stored.event?.id !== eventId) continue;
      const key = eventKey(stored.event);
      if (!found.has(key)) found.set(key, stored);
      if (found.size >= MOST_FOUND) break;
    }
    return { found: [...found.values()], searched, from, complete: true };
  };

  return {
    at: (sequence) => orUnreachable(at(sequence)),
    search: (...query) => orUnreachable(search(...query)),
  };
}

/** Whether it is worth reading: the id is in a header, or somewhere in the body as it would be written there. */
function mayBe({ headers, data }: StreamMessage, eventId: string): boolean {
  if (headerOf(headers, "nats-msg-id") === eventId || headerOf(headers, "ce-id") !== undefined) return true;
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).includes(JSON.stringify(eventId).slice(1, -1));
}

/** A header by its lower-case name. */
export function headerOf(headers: MsgHdrs | undefined, name: string): string | undefined {
  for (const [key, values] of headers ?? []) if (key.toLowerCase() === name) return values[0];
  return undefined;
}

/** Reads a message of the events stream, and how far it has been handled. */
import type { JetStreamManager, MsgHdrs } from "nats";
import type { StoredEvent } from "../model/delivery-location.ts";
import { readEvent } from "../model/event-reader.ts";
import { unlessNotFound } from "./nats-errors.ts";
import type { StreamMessage } from "./read-stream.ts";
import type { Subjects } from "./subjects.ts";

export type EventContent = Omit<StoredEvent, "stage">;

export function readStoredEvent(message: StreamMessage, { streams: { events: stream }, parseEvent }: Subjects): EventContent {
  const { subject, sequence, storedAt, data, headers } = message;
  const result = readEvent({
    ...(parseEvent(subject) ?? { resource: "", action: "" }),
    body: data,
    header: (name) => headerOf(headers, name),
    fallbackId: `${stream}:${sequence}`,
    storedAt,
  });
  const { event, problem } = result.ok ? { event: result.event, problem: null } : { event: null, problem: result.problem };
  return { stream, sequence, storedAt, event, problem };
}

/** @returns the stage of each sequence at this moment */
export async function readStages(manager: JetStreamManager, names: Subjects): Promise<(sequence: number) => StoredEvent["stage"]> {
  const info = await unlessNotFound(manager.consumers.info(names.streams.events, names.eventsConsumer));
  return (sequence) => {
    if (info === null || sequence > info.delivered.stream_seq) return "waiting";
    return sequence <= info.ack_floor.stream_seq ? "handled" : "taken";
  };
}

/** The value of a header by its lower-case name. */
export function headerOf(headers: MsgHdrs | undefined, name: string): string | undefined {
  for (const [key, values] of headers ?? []) if (key.toLowerCase() === name) return values[0];
  return undefined;
}

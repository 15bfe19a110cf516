/** The event in a message of the events stream. */

import type { ConsumedMessage } from "../jetstream/message.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { type EventLimits, type ReadEvent, readEvent } from "../model/event-reader.ts";

/** @param limits null: none */
export function createReadEvent(names: Subjects, limits: EventLimits | null): (message: ConsumedMessage) => ReadEvent {
  return (message) => {
    const type = names.parseEvent(message.subject);
    if (type === null) return { ok: false, problem: `subject: found ${message.subject}, wanted ${names.event("<resource>", "<action>")}` };
    const raw = {
      ...type,
      body: message.data,
      header: (name: string) => message.header(name),
      headerCount: () => message.headerCount(),
      fallbackId: `${message.stream}:${message.sequence}`,
      storedAt: message.storedAt,
    };
    return readEvent(raw, limits ?? undefined);
  };
}

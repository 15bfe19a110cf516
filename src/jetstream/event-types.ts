/** The event types in the events stream. The server keeps a count for each subject, so that no event is read. */
import type { JetStreamManager } from "nats";
import { EVENT_PATTERN } from "../model/app.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { orUnreachable } from "./or-unreachable.ts";
import type { Subjects } from "./subjects.ts";

export interface EventTypes {
  /** The most frequent first. */
  readonly items: ReadonlyArray<{ readonly type: string; readonly events: number }>;
  /** When the oldest event of the stream was stored, milliseconds since the epoch; null: it is empty. */
  readonly reachesBackTo: number | null;
}

/** @throws AppError NATS_UNREACHABLE */
export type ReadEventTypes = () => Promise<EventTypes>;

export function createReadEventTypes(manager: JetStreamManager, names: Subjects): ReadEventTypes {
  const read: ReadEventTypes = async () => {
    const { state } = await manager.streams.info(names.streams.events, { subjects_filter: names.event("*", "*") });
    const items = Object.entries(state.subjects ?? {}).flatMap(([subject, events]) => {
      const event = names.parseEvent(subject);
      const type = event === null ? "" : `${event.resource}.${event.action}`;
      // An event of another form went to dead letters.
      return EVENT_PATTERN.test(type) ? [{ type, events }] : [];
    });
    return {
      items: items.sort((a, b) => b.events - a.events || (a.type < b.type ? -1 : 1)),
      reachesBackTo: state.messages === 0 ? null : epochMsOf(state.first_ts),
    };
  };
  return () => orUnreachable(read());
}

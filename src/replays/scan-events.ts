/** Reads the events that a replay may send, page by page: a page has a consumer of its own, since a slow replay takes days for some. */
import type { JetStreamManager, NatsConnection } from "nats";
import { readStoredEvent } from "../jetstream/read-stored-event.ts";
import { readForwards } from "../jetstream/read-stream.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { type Installation, patternCovers } from "../model/app.ts";
import type { Event } from "../model/event.ts";
import type { ReplayRecord } from "./replay-record.ts";

export interface ScannedEvent {
  readonly sequence: number;
  readonly event: Event;
  /** Those of the replay that want it now. */
  readonly installations: readonly Installation[];
}

export interface ScannedEvents {
  readonly events: readonly ScannedEvent[];
  /** Everything up to this sequence was read. */
  readonly upTo: number;
}

/** Reads from `from` to `to` (both included), or less. @throws AppError NATS_UNREACHABLE */
export type ScanEvents = (replay: ReplayRecord, from: number, to: number) => Promise<ScannedEvents>;

export interface ScanEventsDependencies {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly match: (event: Event) => readonly Installation[];
}

/** Limits of one page: messages read, deliveries found, and bytes of their events. */
const MAX_READ = 2_000;
const MAX_FOUND = 200;
const MAX_BYTES = 8 * 1024 * 1024;
const BATCH = 500;

export function createScanEvents({ connection, manager, names, match }: ScanEventsDependencies): ScanEvents {
  return async (replay, from, to) => {
    const query = { stream: names.streams.events, subject: subjectOf(replay, names), from, to, batch: BATCH };
    const events: ScannedEvent[] = [];
    let read = 0;
    let found = 0;
    let bytes = 0;
    for await (const message of readForwards(connection, manager, query)) {
      const { sequence, data } = message;
      read++;
      const event = isInTime(replay, message.storedAt) ? readStoredEvent(message, names).event : null;
      if (event !== null && coversType(replay, event)) {
        const installations = match(event).filter((one) => isOfReplay(replay, one));
        if (installations.length > 0) {
          events.push({ sequence, event, installations });
          found += installations.length;
          bytes += data.length;
        }
      }
      if (read >= MAX_READ || found >= MAX_FOUND || bytes >= MAX_BYTES) return { events, upTo: sequence };
    }
    return { events, upTo: to };
  };
}

export function isInTime({ from, to }: Pick<ReplayRecord, "from" | "to">, at: number): boolean {
  return (from === null || at >= from) && at < to;
}

export function coversType({ event_types: types }: Pick<ReplayRecord, "event_types">, { resource, type }: Event): boolean {
  return types === null || types.some((pattern) => patternCovers(pattern, resource, type));
}

function isOfReplay({ app, installation_uuid: uuid }: ReplayRecord, installation: Installation): boolean {
  return installation.app === app && (uuid === null || installation.uuid === uuid);
}

/** The narrowest subject that covers the types. */
function subjectOf({ event_types: types }: ReplayRecord, names: Subjects): string {
  const tokens = (types ?? ["*"]).map((pattern) => pattern.split("."));
  const same = (at: number): string => {
    const all = new Set(tokens.map((parts) => parts[at] ?? "*"));
    const [only = "*"] = all;
    return all.size === 1 ? only : "*";
  };
  return names.event(same(0), same(1));
}

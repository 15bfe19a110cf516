/**
 * Reads an event off the bus (docs/design.md 3.2). Pure: a message that can't be read becomes a value that says why, so that it
 * can be stored in dead letters.
 */
import { APP_SLUG, INSTALLATION_UUID } from "./app.ts";
import { toRfc3339 } from "./clock.ts";
import { EVENT_TOKEN, type Event } from "./event.ts";
import { type EventParts, type RawBody, readParts } from "./event-formats.ts";
import {
  checkedId,
  checkedText,
  type IdLimits,
  identifier,
  matching,
  missing,
  object,
  quote,
  time,
  UnreadableEvent,
} from "./event-members.ts";
import type { JsonLimits } from "./json-limits.ts";
import { isTraceparent, isTracestate } from "./trace-context.ts";

export interface RawEvent extends RawBody {
  /** The two tokens after `<prefix>.events.`. */
  readonly resource: string;
  readonly action: string;
  /** Number of headers. Without it they are not limited. */
  headerCount?(): number;
  /** `<stream>:<sequence>`: the id of an event without one. */
  readonly fallbackId: string;
  /** When the stream stored it, milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface EventLimits extends IdLimits, JsonLimits {
  /** Size of the body. */
  readonly maxBytes: number;
  readonly maxHeaders: number;
}

export type ReadEvent = { readonly ok: true; readonly event: Event } | { readonly ok: false; readonly problem: string };

/** Never throws: a problem is returned as text that names the member, what was found and what was wanted. */
export function readEvent(raw: RawEvent, limits?: EventLimits): ReadEvent {
  try {
    if (limits !== undefined) checkSize(raw, limits);
    return { ok: true, event: read(raw, limits) };
  } catch (error) {
    if (error instanceof UnreadableEvent) return { ok: false, problem: error.message };
    throw error;
  }
}

/** Runs before anything is parsed. */
function checkSize(raw: RawEvent, { maxBytes, maxHeaders }: EventLimits): void {
  const bytes = raw.body.byteLength;
  if (bytes > maxBytes) throw new UnreadableEvent(`body: found ${bytes} bytes, wanted at most ${maxBytes}`);
  const headers = raw.headerCount?.() ?? 0;
  if (headers > maxHeaders) throw new UnreadableEvent(`headers: found ${headers}, wanted at most ${maxHeaders}`);
}

function read(raw: RawEvent, limits: EventLimits | undefined): Event {
  const resource = token("resource", raw.resource);
  const action = token("action", raw.action);
  const parts = readParts(raw, limits);
  try {
    return eventOf(raw, { resource, action }, parts, limits);
  } catch (error) {
    throw error instanceof UnreadableEvent ? inAttributes(error, parts) : error;
  }
}

/** The problem in the names that the publisher used. */
function inAttributes(error: UnreadableEvent, { attributes }: EventParts): UnreadableEvent {
  return new UnreadableEvent(error.message.replace(/^\w+(?=: )/, (member) => attributes?.get(member) ?? member));
}

function eventOf(
  raw: RawEvent,
  { resource, action }: Pick<Event, "resource" | "action">,
  { members, source, trace }: EventParts,
  limits: EventLimits | undefined,
): Event {
  return {
    id: identifier(members, "id", limits) ?? checkedId("Nats-Msg-Id", raw.header("nats-msg-id"), limits) ?? raw.fallbackId,
    resource,
    action,
    type: `${resource}.${action}`,
    organizationId: identifier(members, "organization_id", limits) ?? missing("organization_id", "a string or an integer"),
    installationUuid: matching(members, "installation_uuid", INSTALLATION_UUID, "a UUID")?.toLowerCase() ?? null,
    app: matching(members, "app", APP_SLUG, "an app slug") ?? null,
    projectId: identifier(members, "project_id", limits) ?? null,
    dataJson: object(members, "data") ?? missing("data", "an object"),
    actorJson: object(members, "actor") ?? null,
    occurredAt: time(members, "occurred_at") ?? toRfc3339(raw.storedAt),
    publishedAt: raw.storedAt,
    source: source && checkedSource(source),
    // Headers belong to the last hop. A CloudEvent's attributes belong to the first one: they are the fallback.
    ...(traceIn(raw.header("traceparent"), raw.header("tracestate")) ?? traceIn(trace?.traceparent, trace?.tracestate) ?? NO_TRACE),
  };
}

type TraceMembers = Pick<Event, "traceparent" | "tracestate">;

const NO_TRACE: TraceMembers = { traceparent: null, tracestate: null };

function traceIn(traceparent: string | undefined, tracestate: string | undefined): TraceMembers | null {
  if (traceparent === undefined || !isTraceparent(traceparent)) return null;
  return { traceparent, tracestate: tracestate !== undefined && isTracestate(tracestate) ? tracestate : null };
}

function token(name: string, found: string): string {
  if (EVENT_TOKEN.test(found)) return found;
  throw new UnreadableEvent(`${name} in the subject: found ${quote(found)}, wanted 1 to 64 characters of a-z, 0-9 and _`);
}

/** Characters of a CloudEvents source: every message that is stored for a delivery has it. */
const MAX_SOURCE_LENGTH = 1024;

function checkedSource({ name, value }: NonNullable<EventParts["source"]>): string {
  return checkedText(name, value ?? missing(name, "the CloudEvents attribute source"), MAX_SOURCE_LENGTH);
}

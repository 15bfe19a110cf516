/**
 * Reads an event off the bus (DESIGN 3.2): plain JSON, CloudEvents 1.0 structured and binary.
 * Pure: what can't be read comes back as a value that says why, so that it can be stored in dead letters.
 */

import { APP_SLUG, INSTALLATION_UUID } from "./app.ts";
import { toRfc3339 } from "./clock.ts";
import { EVENT_TOKEN, type Event } from "./event.ts";
import { compactJson, measureJson, membersOf } from "./json-text.ts";
import { parseRfc3339 } from "./rfc3339.ts";
import { isTraceparent, isTracestate } from "./trace-context.ts";

export interface RawEvent {
  /** The two tokens after `<prefix>.events.`. */
  readonly resource: string;
  readonly action: string;
  readonly body: Uint8Array;
  /** A header's value by lower-case name, or undefined. */
  header(name: string): string | undefined;
  /** How many headers there are; none are counted when not given. */
  headerCount?(): number;
  /** `<stream>:<sequence>`, the id of an event that brings none. */
  readonly fallbackId: string;
  /** When the stream stored it, milliseconds since the epoch. */
  readonly storedAt: number;
}

export interface EventLimits {
  /** Of the body. */
  readonly maxBytes: number;
  readonly maxHeaders: number;
  /** Objects and arrays within each other. */
  readonly maxDepth: number;
  /** Keys of all objects together. */
  readonly maxKeys: number;
  /** Characters of an id: it goes into headers, log rows and message ids. */
  readonly maxIdLength: number;
}

export type ReadEvent = { readonly ok: true; readonly event: Event } | { readonly ok: false; readonly problem: string };

const utf8 = new TextDecoder("utf-8", { fatal: true });

class Unreadable extends Error {}

/** Never throws: a problem is returned as text that names the member, what was found and what was wanted. */
export function readEvent(raw: RawEvent, limits?: EventLimits): ReadEvent {
  try {
    if (limits !== undefined) checkSize(raw, limits);
    return { ok: true, event: read(raw, limits) };
  } catch (error) {
    if (error instanceof Unreadable) return { ok: false, problem: error.message };
    throw error;
  }
}

/** Before anything is parsed. */
function checkSize(raw: RawEvent, { maxBytes, maxHeaders }: EventLimits): void {
  const bytes = raw.body.byteLength;
  if (bytes > maxBytes) throw new Unreadable(`body: found ${bytes} bytes, wanted at most ${maxBytes}`);
  const headers = raw.headerCount?.() ?? 0;
  if (headers > maxHeaders) throw new Unreadable(`headers: found ${headers}, wanted at most ${maxHeaders}`);
}

/** `"":0,` */
const SHORTEST_KEY = 5;

/** Whether there are no more brackets, in strings or not, than may be within each other. */
function isFlat(json: string, maxDepth: number): boolean {
  let left = maxDepth;
  for (const bracket of ["{", "["]) {
    for (let at = json.indexOf(bracket); at !== -1; at = json.indexOf(bracket, at + 1)) if (--left < 0) return false;
  }
  return true;
}

/** What is within limits of JSON text that is valid, or what is not. */
export function jsonExceeds(json: string, { maxDepth, maxKeys }: Pick<EventLimits, "maxDepth" | "maxKeys">): string | null {
  // Most events are too short and too flat to exceed anything, which is quicker to see than to measure.
  if (json.length < SHORTEST_KEY * maxKeys && isFlat(json, maxDepth)) return null;
  const { depth, keys } = measureJson(json);
  if (depth > maxDepth) return `found objects and arrays ${depth} deep, wanted at most ${maxDepth}`;
  if (keys > maxKeys) return `found ${keys} keys, wanted at most ${maxKeys}`;
  return null;
}

function read(raw: RawEvent, limits: EventLimits | undefined): Event {
  const resource = token("resource", raw.resource);
  const action = token("action", raw.action);
  const { members, source, trace } = readParts(raw, limits);
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
    // The headers are of this hop; a CloudEvent's attributes are of the hop that it began with, and stand in for them.
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
  throw new Unreadable(`${name} in the subject: found ${quote(found)}, wanted 1 to 64 characters of a-z, 0-9 and _`);
}

interface EventParts {
  /** The event's members as compact JSON text, under the names of the plain format. */
  readonly members: Map<string, string>;
  /** The CloudEvents attribute, under the name that it came with; null: a plain event. */
  readonly source: { readonly name: string; readonly value: string | undefined } | null;
  /** A CloudEvent's distributed tracing extension. */
  readonly trace?: { readonly traceparent: string | undefined; readonly tracestate: string | undefined };
}

/** `application/cloudevents`, `-batch`, `+<format>`, and parameters. */
const CLOUD_EVENTS_TYPE = /^application\/cloudevents(-batch)?(?:\+([^\s;]*))?\s*(?:;|$)/i;

/** Why a body of this type is not read: a batch of CloudEvents, or one that is not JSON. Null: it is looked at. */
export function unsupportedContentType(contentType: string): string | null {
  const [, batch, format = "json"] = CLOUD_EVENTS_TYPE.exec(contentType) ?? [];
  if (batch === undefined && format.toLowerCase() === "json") return null;
  return `content-type: found ${quote(contentType)}, wanted application/cloudevents+json, one event a message`;
}

/**
 * A CloudEvent is structured where the content type or, without one (the CloudEvents SDK for Go sets none over NATS), the
 * body says so, and else binary where ce- headers say so.
 */
function readParts(raw: RawEvent, limits: EventLimits | undefined): EventParts {
  const contentType = raw.header("content-type")?.trim() ?? "";
  const unsupported = unsupportedContentType(contentType);
  if (unsupported !== null) throw new Unreadable(unsupported);
  if (CLOUD_EVENTS_TYPE.test(contentType)) return structuredCloudEvent(membersOf(readObject("body", raw.body, limits)), limits);
  if (raw.header("ce-specversion") !== undefined) return binaryCloudEvent(raw, limits);
  const members = membersOf(readObject("body", raw.body, limits));
  return members.get("specversion")?.startsWith('"') ? structuredCloudEvent(members, limits) : { members, source: null };
}

/** The text of a JSON object within the limits. @param what holds it: the body, or a member */
function readObject(what: string, body: Uint8Array, limits: EventLimits | undefined): string {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new Unreadable(`${what}: not valid UTF-8, wanted a JSON object`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Unreadable(`${what}: not valid JSON (${(error as Error).message}), wanted a JSON object`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Unreadable(`${what}: found ${kindOf(text.trim())}, wanted a JSON object`);
  }
  const excess = limits && jsonExceeds(text, limits);
  if (excess) throw new Unreadable(`${what}: ${excess}`);
  return text;
}

const CLOUD_EVENT_NAMES: ReadonlyArray<readonly [cloudEvent: string, member: string]> = [
  ["id", "id"],
  ["time", "occurred_at"],
  ["organizationid", "organization_id"],
  ["installationuuid", "installation_uuid"],
  ["appslug", "app"],
  ["projectid", "project_id"],
];

function structuredCloudEvent(attributes: Map<string, string>, limits: EventLimits | undefined): EventParts {
  const version = attributes.get("specversion");
  if (version !== '"1.0"') throw new Unreadable(`specversion: found ${version ?? "nothing"}, wanted "1.0"`);
  const members = new Map<string, string>();
  for (const [attribute, member] of [...CLOUD_EVENT_NAMES, ["data", "data"], ["actor", "actor"]] as const) {
    const value = attributes.get(attribute);
    if (value !== undefined) members.set(member, value);
  }
  if (!members.has("id")) missing("id", "the CloudEvents attribute id");
  const encoded = stringAttribute(attributes, "data_base64");
  if (encoded !== undefined) {
    if ((members.get("data") ?? "null") !== "null") throw new Unreadable("data_base64: found beside data, wanted one of them");
    members.set("data", compactJson(readObject("data_base64", base64Bytes(encoded), limits)));
  }
  return {
    members,
    source: { name: "source", value: stringAttribute(attributes, "source") },
    trace: { traceparent: stringAttribute(attributes, "traceparent"), tracestate: stringAttribute(attributes, "tracestate") },
  };
}

function binaryCloudEvent(raw: RawEvent, limits: EventLimits | undefined): EventParts {
  const version = raw.header("ce-specversion");
  if (version !== "1.0") throw new Unreadable(`ce-specversion: found ${quote(version ?? "")}, wanted "1.0"`);
  const attribute = (name: string): string | undefined => {
    const value = raw.header(`ce-${name}`);
    return value === undefined ? undefined : percentDecoded(`ce-${name}`, value);
  };
  const members = new Map<string, string>();
  for (const [name, member] of CLOUD_EVENT_NAMES) {
    const value = attribute(name);
    if (value !== undefined) members.set(member, JSON.stringify(value));
  }
  if (!members.has("id")) missing("ce-id", "the CloudEvents attribute id");
  members.set("data", compactJson(readObject("body", raw.body, limits)));
  return {
    members,
    source: { name: "ce-source", value: attribute("source") },
    trace: { traceparent: attribute("traceparent"), tracestate: attribute("tracestate") },
  };
}

function stringAttribute(attributes: Map<string, string>, name: string): string | undefined {
  const text = attributes.get(name);
  if (text === undefined || text === "null") return undefined;
  if (!text.startsWith('"')) throw new Unreadable(`${name}: found ${kindOf(text)}, wanted a string`);
  return JSON.parse(text) as string;
}

/** Characters of a CloudEvents source: it goes into every message that is stored for a delivery. */
const MAX_SOURCE_LENGTH = 1024;

function checkedSource({ name, value }: NonNullable<EventParts["source"]>): string {
  return checkedText(name, value ?? missing(name, "the CloudEvents attribute source"), MAX_SOURCE_LENGTH);
}

function base64Bytes(text: string): Uint8Array {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text, "base64");
  throw new Unreadable(`data_base64: found ${quote(text)}, wanted base64 of a JSON object`);
}

/** As in the HTTP binding of CloudEvents, what is not printable ASCII is percent-encoded. A percent sign that begins no code stands for itself. */
function percentDecoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value.replace(/%(?![0-9A-Fa-f]{2})/g, "%25"));
  } catch {
    throw new Unreadable(`${name}: found ${quote(value)}, wanted percent-encoded UTF-8`);
  }
}

function identifier(members: Map<string, string>, name: string, limits?: EventLimits): string | undefined {
  const text = members.get(name);
  if (text === undefined || text === "null") return undefined;
  // The number's own text is taken: an id above 2^53 must not be rounded.
  if (/^-?\d+$/.test(text)) return checkedId(name, text, limits);
  if (!text.startsWith('"')) throw new Unreadable(`${name}: found ${kindOf(text)}, wanted a string or an integer`);
  return checkedId(name, JSON.parse(text) as string, limits);
}

function checkedId(name: string, value: string | undefined, limits: EventLimits | undefined): string | undefined {
  return value === undefined ? undefined : checkedText(name, value, limits?.maxIdLength ?? Number.POSITIVE_INFINITY);
}

/** What names something: it is hashed, compared, and shown in logs and terminals. */
function checkedText(name: string, value: string, most: number): string {
  if (value.length === 0 || value.length > most)
    throw new Unreadable(
      `${name}: found ${value.length} characters, wanted ${most === Number.POSITIVE_INFINITY ? "at least 1" : `1 to ${most}`}`,
    );
  if (!value.isWellFormed()) throw new Unreadable(`${name}: found ${quote(value)} with half a surrogate pair, wanted well-formed Unicode`);
  if (/\p{Cc}/u.test(value)) throw new Unreadable(`${name}: found ${quote(value)}, wanted no control characters`);
  return value;
}

function matching(members: Map<string, string>, name: string, pattern: RegExp, wanted: string): string | undefined {
  const value = identifier(members, name);
  if (value === undefined || pattern.test(value)) return value;
  throw new Unreadable(`${name}: found ${quote(value)}, wanted ${wanted}`);
}

function object(members: Map<string, string>, name: string): string | undefined {
  const text = members.get(name);
  if (text === undefined || (text === "null" && name !== "data")) return undefined;
  if (!text.startsWith("{")) throw new Unreadable(`${name}: found ${kindOf(text)}, wanted an object`);
  return text;
}

function time(members: Map<string, string>, name: string): string | undefined {
  const text = members.get(name);
  if (text === undefined || text === "null") return undefined;
  if (!text.startsWith('"')) throw new Unreadable(`${name}: found ${kindOf(text)}, wanted an RFC 3339 time`);
  const value = JSON.parse(text) as string;
  const read = parseRfc3339(value);
  if (!read.ok) throw new Unreadable(`${name}: found ${quote(value)}, ${read.problem}`);
  return toRfc3339(read.epochMs);
}

function missing(name: string, wanted: string): never {
  throw new Unreadable(`${name}: missing, wanted ${wanted}`);
}

function kindOf(json: string): string {
  if (json === "null") return "null";
  if (json.startsWith("[")) return "an array";
  if (json.startsWith("{")) return "an object";
  if (json.startsWith('"')) return "a string";
  return json === "true" || json === "false" ? "a boolean" : "a number";
}

function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}

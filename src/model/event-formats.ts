/** The three formats of an event on the bus: plain JSON, and CloudEvents 1.0 structured and binary. */
import { type Members, missing, quote, UnreadableEvent } from "./event-members.ts";
import { type JsonLimits, jsonExceeds } from "./json-limits.ts";
import { kindOfValue } from "./json-object.ts";
import { compactJson, kindOf, membersOf } from "./json-text.ts";

export interface RawBody {
  readonly body: Uint8Array;
  /** A header's value by lower-case name, or undefined. */
  header(name: string): string | undefined;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

export interface EventParts {
  /** The event's members as compact JSON text, under the names of the plain format. */
  readonly members: Members;
  /** The CloudEvents attribute and the name that it had; null: a plain event. */
  readonly source: { readonly name: string; readonly value: string | undefined } | null;
  /** Member → the attribute that it was, for problems; absent: the members have their own names. */
  readonly attributes?: ReadonlyMap<string, string>;
  /** A CloudEvent's distributed tracing extension. */
  readonly trace?: { readonly traceparent: string | undefined; readonly tracestate: string | undefined };
}

/** `application/cloudevents`, `-batch`, `+<format>`, and parameters. */
const CLOUD_EVENTS_TYPE = /^application\/cloudevents(-batch)?(?:\+([^\s;]*))?\s*(?:;|$)/i;

/** Why a body of this type is refused: a batch of CloudEvents, or a CloudEvent that is not JSON. Null: it is read. */
export function unsupportedContentType(contentType: string): string | null {
  const [, batch, format = "json"] = CLOUD_EVENTS_TYPE.exec(contentType) ?? [];
  if (batch === undefined && format.toLowerCase() === "json") return null;
  return `content-type: found ${quote(contentType)}, wanted application/cloudevents+json, one event per message`;
}

/**
 * An event is a structured CloudEvent if its content type says so, or its body does (the CloudEvents SDK for Go sets no content
 * type over NATS). It is a binary CloudEvent if it has ce- headers.
 */
export function readParts(raw: RawBody, limits: JsonLimits | undefined): EventParts {
  const contentType = raw.header("content-type")?.trim() ?? "";
  const unsupported = unsupportedContentType(contentType);
  if (unsupported !== null) throw new UnreadableEvent(unsupported);
  if (CLOUD_EVENTS_TYPE.test(contentType)) return structuredCloudEvent(membersOf(readObject("body", raw.body, limits)), limits);
  if (raw.header("ce-specversion") !== undefined) return binaryCloudEvent(raw, limits);
  const members = membersOf(readObject("body", raw.body, limits));
  return members.get("specversion")?.startsWith('"') ? structuredCloudEvent(members, limits) : { members, source: null };
}

/** The text of a JSON object within the limits. @param what names the body or member that holds it */
function readObject(what: string, body: Uint8Array, limits: JsonLimits | undefined): string {
  let text: string;
  try {
    text = utf8.decode(body);
  } catch {
    throw new UnreadableEvent(`${what}: not valid UTF-8, wanted a JSON object`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UnreadableEvent(`${what}: not valid JSON (${(error as Error).message}), wanted a JSON object`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new UnreadableEvent(`${what}: found ${kindOfValue(value)}, wanted a JSON object`);
  }
  const excess = limits && jsonExceeds(text, limits);
  if (excess) throw new UnreadableEvent(`${what}: ${excess}`);
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

const ATTRIBUTES = new Map(CLOUD_EVENT_NAMES.map(([attribute, member]) => [member, attribute]));
const HEADERS = new Map(CLOUD_EVENT_NAMES.map(([attribute, member]) => [member, `ce-${attribute}`]));

function structuredCloudEvent(attributes: Members, limits: JsonLimits | undefined): EventParts {
  const version = attributes.get("specversion");
  if (version !== '"1.0"') throw new UnreadableEvent(`specversion: found ${version ?? "nothing"}, wanted "1.0"`);
  const members = new Map<string, string>();
  for (const [attribute, member] of [...CLOUD_EVENT_NAMES, ["data", "data"], ["actor", "actor"]] as const) {
    const value = attributes.get(attribute);
    if (value !== undefined) members.set(member, value);
  }
  if (!members.has("id")) missing("id", "the CloudEvents attribute id");
  const encoded = stringAttribute(attributes, "data_base64");
  if (encoded !== undefined) {
    if ((members.get("data") ?? "null") !== "null") throw new UnreadableEvent("data_base64: found together with data, wanted one of them");
    members.set("data", compactJson(readObject("data_base64", base64Bytes(encoded), limits)));
  }
  return {
    members,
    attributes: ATTRIBUTES,
    source: { name: "source", value: stringAttribute(attributes, "source") },
    trace: { traceparent: stringAttribute(attributes, "traceparent"), tracestate: stringAttribute(attributes, "tracestate") },
  };
}

function binaryCloudEvent(raw: RawBody, limits: JsonLimits | undefined): EventParts {
  const version = raw.header("ce-specversion");
  if (version !== "1.0") throw new UnreadableEvent(`ce-specversion: found ${quote(version ?? "")}, wanted "1.0"`);
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
    attributes: HEADERS,
    source: { name: "ce-source", value: attribute("source") },
    trace: { traceparent: attribute("traceparent"), tracestate: attribute("tracestate") },
  };
}

function stringAttribute(attributes: Members, name: string): string | undefined {
  const text = attributes.get(name);
  if (text === undefined || text === "null") return undefined;
  if (!text.startsWith('"')) throw new UnreadableEvent(`${name}: found ${kindOf(text)}, wanted a string`);
  return JSON.parse(text) as string;
}

function base64Bytes(text: string): Uint8Array {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text, "base64");
  throw new UnreadableEvent(`data_base64: found ${quote(text)}, wanted base64 of a JSON object`);
}

/** Characters other than printable ASCII are percent-encoded (CloudEvents, HTTP binding). A percent sign without a code is literal. */
function percentDecoded(name: string, value: string): string {
  try {
    return decodeURIComponent(value.replace(/%(?![0-9A-Fa-f]{2})/g, "%25"));
  } catch {
    throw new UnreadableEvent(`${name}: found ${quote(value)}, wanted percent-encoded UTF-8`);
  }
}

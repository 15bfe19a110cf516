/**
 * A dead letter that contains a raw message instead of a delivery: the message can't be decoded, or was redelivered too often to be
 * decoded again. Its bytes and headers are kept, so that it can be replayed.
 */
import { isUtf8 } from "node:buffer";
import type { RawDeadLetterReason, UnhandledMessage } from "../delivery/ports.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { Subjects } from "./subjects.ts";

/** A message as its dead letter has it. */
export interface RawMessage {
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  readonly storedAt: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
}

export interface RawMessageFacts {
  readonly reason: RawDeadLetterReason;
  readonly error: string;
  /** RFC 3339. */
  readonly at: string;
  /** Null: it belongs to no app. */
  readonly app: string | null;
}

/** Room for the subject, the message id and other headers. */
const HEADER_BYTES = 1024;

/**
 * JSON text that fits into a message. A body that would not fit is cut, and marked `body_cut`; the whole message remains in its own
 * stream for as long as that keeps it.
 */
export function encodeRawMessage(message: UnhandledMessage, facts: RawMessageFacts, maxPayloadBytes: number): string {
  const encode = (data: Uint8Array, headers: Readonly<Record<string, string>>): string =>
    JSON.stringify({
      reason: facts.reason,
      error: facts.error,
      dead_lettered_at: facts.at,
      app: facts.app,
      subject: message.subject,
      source_stream: message.stream,
      source_sequence: message.sequence,
      stored_at: new Date(message.storedAt).toISOString(),
      headers,
      ...(data.length < message.data.length ? { body_cut: true, body_bytes: message.data.length } : {}),
      // A body that is text is stored as text; others are stored as bytes.
      ...(isUtf8(data) ? { body: Buffer.from(data).toString("utf8") } : { body_base64: Buffer.from(data).toString("base64") }),
    });
  const headers = message.headers();
  const fitting = cutToFit(message.data.length, maxPayloadBytes, (kept) => encode(message.data.subarray(0, kept), headers));
  return fitting ?? encode(message.data.subarray(0, 0), {});
}

/**
 * Encodes with all of a body, or with half of it, a quarter and so on.
 * @returns the first text that fits into a message; null: none does
 */
export function cutToFit(length: number, maxPayloadBytes: number, encode: (kept: number) => string): string | null {
  for (let kept = length; ; kept = Math.floor(kept / 2)) {
    const text = encode(kept);
    if (Buffer.byteLength(text) <= maxPayloadBytes - HEADER_BYTES) return text;
    if (kept === 0) return null;
  }
}

/** @returns null when the dead letter contains a delivery, or its body was cut */
export function decodeRawMessage(content: Readonly<Record<string, unknown>>): RawMessage | null {
  const { source_stream, source_sequence, subject, stored_at, headers, body, body_base64, body_cut } = content;
  if (typeof source_stream !== "string" || body_cut === true) return null;
  const data = typeof body_base64 === "string" ? Buffer.from(body_base64, "base64") : Buffer.from(String(body ?? ""));
  return {
    stream: source_stream,
    sequence: Number(source_sequence),
    subject: String(subject),
    storedAt: epochMsOf(String(stored_at)) || 0,
    headers: (headers ?? {}) as Record<string, string>,
    data,
  };
}

/** The event's type in a dead letter of either form; null when its message has none. */
export function eventTypeIn(content: Readonly<Record<string, unknown>>, names: Subjects): string | null {
  if (content["source_stream"] === names.streams.events) {
    const type = names.parseEvent(String(content["subject"]));
    return type && `${type.resource}.${type.action}`;
  }
  const { event } = content["source_stream"] === undefined ? content : deliveryMessageIn(content);
  const { resource: ofResource, action: ofAction } = (event ?? {}) as { resource?: unknown; action?: unknown };
  return typeof ofResource === "string" && typeof ofAction === "string" ? `${ofResource}.${ofAction}` : null;
}

/** The installation of its delivery; undefined when it contains none. */
export function installationIn(content: Readonly<Record<string, unknown>>): unknown {
  const { installation_uuid: uuid } = (content["source_stream"] === undefined ? content : deliveryMessageIn(content)) as {
    readonly installation_uuid?: unknown;
  };
  return uuid;
}

/** The organization of its delivery's event; undefined when it contains none that can be read. */
export function organizationIn(content: Readonly<Record<string, unknown>>): unknown {
  const { event } = content["source_stream"] === undefined ? content : deliveryMessageIn(content);
  return (event as { readonly organization_id?: unknown } | undefined)?.organization_id;
}

/** Empty when the body was cut, or never was a delivery. */
function deliveryMessageIn({ body }: Readonly<Record<string, unknown>>): { readonly event?: unknown } {
  try {
    return (JSON.parse(String(body)) ?? {}) as object;
  } catch {
    return {};
  }
}

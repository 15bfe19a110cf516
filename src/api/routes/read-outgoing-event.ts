/** Reads an event that arrived over HTTP, as strictly as those on the bus are read. `data` stays the caller's JSON text. */

import type { OutgoingEvent } from "../../jetstream/event-publisher.ts";
import { AppError } from "../../model/app-error.ts";
import { EVENT_TOKEN } from "../../model/event.ts";
import { eventMessageId } from "../../model/event-key.ts";
import { type EventLimits, readEvent } from "../../model/event-reader.ts";
import { kindOfValue } from "../../model/json-object.ts";
import { withMember } from "../../model/json-text.ts";
import { RecordInvalid } from "../../registry/records.ts";

export interface ReceivedEvent {
  readonly text: string;
  /** The value of the text. */
  readonly value: unknown;
  readonly contentType: string;
  readonly traceparent: string | undefined;
  readonly tracestate: string | undefined;
  /** The id of an event that has none. */
  readonly id: string;
  /** Also gives it to a CloudEvent, for which an id is required. */
  readonly isIdGiven: boolean;
}

/** @throws AppError RECORD_INVALID, TOO_LARGE */
export function readOutgoingEvent(received: ReceivedEvent, limits: EventLimits): OutgoingEvent {
  const members = objectIn(received.value);
  const { resource, action } = addressOf(members);
  const isPlain = typeof members["specversion"] !== "string" && !/cloudevents/i.test(received.contentType);
  const needsId = members["id"] == null && (isPlain || received.isIdGiven);
  const text = needsId ? withMember(received.text, "id", JSON.stringify(received.id)) : received.text;
  const body = Buffer.from(text);
  if (body.length > limits.maxBytes) {
    const wanted = `wanted at most ${limits.maxBytes} (POSTHORN_MAX_EVENT_SIZE, or what the NATS server takes)`;
    throw new AppError("TOO_LARGE", `event: found ${body.length} bytes, ${wanted}`);
  }
  const headers: ReadonlyMap<string, string | undefined> = new Map([
    ["content-type", received.contentType],
    ["traceparent", received.traceparent],
    ["tracestate", received.tracestate],
  ]);
  const read = readEvent(
    // Binary CloudEvents are accepted on the bus only.
    { resource, action, body, header: (name) => headers.get(name), fallbackId: received.id, storedAt: Date.now() },
    limits,
  );
  if (!read.ok) throw new RecordInvalid("event", [problemAt(read.problem)]);
  const { id, source, traceparent, tracestate } = read.event;
  const contentType = source === null ? null : "application/cloudevents+json";
  return { resource, action, id, messageId: eventMessageId(read.event), body, contentType, traceparent, tracestate };
}

function objectIn(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RecordInvalid("event", [{ path: "", message: `found ${kindOfValue(value)}, wanted a JSON object` }]);
}

function addressOf({ type, resource, action }: Record<string, unknown>): { resource: string; action: string } {
  const named = typeof type === "string" ? type.split(".") : [resource, action];
  const [first, second] = named;
  const isAddress = named.length === 2 && isToken(first) && isToken(second);
  if (isAddress) return { resource: first, action: second };
  const found = type === undefined ? "nothing" : JSON.stringify(type).slice(0, MAX_FOUND);
  const wanted = "wanted <resource>.<action>, each 1 to 64 characters of a-z, 0-9 and _";
  throw new RecordInvalid("event", [{ path: "type", message: `found ${found}, ${wanted}` }]);
}

const MAX_FOUND = 160;

function isToken(value: unknown): value is string {
  return typeof value === "string" && EVENT_TOKEN.test(value);
}

/** A problem of the reader starts with the member's name. */
function problemAt(problem: string): { path: string; message: string } {
  const colon = problem.indexOf(": ");
  return { path: problem.slice(0, colon), message: problem.slice(colon + 2) };
}

/**
 * A delivery with its whole event, as a message of the retries and parked streams and in dead letters. `data` and `actor` remain the
 * publisher's own JSON text.
 */
import type { OrderBy } from "./app.ts";
import { toRfc3339 } from "./clock.ts";
import type { Delivery, SpentAttempts } from "./delivery.ts";
import type { Event } from "./event.ts";
import { type JsonObject, jsonObject, numberIn, objectsIn, optionalStringIn, parseJsonObject, stringIn } from "./json-object.ts";
import { membersOf } from "./json-text.ts";
import type { AttemptSummary, Outcome } from "./outcome.ts";
import { epochMsOf } from "./rfc3339.ts";

export interface DeliveryMessage {
  readonly delivery: Delivery;
  /**
   * When the next attempt is due, milliseconds since the epoch. In a parked queue null, except for the head of an ordered queue that
   * was parked again during its delay.
   */
  readonly dueAt: number | null;
  /** The whole delay before dueAt. */
  readonly delayMs: number;
  /** No attempt before dueAt. */
  readonly notBefore: boolean;
  /** In an ordered queue: the delivery is a dead letter, which stops its key. */
  readonly blockedBy?: BlockedBy;
}

/** A delivery in dead letters stops its order key. */
export interface BlockedBy {
  /** Sequence of the dead letter. */
  readonly deadLetter: number;
  /** The app's `order_by` at the time; null, as the next: an earlier version did not store it. */
  readonly orderBy: OrderBy | null;
  /** Milliseconds since the epoch. */
  readonly since: number | null;
}

interface WireAttempt {
  attempt: number;
  at: string;
  outcome: Outcome;
  response_code: number;
  duration_ms: number;
  error: string | null;
}

/** Estimated characters of all members but the event's own texts and the attempts, and of one attempt with its error. */
const HEAD_SIZE = 1024;
const ATTEMPT_SIZE = 400;

/** Estimates the characters of the delivery's message without encoding it. */
export function deliveryMessageSize({ event, attempts }: Delivery): number {
  return eventSize(event) + attempts.length * ATTEMPT_SIZE;
}

export function eventSize({ dataJson, actorJson }: Event): number {
  return HEAD_SIZE + dataJson.length + (actorJson?.length ?? 0);
}

/** @param extra members written before the delivery's own, e.g. a dead letter's reason. */
export function encodeDeliveryMessage({ delivery, dueAt, delayMs, notBefore, blockedBy }: DeliveryMessage, extra: object = {}): string {
  const { event } = delivery;
  const head = JSON.stringify({
    ...extra,
    delivery_id: delivery.id,
    app: delivery.app,
    installation_uuid: delivery.installationUuid,
    app_created_at: delivery.appCreatedAt === null ? null : toRfc3339(delivery.appCreatedAt),
    attempts_made: delivery.attemptsMade,
    spent: delivery.spent,
    attempts: delivery.attempts.map(toWire),
    replay: delivery.replay,
    counted: delivery.counted,
    first_parked_at: delivery.firstParkedAt === null ? null : toRfc3339(delivery.firstParkedAt),
    due_at: dueAt === null ? null : toRfc3339(dueAt),
    delay_ms: delayMs,
    // The wire's name is that of the first version.
    floor: notBefore,
    event_sequence: delivery.eventSequence,
    stores: delivery.stores,
    ...(blockedBy === undefined ? {} : blockedByToWire(blockedBy)),
  });
  return `${head.slice(0, -1)},"event":${encodeEvent(event)}}`;
}

export function encodeEvent(event: Event): string {
  const head = JSON.stringify({
    id: event.id,
    source: event.source ?? undefined,
    resource: event.resource,
    action: event.action,
    organization_id: event.organizationId,
    installation_uuid: event.installationUuid,
    app: event.app,
    project_id: event.projectId,
    occurred_at: event.occurredAt,
    published_at: toRfc3339(event.publishedAt),
    traceparent: event.traceparent,
    tracestate: event.tracestate,
  });
  return `${head.slice(0, -1)},"data":${event.dataJson},"actor":${event.actorJson ?? "null"}}`;
}

/** @throws Error when the text is not a stream message. */
export function decodeDeliveryMessage(text: string): DeliveryMessage {
  const members = parseJsonObject("message", text);
  const wire = { path: "", members };
  const attemptsMade = numberIn(wire, "attempts_made");
  const delivery: Delivery = {
    id: stringIn(wire, "delivery_id"),
    app: stringIn(wire, "app"),
    installationUuid: stringIn(wire, "installation_uuid"),
    appCreatedAt: optionalTimeIn(wire, "app_created_at"),
    attemptsMade,
    spent: spentIn(members["spent"], attemptsMade),
    attempts: objectsIn(wire, "attempts").map(fromWire),
    replay: optionalStringIn(wire, "replay"),
    counted: members["counted"] !== false,
    firstParkedAt: optionalTimeIn(wire, "first_parked_at"),
    eventSequence: members["event_sequence"] == null ? null : numberIn(wire, "event_sequence"),
    // Messages of earlier versions have no count.
    stores: members["stores"] == null ? 1 : numberIn(wire, "stores"),
    event: eventIn(members, text),
  };
  return {
    delivery,
    dueAt: optionalTimeIn(wire, "due_at"),
    delayMs: numberIn(wire, "delay_ms"),
    notBefore: members["floor"] === true,
    ...(members["blocked_by"] == null ? {} : { blockedBy: blockedByIn(wire) }),
  };
}

/** The event of a message. @param members the message's, parsed from `text` @throws Error when it is not an event */
export function eventIn(members: Readonly<Record<string, unknown>>, text: string): Event {
  const wire = { path: "event.", members: jsonObject("event", members["event"]) };
  jsonObject("event.data", wire.members["data"]);
  const texts = membersOf(membersOf(text).get("event") ?? "{}");
  const dataJson = texts.get("data") ?? "{}";
  const actorJson = texts.get("actor") ?? "null";
  const resource = stringIn(wire, "resource");
  const action = stringIn(wire, "action");
  return {
    id: stringIn(wire, "id"),
    source: optionalStringIn(wire, "source"),
    resource,
    action,
    type: `${resource}.${action}`,
    organizationId: stringIn(wire, "organization_id"),
    installationUuid: optionalStringIn(wire, "installation_uuid"),
    app: optionalStringIn(wire, "app"),
    projectId: optionalStringIn(wire, "project_id"),
    dataJson,
    actorJson: actorJson === "null" ? null : actorJson,
    occurredAt: stringIn(wire, "occurred_at"),
    // Messages of earlier versions don't have it.
    publishedAt: optionalTimeIn(wire, "published_at") ?? timeIn(wire, "occurred_at"),
    traceparent: optionalStringIn(wire, "traceparent"),
    tracestate: optionalStringIn(wire, "tracestate"),
  };
}

function blockedByToWire({ deadLetter, orderBy, since }: BlockedBy): object {
  return { blocked_by: deadLetter, blocked_order_by: orderBy, blocked_since: since === null ? null : toRfc3339(since) };
}

function blockedByIn(wire: JsonObject): BlockedBy {
  return {
    deadLetter: numberIn(wire, "blocked_by"),
    orderBy: optionalStringIn(wire, "blocked_order_by") as OrderBy | null,
    since: optionalTimeIn(wire, "blocked_since"),
  };
}

function toWire(summary: AttemptSummary): WireAttempt {
  return {
    attempt: summary.attempt,
    at: summary.at,
    outcome: summary.outcome,
    response_code: summary.responseCode,
    duration_ms: summary.durationMs,
    error: summary.error,
  };
}

function fromWire(wire: JsonObject): AttemptSummary {
  return {
    attempt: numberIn(wire, "attempt"),
    at: stringIn(wire, "at"),
    outcome: stringIn(wire, "outcome") as Outcome,
    responseCode: numberIn(wire, "response_code"),
    durationMs: numberIn(wire, "duration_ms"),
    error: optionalStringIn(wire, "error"),
  };
}

/** Messages of earlier versions don't have it: all their attempts were failures. */
function spentIn(value: unknown, attemptsMade: number): SpentAttempts {
  if (value == null) return { failure: attemptsMade, refusal: 0, own_fault: 0 };
  const spent = { path: "spent.", members: jsonObject("spent", value) };
  return { failure: numberIn(spent, "failure"), refusal: numberIn(spent, "refusal"), own_fault: numberIn(spent, "own_fault") };
}

function timeIn(wire: JsonObject, name: string): number {
  const text = stringIn(wire, name);
  const time = epochMsOf(text);
  if (Number.isNaN(time)) throw new Error(`${wire.path}${name}: found ${JSON.stringify(text)}, wanted a time`);
  return time;
}

function optionalTimeIn(wire: JsonObject, name: string): number | null {
  return wire.members[name] == null ? null : timeIn(wire, name);
}

/**
 * The values under `delivery:{<app>}:<dedup key>` and `place:<delivery id>`, and in the hash `skipped:<delivery id>`. They detect
 * duplicates, locate a delivery and its event by id, and keep a delivery's outcome after its log row has expired. Records of first runs
 * are packed (packed-dedup-record.ts); version 0.1 wrote them here, and an event's deliveries in the hash `addressees:<event id>`.
 */
import type { AttemptRecord, DeliveredFor } from "../delivery/ports.ts";
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";
import {
  DELIVERY_STREAMS,
  type LastAttempt,
  type NotedAddressee,
  type NotedDelivery,
  type NotedSkip,
  type StreamLocation,
} from "../model/delivery-location.ts";

export interface DedupRecord extends NotedDelivery {
  readonly delivered: boolean;
  readonly last: LastAttempt | null;
}

export interface NotedLocation extends NotedDelivery {
  readonly location: StreamLocation;
  /** The id of the resend or replay that stored it; null for the first run. */
  readonly replay: string | null;
}

/** Until when duplicates are detected, and until when events and deliveries are found by their ids. */
export interface Lifetimes {
  readonly dedupTtlMs: number;
  readonly notesTtlMs: number;
}

export const DELIVERED = "delivered";

const PENDING = "pending";
/** Ends the value of a skip whose delivery waited then. */
const WAITING = "waiting";
const STATES: readonly string[] = [DELIVERED, PENDING];
const STREAMS: readonly string[] = DELIVERY_STREAMS;

export function encodeDedupRecord({ delivery, outcome, attempt, endedAt, responseCode, requestHeaders }: AttemptRecord): string {
  const state = outcome === DELIVERED ? DELIVERED : PENDING;
  return `${state} ${encodeNoted(delivery)} ${attempt} ${endedAt} ${responseCode} ${requestHeaders["traceparent"] ?? ""}`;
}

/** @returns null for any other value */
export function decodeDedupRecord(value: string): DedupRecord | null {
  const [state = "", sequence, app, uuid, attempt, endedAt, responseCode, traceparent = ""] = value.split(" ");
  const noted = decodeNoted(sequence, app, uuid);
  if (noted === null || !STATES.includes(state) || [attempt, endedAt, responseCode].some((number) => Number.isNaN(Number(number ?? 0))))
    return null;
  return {
    delivered: state === DELIVERED,
    ...noted,
    // A record of an early version ends here.
    last:
      attempt === undefined
        ? null
        : { attempt: Number(attempt), endedAt: Number(endedAt), responseCode: Number(responseCode), traceparent },
  };
}

/** The record of a run that counts: a delivered run stays delivered despite a late failure of a duplicate. */
export function newest(one: DedupRecord | null, other: DedupRecord | null): DedupRecord | null {
  if (one === null || other === null) return one ?? other;
  if (one.delivered !== other.delivered) return one.delivered ? one : other;
  return (one.last?.endedAt ?? 0) >= (other.last?.endedAt ?? 0) ? one : other;
}

export function encodeLocation(delivery: Delivery, { stream, sequence }: StreamLocation): string {
  return `${stream} ${sequence} ${encodeNoted(delivery)} ${delivery.replay ?? "-"}`;
}

/** @returns null for any other value */
export function decodeLocation(value: string): NotedLocation | null {
  const [stream = "", sequence = "", eventSequence, app, uuid, replay = "-"] = value.split(" ");
  const noted = decodeNoted(eventSequence, app, uuid);
  if (noted === null || !STREAMS.includes(stream) || !/^\d{1,16}$/.test(sequence)) return null;
  return {
    location: { stream: stream as StreamLocation["stream"], sequence: Number(sequence) },
    replay: replay === "-" ? null : replay,
    ...noted,
  };
}

/** @returns null for any other value, and for one of an early version, which lacks the delivery's event */
export function decodeAddressee(deliveryId: string, value: string): NotedAddressee | null {
  const noted = decodeNoted(...value.split(" "));
  return noted && { deliveryId, ...noted };
}

/** The value under the skipped event's sequence in the hash. */
export function encodeSkip({ eventSequence, isWaiting = false }: DeliveredFor, at: number): string {
  return `${eventSequence ?? "-"} ${at}${isWaiting ? ` ${WAITING}` : ""}`;
}

/** @returns null for any other value */
export function decodeSkip(eventSequence: string, value: string): NotedSkip | null {
  const [delivered = "", at = "", state] = value.split(" ");
  if (![eventSequence, at].every((text) => /^\d{1,16}$/.test(text)) || !/^(?:-|\d{1,16})$/.test(delivered)) return null;
  const deliveredSequence = delivered === "-" ? null : Number(delivered);
  return { eventSequence: Number(eventSequence), deliveredSequence, wasWaiting: state === WAITING, at: Number(at) };
}

/** Another message of the same event is not handed over: what became of this one's delivery is not known yet. */
export function storeKeyOf(delivery: Delivery): string {
  return `${dedupKeyOf(delivery)}:${delivery.eventSequence ?? "-"}:${delivery.event.publishedAt}`;
}

/**
 * An event without an id is identified by its sequence, which a recreated events stream assigns again: what was delivered before
 * the message was stored was another event.
 */
export function isSameEvent({ event, eventSequence }: Delivery, deliveredAt = Number.POSITIVE_INFINITY): boolean {
  return deliveredAt >= event.publishedAt || !event.id.endsWith(`:${eventSequence}`);
}

function encodeNoted({ eventSequence, app, installationUuid }: Delivery): string {
  return `${eventSequence ?? "-"} ${app} ${installationUuid}`;
}

function decodeNoted(sequence = "-", app = "", installationUuid = ""): NotedDelivery | null {
  if (!/^(?:-|\d{1,16})$/.test(sequence) || app === "" || installationUuid === "") return null;
  return { eventSequence: sequence === "-" ? null : Number(sequence), app, installationUuid };
}

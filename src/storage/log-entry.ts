/** An attempt as the request log writes it: its row, how it counts and its dedup record. */
import type { AttemptRecord } from "../delivery/ports.ts";
import { toRfc3339 } from "../model/clock.ts";
import { dedupKeyOf } from "../model/delivery.ts";
import { COUNTED_AS, type CountedAs, type Outcome } from "../model/outcome.ts";
import { isReplayId } from "../model/replay.ts";
import { DELIVERED, encodeDedupRecord } from "./dedup-record.ts";
import { logRow } from "./log-row.ts";
import { dedupFieldOf, packDedupRecord } from "./packed-dedup-record.ts";

/** How an attempt counts in its installation's health and its app's stats. */
export interface Counted {
  /** UTC day (YYYY-MM-DD) and hour (HH) in which it ended. */
  readonly day: string;
  readonly hour: string;
  /** Null: it counts in the stats, not in health. */
  readonly as: CountedAs | null;
  readonly outcome: Outcome;
  /** How long the receiver took; null if it was not reached. */
  readonly latencyMs: number | null;
  /** 0: no response. */
  readonly responseCode: number;
}

/** One attempt, ready to be written. */
export interface LogEntry {
  readonly app: string;
  /** model/app.ts; 0 if unknown. */
  readonly appCreatedAt: number;
  readonly eventType: string;
  readonly installationUuid: string;
  /** The log row, JSON text. */
  readonly row: string;
  readonly failed: boolean;
  /** Null if the attempt does not count. */
  readonly counted: Counted | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly dedupKey: string;
  /** The dedup record of a resend or replay; null for a first run. */
  readonly dedupRecord: string | null;
  /** The replay that it was delivered in; null: none, or not delivered. */
  readonly deliveredIn: string | null;
  /** The packed dedup record of the first run, or of a run that delivered: the delivery is delivered as such. */
  readonly packed: PackedRecord | null;
  /** The event's sequence in the events stream; null if it never was there. */
  readonly eventSequence: number | null;
  /** The attempt's own. */
  readonly traceparent: string;
}

export interface PackedRecord {
  readonly field: Buffer;
  readonly value: Buffer;
  /** A record that says "delivered" is not replaced. */
  readonly isKept: boolean;
}

/** Data for lookups only: an event's deliveries, a delivery's location, skipped messages. */
export interface Note {
  readonly key: string;
  /** The field of a hash; null if the key holds the value itself, HIGHEST if it holds the highest value noted, MEMBER if it is the hash of a set, a Buffer after PACKED for a root. */
  readonly field: string | Buffer | null;
  readonly value: string;
}

/** The field of a note whose number only grows. */
export const HIGHEST = "+";
/** The field of a note whose value becomes a field of the hash: a set, with the commands that Posthorn is permitted anyway. */
export const MEMBER = "&";

/** The beginning of a field that is a hash of the event id and a delivery id (event-deliveries.ts), in a packed hash. */
export const PACKED = "#";

const HOUR_MS = 3_600_000;
let lastHour = Number.NaN;
let lastText = "";

/** UTC, `YYYY-MM-DDTHH`. The last result is kept: successive attempts share their hour. */
function hourOf(epochMs: number): string {
  const hour = Math.floor(epochMs / HOUR_MS);
  if (hour !== lastHour) {
    lastText = toRfc3339(epochMs).slice(0, 13);
    lastHour = hour;
  }
  return lastText;
}

/** Outcomes of attempts that reached the receiver, whose duration counts as its latency. */
const REACHED: ReadonlySet<Outcome> = new Set(["delivered", "gone", "failed", "rejected", "timed_out"]);

export function toLogEntry(attempt: AttemptRecord, keepsDelivered = false): LogEntry {
  const { delivery, app, installation, outcome, endedAt } = attempt;
  const isDelivered = outcome === DELIVERED;
  return {
    app: app.slug,
    appCreatedAt: app.createdAt ?? 0,
    eventType: delivery.event.type,
    installationUuid: installation.uuid,
    row: logRow(attempt, keepsDelivered),
    failed: !isDelivered,
    counted: delivery.counted ? countedOf(attempt) : null,
    endedAt,
    dedupKey: dedupKeyOf(delivery),
    dedupRecord: delivery.replay === null ? null : encodeDedupRecord(attempt),
    deliveredIn: isDelivered && delivery.replay !== null && isReplayId(delivery.replay) ? delivery.replay : null,
    packed: delivery.replay === null || isDelivered ? packedOf(attempt) : null,
    eventSequence: delivery.eventSequence,
    traceparent: attempt.requestHeaders["traceparent"] ?? "",
  };
}

function packedOf({ delivery, installation, outcome, attempt, responseCode, endedAt, requestHeaders }: AttemptRecord): PackedRecord {
  const field = dedupFieldOf(delivery.id);
  const { eventSequence, replay } = delivery;
  const traceparent = requestHeaders["traceparent"] ?? "";
  const members = { attempt, responseCode, endedAt, eventSequence, installationUuid: installation.uuid, traceparent };
  return { field, value: packDedupRecord({ delivered: outcome === DELIVERED, ...members }), isKept: replay !== null };
}

function countedOf({ outcome, responseCode, endedAt, durationMs }: AttemptRecord): Counted {
  const hour = hourOf(endedAt);
  return {
    day: hour.slice(0, 10),
    hour: hour.slice(11),
    as: COUNTED_AS[outcome],
    outcome,
    latencyMs: REACHED.has(outcome) ? durationMs : null,
    responseCode,
  };
}

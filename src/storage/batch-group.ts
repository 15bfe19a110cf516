/**
 * Groups the attempts of a batch by the keys that they change.
 *
 * BATCH-1  Errors of the whole server (out of memory, read-only, loading) fail the script's first command, before anything is
 *     written. An error of a single key (one that holds another type) costs only that key's part and is reported.
 * BATCH-2  Rows and stats under a slug belong to one app. The first write of an app that reuses the slug removes those of the earlier
 *     app, and later writes for the earlier app, from any replica, are dropped.
 */
import { isOwnDoing } from "../model/outcome.ts";
import { DELIVERED } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { bucketOf } from "./latency-histogram.ts";
import type { Counted, LogEntry, PackedRecord } from "./log-entry.ts";
import { BUCKET } from "./minute-stats.ts";
import { slotAt } from "./recent-attempts.ts";

/** Attempts grouped by the keys that they change. */
export interface Group {
  readonly apps: Map<string, AppPart>;
  /** Key → counters of an installation. */
  readonly health: Map<string, Map<string, number>>;
  /** Key → dedup record. */
  readonly dedupRecords: Map<string, DedupWrite>;
  /** App → packed dedup records. */
  readonly packed: Map<string, PackedRecord[]>;
}

/** The changes under an app's slug (BATCH-2). Keys are formatted once for an app, not for an attempt. */
export interface AppPart {
  /** Milliseconds since the epoch; 0: unknown. */
  readonly createdAt: number;
  readonly byType: Map<string, TypePart>;
  /** UTC day → fields of the app's stats. */
  readonly stats: Map<string, Map<string, number>>;
  /** Quarter of an hour → fields of the app's recent attempts. */
  readonly recent: Map<number, Map<string, number>>;
  /** Milliseconds since the epoch; null: there was none. */
  lastSuccess: number | null;
}

/** The attempts of an event type. */
interface TypePart {
  readonly rows: string[];
  readonly failedRows: string[];
  usedAt: number;
}

export interface DedupWrite {
  readonly value: string;
  /** A record that says "delivered" is not replaced. */
  readonly isKept: boolean;
  /** Key of the counter to increment when the record first says "delivered"; null: none. */
  readonly counter: string | null;
}

export function createGroup(): Group {
  return { apps: new Map(), health: new Map(), dedupRecords: new Map(), packed: new Map() };
}

export function addToGroup(entry: LogEntry, ofApp: Group, ofInstallation: Group, recoveredAt: (installationUuid: string) => number): void {
  const { installationUuid, counted, endedAt } = entry;
  // The counters may have been cleared by a recovery while the attempt waited for Redis.
  if (counted?.as != null && endedAt >= recoveredAt(installationUuid))
    increment(fieldsOf(ofInstallation.health, keys.health(installationUuid, counted.day)), counted.as);
  putDedupRecord(ofApp, entry);
  const part = partOf(ofApp, entry);
  if (part === null) return;
  addRow(part, entry);
  if (counted === null) return;
  countInStats(part, counted);
  countAsRecent(part, entry, counted);
}

/** A delivered run stays delivered despite a late failure of a duplicate. */
function putDedupRecord({ dedupRecords, packed: roots }: Group, entry: LogEntry): void {
  const { app, dedupKey, dedupRecord: value, deliveredIn, packed } = entry;
  const key = value === null ? "" : keys.delivery(app, dedupKey);
  if (value !== null && !dedupRecords.get(key)?.value.startsWith(DELIVERED)) {
    const counter = deliveredIn === null ? null : keys.replayDone(app, deliveredIn);
    dedupRecords.set(key, { value, isKept: counter !== null, counter });
  }
  if (packed === null) return;
  const found = roots.get(app);
  if (found === undefined) roots.set(app, [packed]);
  else found.push(packed);
}

/** BATCH-2 within a batch: attempts of an earlier app are dropped if there are some of a later one. @returns null for an earlier app */
function partOf({ apps }: Group, { app, appCreatedAt: createdAt }: LogEntry): AppPart | null {
  const known = apps.get(app);
  if (known?.createdAt === createdAt) return known;
  if (known !== undefined && known.createdAt > createdAt) return null;
  const part: AppPart = { createdAt, byType: new Map(), stats: new Map(), recent: new Map(), lastSuccess: null };
  apps.set(app, part);
  return part;
}

function addRow({ byType }: AppPart, { eventType, row, failed, endedAt }: LogEntry): void {
  let part = byType.get(eventType);
  if (part === undefined) {
    part = { rows: [], failedRows: [], usedAt: 0 };
    byType.set(eventType, part);
  }
  part.rows.push(row);
  if (failed) part.failedRows.push(row);
  part.usedAt = endedAt;
}

/** These begin the names of fields that hold a time: one after FIRST keeps its first value, one after LAST its highest. The hash has the names without them. */
export const FIRST = "=";
export const LAST = ">";

function countInStats({ stats }: AppPart, { day, hour, outcome, latencyMs }: Counted): void {
  const fields = fieldsOf(stats, day);
  increment(fields, `${hour} ${outcome}`);
  if (latencyMs !== null) increment(fields, `${hour} ${bucketOf(latencyMs)}`);
}

function countAsRecent(part: AppPart, { failed, endedAt }: LogEntry, counted: Counted): void {
  const { quarter, minute } = slotAt(endedAt);
  const fields = fieldsOf(part.recent, quarter);
  if (counted.outcome !== DELIVERED) increment(fields, `${minute} ${counted.outcome}`);
  if (counted.latencyMs !== null) increment(fields, `${minute} ${BUCKET}${bucketOf(counted.latencyMs)}`);
  if (isOwnDoing(counted.outcome)) return;
  increment(fields, `${minute} ${failed ? counted.responseCode : DELIVERED}`);
  if (failed) {
    const first = `${FIRST}${minute} first`;
    fields.set(first, Math.min(fields.get(first) ?? endedAt, endedAt));
  } else part.lastSuccess = Math.max(part.lastSuccess ?? endedAt, endedAt);
}

function fieldsOf<Key>(counters: Map<Key, Map<string, number>>, key: Key): Map<string, number> {
  let fields = counters.get(key);
  if (fields === undefined) {
    fields = new Map();
    counters.set(key, fields);
  }
  return fields;
}

function increment(fields: Map<string, number>, field: string): void {
  fields.set(field, (fields.get(field) ?? 0) + 1);
}

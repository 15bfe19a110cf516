/**
 * Groups the attempts of a batch by the keys that they change.
 *
 * BATCH-1  Errors of the whole server (out of memory, read-only, loading) fail the script's first command, before anything is
 *     written. An error of a single key (one that holds another type) costs only that key's part and is reported.
 * BATCH-2  Rows and stats under a slug belong to one app. The first write of an app that reuses the slug removes those of the earlier
 *     app, and later writes for the earlier app, from any replica, are dropped.
 */
import { DELIVERED } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { bucketOf } from "./latency-histogram.ts";
import type { Counted, LogEntry } from "./log-entry.ts";
import { RECENT_TTL_S, slotAt } from "./recent-attempts.ts";

const HEALTH_TTL_S = 30 * 86_400;
/** 30 full days and the current one. */
export const STATS_TTL_S = 31 * 86_400;

/** Attempts grouped by the keys that they change. */
export interface Group {
  /** App → its creation, milliseconds since the epoch. */
  readonly apps: Map<string, number>;
  readonly lists: Map<string, Rows>;
  readonly counters: Map<string, Counters>;
  /** Key → dedup record. */
  readonly dedupRecords: Map<string, DedupWrite>;
  /** App → event type → its last use. */
  readonly types: Map<string, Map<string, number>>;
}

export interface DedupWrite {
  readonly value: string;
  /** A record that says "delivered" is not replaced. */
  readonly isKept: boolean;
  /** Key of the counter to increment when the record first says "delivered"; null: none. */
  readonly counter: string | null;
}

export function createGroup(): Group {
  return { apps: new Map(), lists: new Map(), counters: new Map(), dedupRecords: new Map(), types: new Map() };
}

export function addToGroup(entry: LogEntry, ofApp: Group, ofInstallation: Group, recoveredAt: (installationUuid: string) => number): void {
  const { app, appCreatedAt, eventType, failed, row, counted, endedAt } = entry;
  const isLate = isOfEarlierApp(ofApp, app, appCreatedAt);
  if (!isLate) {
    push(ofApp.lists, app, keys.requests(app, eventType), row);
    if (failed) push(ofApp.lists, app, keys.errors(app, eventType), row);
    if (counted !== null) {
      countInStats(ofApp.counters, app, counted);
      countAsRecent(ofApp.counters, entry, counted);
    }
  }
  // The counters may have been cleared by a recovery while the attempt waited for Redis.
  if (counted?.as != null && endedAt >= recoveredAt(entry.installationUuid))
    increment(fieldsOf(ofInstallation.counters, null, keys.health(entry.installationUuid, counted.day), HEALTH_TTL_S), counted.as);
  putDedupRecord(ofApp, entry);
  if (isLate) return;
  const types = ofApp.types.get(app);
  if (types === undefined) ofApp.types.set(app, new Map([[eventType, endedAt]]));
  else types.set(eventType, endedAt);
}

/** A delivered run stays delivered despite a late failure of a duplicate. */
function putDedupRecord({ dedupRecords }: Group, { app, dedupKey, dedupRecord: value, delivered }: LogEntry): void {
  const put = (key: string, write: DedupWrite): void => {
    if (!dedupRecords.get(key)?.value.startsWith(DELIVERED)) dedupRecords.set(key, write);
  };
  const counter = delivered?.replayId == null ? null : keys.replayDone(app, delivered.replayId);
  put(keys.delivery(app, dedupKey), { value, isKept: counter !== null, counter });
  if (delivered !== null) put(keys.delivery(app, delivered.deliveryId), { value, isKept: true, counter: null });
}

/** BATCH-2 within a batch: attempts of an earlier app are dropped if there are some of a later one. */
function isOfEarlierApp(group: Group, app: string, createdAt: number): boolean {
  const known = group.apps.get(app);
  if (known === createdAt) return false;
  if (known !== undefined && known > createdAt) return true;
  group.apps.set(app, createdAt);
  if (known === undefined) return false;
  for (const all of [group.lists, group.counters]) for (const [key, of] of all) if (of.app === app) all.delete(key);
  group.types.delete(app);
  return false;
}

export interface Rows {
  readonly app: string;
  readonly rows: string[];
}

function push(lists: Map<string, Rows>, app: string, key: string, row: string): void {
  const found = lists.get(key);
  if (found === undefined) lists.set(key, { app, rows: [row] });
  else found.rows.push(row);
}

/** Counters of one hash, and its time to live. */
export interface Counters {
  /** Null for an installation's counters. */
  readonly app: string | null;
  readonly ttlS: number;
  /** A field of the hash is increased, one after FIRST keeps its first value, one after LAST its highest. */
  readonly fields: Map<string, number>;
}

/** These begin the names of fields that hold a time. The hash has the names without them. */
export const FIRST = "=";
export const LAST = ">";

function countInStats(ofApp: Map<string, Counters>, app: string, { day, hour, outcome, latencyMs }: Counted): void {
  const stats = fieldsOf(ofApp, app, keys.stats(app, day), STATS_TTL_S);
  increment(stats, `${hour} ${outcome}`);
  if (latencyMs !== null) increment(stats, `${hour} ${bucketOf(latencyMs)}`);
}

function countAsRecent(ofApp: Map<string, Counters>, { app, appCreatedAt, failed, endedAt }: LogEntry, counted: Counted): void {
  if (counted.as === null) return;
  const { quarter, minute } = slotAt(endedAt);
  const recent = fieldsOf(ofApp, app, keys.recent(app, appCreatedAt, quarter), RECENT_TTL_S);
  increment(recent, `${minute} ${failed ? counted.responseCode : DELIVERED}`);
  const time = failed ? `${FIRST}${minute} first` : `${LAST}${appCreatedAt}`;
  const times = failed ? recent : fieldsOf(ofApp, app, keys.lastSuccess(app), STATS_TTL_S);
  const known = times.get(time) ?? endedAt;
  times.set(time, failed ? Math.min(known, endedAt) : Math.max(known, endedAt));
}

function fieldsOf(counters: Map<string, Counters>, app: string | null, key: string, ttlS: number): Map<string, number> {
  let found = counters.get(key);
  if (found === undefined) {
    found = { app, ttlS, fields: new Map() };
    counters.set(key, found);
  }
  return found.fields;
}

function increment(fields: Map<string, number>, field: string): void {
  fields.set(field, (fields.get(field) ?? 0) + 1);
}

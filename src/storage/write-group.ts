/**
 * What one call writes: attempts, collected by the keys that they change, and the script that writes them.
 *
 * G1  What refuses the whole server (out of memory, read-only, loading) fails the first command, before anything is
 *     written. What is wrong with one key (another type under its name) costs only that key's part and is reported.
 */
import type { CountedAs, Outcome } from "../model/outcome.ts";
import { DELIVERED, MARK_TTL_S } from "./delivery-mark.ts";
import { keys } from "./keys.ts";
import { bucketOf } from "./latency-histogram.ts";

/** How an attempt counts in its installation's health and its app's stats. */
export interface Counted {
  /** UTC day (YYYY-MM-DD) and hour (HH) in which it ended. */
  readonly day: string;
  readonly hour: string;
  readonly as: CountedAs;
  readonly outcome: Outcome;
  /** How long the receiver took; null when it was not reached. */
  readonly latencyMs: number | null;
}

/** One attempt, ready to be written. */
export interface LogEntry {
  readonly app: string;
  readonly eventType: string;
  readonly installationUuid: string;
  /** JSON text. */
  readonly row: string;
  readonly failed: boolean;
  /** Null when it does not count. */
  readonly counted: Counted | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly mark: string;
  readonly markValue: string;
  /** Of the attempt. */
  readonly traceparent: string;
}

/** What is only looked up: who an event goes to, where a delivery is. */
export interface Note {
  readonly key: string;
  /** Null: the key has the value; HIGHEST: it has the highest of them; else it is a hash. */
  readonly field: string | null;
  readonly value: string;
}

export interface WriteOptions {
  /** Rows of one list. */
  readonly size: number;
  readonly listTtlMs: number;
  /** When an installation became active again, milliseconds since the epoch, or 0: what ended before does not count any more. */
  readonly mendedAt: (installationUuid: string) => number;
}

const HEALTH_TTL_S = 30 * 86_400;
/** 30 whole days and the one that is going on. */
const STATS_TTL_S = 31 * 86_400;
const BATCH_TTL_S = 3_600;
/** Event types listed of one app. */
const MAX_EVENT_TYPES = 1_000;
/** Of an event's deliveries; nobody reads a list of a hundred thousand. */
const MAX_ADDRESSEES = 1_000;

/** Field of a note whose number only ever grows. */
export const HIGHEST = "+";

/** @see Note */
const NOTE = `
local function note(try, key, field, value, ttl)
  if field == '${HIGHEST}' then
    local before = redis.pcall('GET', key)
    if type(before) == 'string' and (tonumber(before) or 0) >= tonumber(value) then return end
    return try('SET', key, value, 'EX', ttl)
  end
  if field == '' then return try('SET', key, value, 'EX', ttl) end
  local noted = redis.pcall('HLEN', key)
  if type(noted) == 'number' and noted >= ${MAX_ADDRESSEES} then return end
  try('HSET', key, field, value)
  try('EXPIRE', key, ttl)
end
`;

/** Writes one note: KEYS key; ARGV field or empty, value, TTL in seconds. */
export const NOTE_SCRIPT = `${NOTE}
note(redis.pcall, KEYS[1], ARGV[1], ARGV[2], ARGV[3])
`;

export const SCRIPT = `${NOTE}
local batch, number = KEYS[1], ARGV[1]
local last = redis.call('GET', batch)
if last and tonumber(last) >= tonumber(number) then return {} end
redis.call('SET', batch, number, 'EX', ARGV[2])
local size, list_ttl, mark_ttl, max_types = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local lists, counters, marks, types = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local notes = tonumber(ARGV[11])
local key, arg = 1, 11
local problems = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then problems[#problems + 1] = KEYS[key] .. ': ' .. reply.err end
end
for _ = 1, lists do
  key = key + 1
  local rows = tonumber(ARGV[arg + 1])
  arg = arg + 1
  for at = 1, rows, 500 do
    try('LPUSH', KEYS[key], unpack(ARGV, arg + at, arg + math.min(at + 499, rows)))
  end
  arg = arg + rows
  try('LTRIM', KEYS[key], 0, size - 1)
  try('PEXPIRE', KEYS[key], list_ttl)
end
for _ = 1, counters do
  key = key + 1
  local ttl, fields = ARGV[arg + 1], tonumber(ARGV[arg + 2])
  arg = arg + 2
  for _ = 1, fields do
    try('HINCRBY', KEYS[key], ARGV[arg + 1], ARGV[arg + 2])
    arg = arg + 2
  end
  try('EXPIRE', KEYS[key], ttl)
end
for _ = 1, marks do
  key = key + 1
  arg = arg + 1
  local value = ARGV[arg]
  local before = string.sub(value, 1, 9) ~= '${DELIVERED}' and redis.call('GET', KEYS[key])
  if not before or string.sub(before, 1, 9) ~= '${DELIVERED}' then try('SET', KEYS[key], value, 'EX', mark_ttl) end
end
for _ = 1, types do
  key = key + 1
  try('ZADD', KEYS[key], ARGV[arg + 1], ARGV[arg + 2])
  try('ZREMRANGEBYRANK', KEYS[key], 0, -max_types - 1)
  try('PEXPIRE', KEYS[key], list_ttl)
  arg = arg + 2
end
for _ = 1, notes do
  key = key + 1
  note(try, KEYS[key], ARGV[arg + 1], ARGV[arg + 2], mark_ttl)
  arg = arg + 2
end
return problems
`;

/** Attempts by the keys that they change. */
export interface Group {
  readonly lists: Map<string, string[]>;
  readonly counters: Map<string, Counters>;
  readonly marks: Map<string, string>;
  /** App → event type → its last use. */
  readonly types: Map<string, Map<string, number>>;
}

export function createGroup(): Group {
  return { lists: new Map(), counters: new Map(), marks: new Map(), types: new Map() };
}

export function addToGroups(entry: LogEntry, ofApp: Group, ofInstallation: Group, { mendedAt }: WriteOptions): void {
  const { app, eventType, failed, row, counted, markValue, endedAt } = entry;
  push(ofApp.lists, keys.requests(app, eventType), row);
  if (failed) push(ofApp.lists, keys.errors(app, eventType), row);
  if (counted !== null) countInStats(ofApp.counters, app, counted);
  // It may have waited for Redis while somebody mended the integration and had the counters cleared.
  if (counted !== null && endedAt >= mendedAt(entry.installationUuid))
    increment(fieldsOf(ofInstallation.counters, keys.health(entry.installationUuid, counted.day), HEALTH_TTL_S), counted.as);
  // A run that was delivered stays delivered, whatever a late failure of a duplicate says.
  const mark = keys.delivery(app, entry.mark);
  if (!ofApp.marks.get(mark)?.startsWith(DELIVERED)) ofApp.marks.set(mark, markValue);
  const types = ofApp.types.get(app);
  if (types === undefined) ofApp.types.set(app, new Map([[eventType, endedAt]]));
  else types.set(eventType, endedAt);
}

/** As SCRIPT wants them after the batch's key and number. */
export function scriptCall(
  { lists, counters, marks, types }: Group,
  notes: readonly Note[],
  { size, listTtlMs }: WriteOptions,
): { scriptKeys: string[]; args: Array<string | number> } {
  const scriptKeys: string[] = [];
  const parts: Array<string | number> = [];
  let typeCount = 0;
  for (const [key, rows] of lists) {
    scriptKeys.push(key);
    // Rows that the trim would remove at once are not sent.
    const kept = rows.length > size ? rows.slice(-size) : rows;
    parts.push(kept.length, ...kept);
  }
  for (const [key, { ttlS, fields }] of counters) {
    scriptKeys.push(key);
    parts.push(ttlS, fields.size);
    for (const [field, by] of fields) parts.push(field, by);
  }
  for (const [key, value] of marks) {
    scriptKeys.push(key);
    parts.push(value);
  }
  for (const [app, typesOfApp] of types) {
    for (const [type, at] of typesOfApp) {
      typeCount++;
      scriptKeys.push(keys.eventTypes(app));
      parts.push(at, type);
    }
  }
  for (const { key, field, value } of notes) {
    scriptKeys.push(key);
    parts.push(field ?? "", value);
  }
  const sizes = [lists.size, counters.size, marks.size, typeCount, notes.length];
  return { scriptKeys, args: [BATCH_TTL_S, size, listTtlMs, MARK_TTL_S, MAX_EVENT_TYPES, ...sizes, ...parts] };
}

function push(lists: Map<string, string[]>, key: string, row: string): void {
  const rows = lists.get(key);
  if (rows === undefined) lists.set(key, [row]);
  else rows.push(row);
}

/** Counters of one hash, and how long it lives. */
interface Counters {
  readonly ttlS: number;
  readonly fields: Map<string, number>;
}

function countInStats(ofApp: Map<string, Counters>, app: string, { day, hour, outcome, latencyMs }: Counted): void {
  const stats = fieldsOf(ofApp, keys.stats(app, day), STATS_TTL_S);
  increment(stats, `${hour} ${outcome}`);
  if (latencyMs !== null) increment(stats, `${hour} ${bucketOf(latencyMs)}`);
}

function fieldsOf(counters: Map<string, Counters>, key: string, ttlS: number): Map<string, number> {
  let found = counters.get(key);
  if (found === undefined) {
    found = { ttlS, fields: new Map() };
    counters.set(key, found);
  }
  return found.fields;
}

function increment(fields: Map<string, number>, field: string): void {
  fields.set(field, (fields.get(field) ?? 0) + 1);
}

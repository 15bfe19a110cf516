/**
 * What one call writes: attempts, collected by the keys that they change, and the script that writes them.
 *
 * G1  What refuses the whole server (out of memory, read-only, loading) fails the first command, before anything is
 *     written. What is wrong with one key (another type under its name) costs only that key's part and is reported.
 * G2  Rows and stats of an app are of one app only. The first write of one that has taken the slug of an earlier one removes
 *     what that one left, and what still comes of the earlier one, from whichever replica, is not written.
 */
import type { CountedAs, Outcome } from "../model/outcome.ts";
import { DELIVERED, MARK_TTL_S } from "./dedup-record.ts";
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
  /** model/app.ts; 0 when it is not known. */
  readonly appCreatedAt: number;
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
  /** Of the event's message; null: it never was in the stream. */
  readonly eventSequence: number | null;
  /** Of the attempt. */
  readonly traceparent: string;
}

/** What is only looked up: who an event goes to, where a delivery is, what was skipped. */
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
  readonly recoveredAt: (installationUuid: string) => number;
  readonly now: () => number;
}

const HEALTH_TTL_S = 30 * 86_400;
/** 30 whole days and the one that is going on. */
const STATS_TTL_S = 31 * 86_400;
const BATCH_TTL_S = 3_600;
/** Event types listed of one app. */
const MAX_EVENT_TYPES = 1_000;
/** Fields of one note: an event's deliveries, or messages of a delivery that were skipped. */
const MAX_NOTED_FIELDS = 1_000;

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
  if type(noted) == 'number' and noted >= ${MAX_NOTED_FIELDS} then return end
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
local notes, apps = tonumber(ARGV[11]), tonumber(ARGV[12])
local days = ARGV[13]
local key, arg = 1, 13
local problems = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then problems[#problems + 1] = KEYS[key] .. ': ' .. reply.err end
end
local is_late = {}
for at = 1, apps do
  key = key + 1
  local app, created = ARGV[arg + 1], ARGV[arg + 2]
  arg = arg + 2
  local known = redis.pcall('GET', KEYS[key])
  if type(known) ~= 'string' then
    if created ~= '0' then try('SET', KEYS[key], created) end
  elseif tonumber(known) < tonumber(created) then
    local tag = '{' .. app .. '}'
    local prefix = string.sub(KEYS[key], 1, -1 - #('app-created:' .. tag))
    local types = prefix .. 'event-types:' .. tag
    local found = redis.pcall('ZRANGE', types, 0, -1)
    for _, type_name in ipairs(found.err and {} or found) do
      try('DEL', prefix .. 'request:' .. tag .. ':' .. type_name, prefix .. 'error:' .. tag .. ':' .. type_name)
    end
    for day in string.gmatch(days, '[^,]+') do try('DEL', prefix .. 'stats:' .. tag .. ':' .. day) end
    try('DEL', types)
    try('SET', KEYS[key], created)
  else
    is_late[at] = tonumber(known) > tonumber(created)
  end
end
for _ = 1, lists do
  key = key + 1
  local app, rows = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  arg = arg + 2
  if not is_late[app] then
    for at = 1, rows, 500 do
      try('LPUSH', KEYS[key], unpack(ARGV, arg + at, arg + math.min(at + 499, rows)))
    end
    try('LTRIM', KEYS[key], 0, size - 1)
    try('PEXPIRE', KEYS[key], list_ttl)
  end
  arg = arg + rows
end
for _ = 1, counters do
  key = key + 1
  local app, ttl, fields = tonumber(ARGV[arg + 1]), ARGV[arg + 2], tonumber(ARGV[arg + 3])
  arg = arg + 3
  if not is_late[app] then
    for at = 1, fields do
      try('HINCRBY', KEYS[key], ARGV[arg + at * 2 - 1], ARGV[arg + at * 2])
    end
    try('EXPIRE', KEYS[key], ttl)
  end
  arg = arg + fields * 2
end
for _ = 1, marks do
  key = key + 1
  arg = arg + 1
  local value = ARGV[arg]
  local before = string.sub(value, 1, 9) ~= '${DELIVERED}' and redis.pcall('GET', KEYS[key])
  if type(before) ~= 'string' or string.sub(before, 1, 9) ~= '${DELIVERED}' then try('SET', KEYS[key], value, 'EX', mark_ttl) end
end
for _ = 1, types do
  key = key + 1
  if not is_late[tonumber(ARGV[arg + 1])] then
    try('ZADD', KEYS[key], ARGV[arg + 2], ARGV[arg + 3])
    try('ZREMRANGEBYRANK', KEYS[key], 0, -max_types - 1)
    try('PEXPIRE', KEYS[key], list_ttl)
  end
  arg = arg + 3
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
  /** App → when it was made. */
  readonly apps: Map<string, number>;
  readonly lists: Map<string, Rows>;
  readonly counters: Map<string, Counters>;
  readonly marks: Map<string, string>;
  /** App → event type → its last use. */
  readonly types: Map<string, Map<string, number>>;
}

export function createGroup(): Group {
  return { apps: new Map(), lists: new Map(), counters: new Map(), marks: new Map(), types: new Map() };
}

export function addToGroups(entry: LogEntry, ofApp: Group, ofInstallation: Group, { recoveredAt }: WriteOptions): void {
  const { app, appCreatedAt, eventType, failed, row, counted, markValue, endedAt } = entry;
  const isLate = isOfEarlierApp(ofApp, app, appCreatedAt);
  if (!isLate) {
    push(ofApp.lists, app, keys.requests(app, eventType), row);
    if (failed) push(ofApp.lists, app, keys.errors(app, eventType), row);
    if (counted !== null) countInStats(ofApp.counters, app, counted);
  }
  // It may have waited for Redis while somebody recovered the integration and had the counters cleared.
  if (counted !== null && endedAt >= recoveredAt(entry.installationUuid))
    increment(fieldsOf(ofInstallation.counters, null, keys.health(entry.installationUuid, counted.day), HEALTH_TTL_S), counted.as);
  // A run that was delivered stays delivered, whatever a late failure of a duplicate says.
  const mark = keys.delivery(app, entry.mark);
  if (!ofApp.marks.get(mark)?.startsWith(DELIVERED)) ofApp.marks.set(mark, markValue);
  if (isLate) return;
  const types = ofApp.types.get(app);
  if (types === undefined) ofApp.types.set(app, new Map([[eventType, endedAt]]));
  else types.set(eventType, endedAt);
}

/** G2: what a batch has of an app goes when there is something of a later one in it. */
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

/** As SCRIPT wants them after the batch's key and number. */
export function scriptCall(
  { apps, lists, counters, marks, types }: Group,
  notes: readonly Note[],
  { size, listTtlMs, now }: WriteOptions,
): { scriptKeys: string[]; args: Array<string | number> } {
  const scriptKeys: string[] = [];
  const parts: Array<string | number> = [];
  const numbers = new Map<string | null, number>();
  for (const [app, createdAt] of apps) {
    numbers.set(app, numbers.size + 1);
    scriptKeys.push(keys.appCreated(app));
    parts.push(app, createdAt);
  }
  const numberOf = (app: string | null): number => numbers.get(app) ?? 0;
  let typeCount = 0;
  for (const [key, { app, rows }] of lists) {
    scriptKeys.push(key);
    // Rows that the trim would remove at once are not sent.
    const kept = rows.length > size ? rows.slice(-size) : rows;
    parts.push(numberOf(app), kept.length, ...kept);
  }
  for (const [key, { app, ttlS, fields }] of counters) {
    scriptKeys.push(key);
    parts.push(numberOf(app), ttlS, fields.size);
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
      parts.push(numberOf(app), at, type);
    }
  }
  for (const { key, field, value } of notes) {
    scriptKeys.push(key);
    parts.push(field ?? "", value);
  }
  const sizes = [lists.size, counters.size, marks.size, typeCount, notes.length, apps.size, statsDays(now())];
  return { scriptKeys, args: [BATCH_TTL_S, size, listTtlMs, MARK_TTL_S, MAX_EVENT_TYPES, ...sizes, ...parts] };
}

const DAY_MS = 86_400_000;
let daysUpTo = Number.NaN;
let days = "";

/** The UTC days that there can be stats of, separated by commas; tomorrow with them, for clocks that are ahead. */
function statsDays(now: number): string {
  const today = Math.floor(now / DAY_MS);
  if (today === daysUpTo) return days;
  daysUpTo = today;
  days = Array.from({ length: STATS_TTL_S / 86_400 + 3 }, (_, at) => new Date((today + 1 - at) * DAY_MS).toISOString().slice(0, 10)).join();
  return days;
}

interface Rows {
  readonly app: string;
  readonly rows: string[];
}

function push(lists: Map<string, Rows>, app: string, key: string, row: string): void {
  const found = lists.get(key);
  if (found === undefined) lists.set(key, { app, rows: [row] });
  else found.rows.push(row);
}

/** Counters of one hash, and how long it lives. */
interface Counters {
  /** Null: they are no app's. */
  readonly app: string | null;
  readonly ttlS: number;
  readonly fields: Map<string, number>;
}

function countInStats(ofApp: Map<string, Counters>, app: string, { day, hour, outcome, latencyMs }: Counted): void {
  const stats = fieldsOf(ofApp, app, keys.stats(app, day), STATS_TTL_S);
  increment(stats, `${hour} ${outcome}`);
  if (latencyMs !== null) increment(stats, `${hour} ${bucketOf(latencyMs)}`);
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

/** The Lua scripts that write a batch (BATCH-1, BATCH-2) and a single note, and their arguments. */
import { FIRST, type Group, LAST } from "./batch-group.ts";
import { DELIVERED, type Lifetimes } from "./dedup-record.ts";
import { EVENT_PATH } from "./event-deliveries.ts";
import { keys } from "./keys.ts";
import { HIGHEST, MEMBER, type Note, PACKED } from "./log-entry.ts";
import { packTexts } from "./pack-texts.ts";
import { DELIVERED_BYTE } from "./packed-dedup-record.ts";
import { LONGEST_PATH, PUT_PACKED, periodAt, rootTtlS } from "./packed-hash.ts";
import { RECENT_TTL_S } from "./recent-attempts.ts";

export interface WriteOptions extends Lifetimes {
  /** Rows per list. */
  readonly size: number;
  readonly listTtlMs: number;
  /** When the installation recovered, milliseconds since the epoch, or 0: earlier attempts no longer count. */
  readonly recoveredAt: (installationUuid: string) => number;
  readonly now: () => number;
}

const BATCH_TTL_S = 3_600;
const HEALTH_TTL_S = 30 * 86_400;
/** 30 full days and the current one. */
const STATS_TTL_S = 31 * 86_400;
/** Counts of a replay; longer than a replay that is paused for the whole reach of the events stream. */
const REPLAY_TTL_S = 30 * 86_400;
/** Event types listed per app. */
const MAX_EVENT_TYPES = 1_000;
/** Fields of one noted hash: an event's deliveries, or a delivery's skipped messages. */
const MAX_NOTED_FIELDS = 1_000;

const NOTE = `${PUT_PACKED}
local function note(try, key, field, value, ttl, root_ttl)
  if string.sub(field, 1, 1) == '${PACKED}' then
    local name = string.sub(field, 2)
    return put_packed(try, key, name, name, value, root_ttl, ${EVENT_PATH})
  end
  if field == '${HIGHEST}' then
    local before = redis.pcall('GET', key)
    if type(before) == 'string' and (tonumber(before) or 0) >= tonumber(value) then return end
    return try('SET', key, value, 'EX', ttl)
  end
  if field == '${MEMBER}' then
    try('HSET', key, value, 1)
    return try('EXPIRE', key, ${REPLAY_TTL_S})
  end
  if field == '' then return try('SET', key, value, 'EX', ttl) end
  local noted = redis.pcall('HLEN', key)
  if type(noted) == 'number' and noted >= ${MAX_NOTED_FIELDS} then return end
  try('HSET', key, field, value)
  try('EXPIRE', key, ttl)
end
`;

/** Writes one note: KEYS key; ARGV field or empty, value, TTL of its key and of a root in seconds. */
export const NOTE_SCRIPT = `${NOTE}
note(redis.pcall, KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
`;

export const SCRIPT = `${NOTE}
local args = cmsgpack.unpack(ARGV[1])
local batch, number = KEYS[1], args[1]
local last = redis.call('GET', batch)
if last and tonumber(last) >= tonumber(number) then return {} end
redis.call('SET', batch, number, 'EX', args[2])
local size, list_ttl, dedup_ttl, max_types = args[3], args[4], args[5], args[6]
local lists, counters, dedup_records, types = tonumber(args[7]), tonumber(args[8]), tonumber(args[9]), tonumber(args[10])
local notes, apps = tonumber(args[11]), tonumber(args[12])
local days, packed, root_ttl, notes_ttl, notes_root_ttl = args[13], tonumber(args[14]), args[15], args[16], args[17]
local marker_ttl = args[18]
local key, arg = 1, 18
local problems = {}
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then problems[#problems + 1] = KEYS[key] .. ': ' .. reply.err end
  return reply
end
-- Whether the field is new, or a time that has changed: the hash's time to live counts from then.
local function count(field, value)
  local kind, name = string.sub(field, 1, 1), string.sub(field, 2)
  if kind == '${FIRST}' then return try('HSETNX', KEYS[key], name, value) == 1 end
  if kind ~= '${LAST}' then return try('HINCRBY', KEYS[key], field, value) == tonumber(value) end
  local before = redis.pcall('HGET', KEYS[key], name)
  if type(before) == 'string' and (tonumber(before) or 0) >= tonumber(value) then return false end
  try('HSET', KEYS[key], name, value)
  return true
end
local is_late = {}
for at = 1, apps do
  key = key + 1
  local app, created = args[arg + 1], args[arg + 2]
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
  if not is_late[at] then try('PEXPIRE', KEYS[key], marker_ttl) end
end
for _ = 1, lists do
  key = key + 1
  local app, rows = tonumber(args[arg + 1]), tonumber(args[arg + 2])
  arg = arg + 2
  if not is_late[app] then
    for at = 1, rows, 500 do
      try('LPUSH', KEYS[key], unpack(args, arg + at, arg + math.min(at + 499, rows)))
    end
    try('LTRIM', KEYS[key], 0, size - 1)
    try('PEXPIRE', KEYS[key], list_ttl)
  end
  arg = arg + rows
end
for _ = 1, counters do
  key = key + 1
  local app, ttl, fields = tonumber(args[arg + 1]), args[arg + 2], tonumber(args[arg + 3])
  arg = arg + 3
  if not is_late[app] then
    local is_new = false
    for at = 1, fields do
      is_new = count(args[arg + at * 2 - 1], args[arg + at * 2]) or is_new
    end
    if is_new then try('EXPIRE', KEYS[key], ttl) end
  end
  arg = arg + fields * 2
end
for _ = 1, dedup_records do
  key = key + 1
  local value, is_kept, counter_ttl = args[arg + 1], args[arg + 2], args[arg + 3]
  arg = arg + 3
  local before = (is_kept == '1' or string.sub(value, 1, 9) ~= '${DELIVERED}') and redis.pcall('GET', KEYS[key])
  local is_new = type(before) ~= 'string' or string.sub(before, 1, 9) ~= '${DELIVERED}'
  if is_new then try('SET', KEYS[key], value, 'EX', dedup_ttl) end
  if counter_ttl ~= '' then
    key = key + 1
    if is_new then
      try('HINCRBY', KEYS[key], 'done', 1)
      try('EXPIRE', KEYS[key], counter_ttl)
    end
  end
end
local function is_delivered(value)
  return value and string.sub(value, 1, 1) == '${DELIVERED_BYTE}'
end
for _ = 1, packed do
  key = key + 1
  local records = tonumber(args[arg + 1])
  arg = arg + 1
  for _ = 1, records do
    local field, value, is_kept = args[arg + 1], args[arg + 2], args[arg + 3] == '1'
    arg = arg + 3
    local keeps = (is_kept or not is_delivered(value)) and is_delivered or nil
    put_packed(try, KEYS[key], field, field, value, root_ttl, ${LONGEST_PATH}, keeps)
  end
end
for _ = 1, types do
  key = key + 1
  if not is_late[tonumber(args[arg + 1])] then
    try('ZADD', KEYS[key], args[arg + 2], args[arg + 3])
    try('ZREMRANGEBYRANK', KEYS[key], 0, -max_types - 1)
    try('PEXPIRE', KEYS[key], list_ttl)
  end
  arg = arg + 3
end
for _ = 1, notes do
  key = key + 1
  local field = args[arg + 1]
  note(try, KEYS[key], field, args[arg + 2], field == '${HIGHEST}' and dedup_ttl or notes_ttl, notes_root_ttl)
  arg = arg + 2
end
return problems
`;

/** @returns KEYS of SCRIPT after the batch's key, and its one argument */
export function scriptCall(
  number: number,
  { apps, health, dedupRecords, packed: roots }: Group,
  notes: readonly Note[],
  { size, listTtlMs, dedupTtlMs, notesTtlMs, now }: WriteOptions,
): { scriptKeys: string[]; packed: Buffer } {
  const scriptKeys: string[] = [];
  const parts: Parts = [];
  for (const [app, { createdAt }] of apps) {
    scriptKeys.push(keys.appCreated(app));
    parts.push(app, createdAt);
  }
  const lists = pushLists(apps, size, scriptKeys, parts);
  const counters = pushCounters(apps, health, scriptKeys, parts);
  for (const [key, { value, isKept, counter }] of dedupRecords) {
    scriptKeys.push(key);
    if (counter !== null) scriptKeys.push(counter);
    parts.push(value, isKept ? 1 : 0, counter === null ? "" : REPLAY_TTL_S);
  }
  for (const [app, records] of roots) {
    scriptKeys.push(keys.dedup(app, periodAt(now())));
    parts.push(records.length);
    for (const { field, value, isKept } of records) parts.push(field, value, isKept ? 1 : 0);
  }
  const types = pushTypes(apps, scriptKeys, parts);
  for (const { key, field, value } of notes) {
    scriptKeys.push(key);
    parts.push(field ?? "", value);
  }
  const sizes = [lists, counters, dedupRecords.size, types, notes.length, apps.size, statsDays(now())];
  // The marker of the app's creation outlasts what it is about.
  const markerTtlMs = Math.max(listTtlMs, STATS_TTL_S * 1_000);
  const lifetimes = [rootTtlS(dedupTtlMs), secondsOf(notesTtlMs), rootTtlS(notesTtlMs), markerTtlMs];
  const head: Parts = [number, BATCH_TTL_S, size, listTtlMs, secondsOf(dedupTtlMs), MAX_EVENT_TYPES, ...sizes, roots.size, ...lifetimes];
  return { scriptKeys, packed: packTexts(head.concat(parts)) };
}

type Parts = Array<string | number | Buffer>;

/** @returns the number of lists */
function pushLists(apps: Group["apps"], size: number, scriptKeys: string[], parts: Parts): number {
  const before = scriptKeys.length;
  let number = 0;
  const push = (key: string, rows: readonly string[]): void => {
    scriptKeys.push(key);
    // Rows that the trim would remove are not sent.
    const kept = rows.length > size ? rows.slice(-size) : rows;
    parts.push(number, kept.length);
    for (const row of kept) parts.push(row);
  };
  for (const [app, { byType }] of apps) {
    number++;
    for (const [type, { rows, failedRows }] of byType) {
      push(keys.requests(app, type), rows);
      if (failedRows.length > 0) push(keys.errors(app, type), failedRows);
    }
  }
  return scriptKeys.length - before;
}

/** @returns the number of hashes */
function pushCounters(apps: Group["apps"], health: Group["health"], scriptKeys: string[], parts: Parts): number {
  const before = scriptKeys.length;
  const push = (number: number, key: string, ttlS: number, fields: ReadonlyMap<string, number>): void => {
    scriptKeys.push(key);
    parts.push(number, ttlS, fields.size);
    for (const [field, by] of fields) parts.push(field, by);
  };
  let number = 0;
  for (const [app, { createdAt, stats, recent, lastSuccess }] of apps) {
    number++;
    for (const [day, fields] of stats) push(number, keys.stats(app, day), STATS_TTL_S, fields);
    for (const [quarter, fields] of recent) push(number, keys.recent(app, createdAt, quarter), RECENT_TTL_S, fields);
    if (lastSuccess === null) continue;
    scriptKeys.push(keys.lastSuccess(app));
    parts.push(number, STATS_TTL_S, 1, `${LAST}${createdAt}`, lastSuccess);
  }
  // Number 0: of no app.
  for (const [key, fields] of health) push(0, key, HEALTH_TTL_S, fields);
  return scriptKeys.length - before;
}

/** @returns the number of event types */
function pushTypes(apps: Group["apps"], scriptKeys: string[], parts: Parts): number {
  const before = scriptKeys.length;
  let number = 0;
  for (const [app, { byType }] of apps) {
    number++;
    for (const [type, { usedAt }] of byType) {
      scriptKeys.push(keys.eventTypes(app));
      parts.push(number, usedAt, type);
    }
  }
  return scriptKeys.length - before;
}

export function secondsOf(ms: number): number {
  return Math.ceil(ms / 1_000);
}

const DAY_MS = 86_400_000;
let daysUpTo = Number.NaN;
let days = "";

/** All UTC days that may have stats, separated by commas; including tomorrow, for clocks that are ahead. */
function statsDays(now: number): string {
  const today = Math.floor(now / DAY_MS);
  if (today === daysUpTo) return days;
  daysUpTo = today;
  days = Array.from({ length: STATS_TTL_S / 86_400 + 3 }, (_, at) => new Date((today + 1 - at) * DAY_MS).toISOString().slice(0, 10)).join();
  return days;
}

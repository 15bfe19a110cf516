/**
 * Writes a batch of attempts in one call: log rows, health counters, delivery marks and notes together, so that a mark is
 * never there without its row nor the other way round.
 *
 * W1  A batch has a number, and the script remembers the last one of each writer: a batch that is sent again because its
 *     answer was lost is written once.
 * W2  What refuses the whole server (out of memory, read-only, loading) fails the first command, before anything is
 *     written. What is wrong with one key (another type under its name) costs only that key's part and is reported.
 */
import type { Redis } from "ioredis";
import type { CountedAs } from "../model/outcome.ts";
import { DELIVERED, MARK_TTL_S } from "./delivery-mark.ts";
import { keys } from "./keys.ts";

/** One attempt, ready to be written. */
export interface LogEntry {
  readonly app: string;
  readonly eventType: string;
  readonly installationUuid: string;
  /** JSON text. */
  readonly row: string;
  readonly failed: boolean;
  /** UTC day and counter; null when it does not count. */
  readonly counted: { readonly day: string; readonly as: CountedAs } | null;
  /** Milliseconds since the epoch. */
  readonly endedAt: number;
  readonly mark: string;
  readonly markValue: string;
  /** Of the attempt. */
  readonly traceparent: string;
}

export interface WriteOptions {
  /** Rows of one list. */
  readonly size: number;
  readonly listTtlMs: number;
}

const HEALTH_TTL_S = 30 * 86_400;
const BATCH_TTL_S = 3_600;
/** Event types listed of one app. */
const MAX_EVENT_TYPES = 1_000;

const SCRIPT = `
local batch, number = KEYS[1], ARGV[1]
if redis.call('GET', batch) == number then return {} end
redis.call('SET', batch, number, 'EX', ARGV[2])
local size, list_ttl, health_ttl, mark_ttl, max_types = ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local lists, days, marks, types = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local notes = tonumber(ARGV[12])
local key, arg = 1, 12
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
for _ = 1, days do
  key = key + 1
  try('HINCRBY', KEYS[key], ARGV[arg + 1], ARGV[arg + 2])
  try('EXPIRE', KEYS[key], health_ttl)
  arg = arg + 2
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
  arg = arg + 1
  try('SET', KEYS[key], ARGV[arg], 'EX', mark_ttl)
end
return problems
`;

export interface Batch {
  readonly entries: readonly LogEntry[];
  /** Key → value of what is only looked up: where events and deliveries are. */
  readonly notes: ReadonlyMap<string, string>;
}

/** @returns what was wrong with single keys. */
export type WriteBatch = (writer: string, number: number, batch: Batch) => Promise<string[]>;

type ScriptedRedis = Redis & { writeBatch(keyCount: number, ...keysAndArguments: Array<string | number>): Promise<string[]> };

export function createWriteBatch(redis: Redis, { size, listTtlMs }: WriteOptions): WriteBatch {
  redis.defineCommand("writeBatch", { lua: SCRIPT });

  return (writer, number, { entries, notes }) => {
    const lists = new Map<string, string[]>();
    const days = new Map<string, Map<CountedAs, number>>();
    const marks = new Map<string, string>();
    const types = new Map<string, Map<string, number>>();

    for (const entry of entries) {
      push(lists, keys.requests(entry.app, entry.eventType), entry.row);
      if (entry.failed) push(lists, keys.errors(entry.app, entry.eventType), entry.row);
      if (entry.counted !== null) increment(days, keys.health(entry.installationUuid, entry.counted.day), entry.counted.as);
      // A run that was delivered stays delivered, whatever a late failure of a duplicate says.
      if (!marks.get(entry.mark)?.startsWith(DELIVERED)) marks.set(entry.mark, entry.markValue);
      const typesOfApp = types.get(entry.app);
      if (typesOfApp === undefined) types.set(entry.app, new Map([[entry.eventType, entry.endedAt]]));
      else typesOfApp.set(entry.eventType, entry.endedAt);
    }

    const scriptKeys = [keys.batch(writer)];
    const parts: Array<string | number> = [];
    let dayCount = 0;
    let typeCount = 0;
    for (const [key, rows] of lists) {
      scriptKeys.push(key);
      // Rows that the trim would remove at once are not sent.
      const kept = rows.length > size ? rows.slice(-size) : rows;
      parts.push(kept.length, ...kept);
    }
    for (const [key, counters] of days) {
      for (const [counter, by] of counters) {
        dayCount++;
        scriptKeys.push(key);
        parts.push(counter, by);
      }
    }
    for (const [mark, value] of marks) {
      scriptKeys.push(keys.delivery(mark));
      parts.push(value);
    }
    for (const [app, typesOfApp] of types) {
      for (const [type, at] of typesOfApp) {
        typeCount++;
        scriptKeys.push(keys.eventTypes(app));
        parts.push(at, type);
      }
    }
    for (const [key, value] of notes) {
      scriptKeys.push(key);
      parts.push(value);
    }
    const head = [
      number,
      BATCH_TTL_S,
      size,
      listTtlMs,
      HEALTH_TTL_S,
      MARK_TTL_S,
      MAX_EVENT_TYPES,
      lists.size,
      dayCount,
      marks.size,
      typeCount,
      notes.size,
    ];
    return (redis as ScriptedRedis).writeBatch(scriptKeys.length, ...scriptKeys, ...head, ...parts);
  };
}

function push(lists: Map<string, string[]>, key: string, row: string): void {
  const rows = lists.get(key);
  if (rows === undefined) lists.set(key, [row]);
  else rows.push(row);
}

function increment(days: Map<string, Map<CountedAs, number>>, key: string, counter: CountedAs): void {
  let counters = days.get(key);
  if (counters === undefined) {
    counters = new Map();
    days.set(key, counters);
  }
  counters.set(counter, (counters.get(counter) ?? 0) + 1);
}

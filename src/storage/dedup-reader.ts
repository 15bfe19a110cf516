/**
 * Reads dedup records: of first runs packed ones (packed-dedup-record.ts), and the strings that version 0.1 wrote; of resends and replays
 * strings.
 */
import { type DedupRecord, decodeDedupRecord, type Lifetimes, newest } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { DELIVERED_BYTE, dedupFieldOf, unpackDedupRecord } from "./packed-dedup-record.ts";
import { LONGEST_PATH, NODE_AT, periodsOf } from "./packed-hash.ts";
import type { RedisClient } from "./redis.ts";
import { unlessWrongType } from "./redis-reading.ts";

export interface SoughtRecord {
  readonly app: string;
  readonly deliveryId: string;
  /** Id of a resend or replay; null for the first run. */
  readonly replay: string | null;
}

/** Rejects if Redis does not answer. @returns one for each, in order */
export type ReadDedupRecords = (sought: readonly SoughtRecord[]) => Promise<Array<DedupRecord | null>>;

/** KEYS roots without their period; ARGV periods, oldest first, and each record's field. The first entry that says "delivered", else the last. */
const SCRIPT = `${NODE_AT}
local found = {}
for at = 1, #KEYS do
  local field = ARGV[at + 1]
  local best = false
  for period in string.gmatch(ARGV[1], '%d+') do
    for depth = 0, ${LONGEST_PATH} do
      local key = node_at(KEYS[at] .. period, field, depth)
      local value = redis.pcall('HMGET', key, field)[1]
      if value and (not best or string.sub(best, 1, 1) ~= '${DELIVERED_BYTE}') then best = value end
      if not is_full(key) then break end
    end
  end
  found[at] = best
end
return found
`;

/** Records of one call: Redis does nothing else meanwhile. */
const MAX_AT_ONCE = 200;

type Scripted = RedisClient & {
  findDedupBuffer(keyCount: number, ...keysAndArguments: Array<string | Buffer>): Promise<Array<Buffer | null>>;
};

export function createDedupReader(redis: RedisClient, { dedupTtlMs }: Pick<Lifetimes, "dedupTtlMs">, now: () => number): ReadDedupRecords {
  redis.defineCommand("findDedup", { lua: SCRIPT });
  const { findDedupBuffer } = redis as Scripted;

  const packedOf = async (sought: readonly SoughtRecord[], found: Map<SoughtRecord, DedupRecord | null>): Promise<void> => {
    const fields = sought.filter(({ replay }) => replay === null).map((one) => ({ one, field: dedupFieldOf(one.deliveryId) }));
    const periods = periodsOf(dedupTtlMs, now()).join(" ");
    for (const group of groupsOf(fields, ({ one }) => one.app, redis.isCluster)) {
      const roots = group.map(({ one }) => keys.dedup(one.app, ""));
      const values = await findDedupBuffer.call(redis, roots.length, ...roots, periods, ...group.map(({ field }) => field));
      for (const [at, { one }] of group.entries()) {
        const value = values[at];
        if (value != null) found.set(one, unpackDedupRecord(value, one.app));
      }
    }
  };

  const stringsOf = async (sought: readonly SoughtRecord[], found: Map<SoughtRecord, DedupRecord | null>): Promise<void> => {
    const keyOf = ({ app, deliveryId, replay }: SoughtRecord): string =>
      keys.delivery(app, replay === null ? deliveryId : `${deliveryId}:${replay}`);
    for (const group of groupsOf(sought, ({ app }) => app, redis.isCluster)) {
      const values = await unlessWrongType(redis.mget(...group.map(keyOf)), []);
      for (const [at, one] of group.entries()) {
        const value = values[at];
        if (value != null) found.set(one, newest(found.get(one) ?? null, decodeDedupRecord(value)));
      }
    }
  };

  return async (sought) => {
    const found = new Map<SoughtRecord, DedupRecord | null>();
    await packedOf(sought, found);
    await stringsOf(sought, found);
    return sought.map((one) => found.get(one) ?? null);
  };
}

/** Keys of one call have one tag on a cluster. */
function groupsOf<T>(all: readonly T[], appOf: (one: T) => string, isCluster: boolean): T[][] {
  const byApp = isCluster ? [...Map.groupBy(all, appOf).values()] : [[...all]];
  return byApp.flatMap((ofApp) =>
    Array.from({ length: Math.ceil(ofApp.length / MAX_AT_ONCE) }, (_, at) => ofApp.slice(at * MAX_AT_ONCE, (at + 1) * MAX_AT_ONCE)),
  );
}

/**
 * The newest rows of the request logs of all apps. There may be far more lists than a call can read: those used last are read first,
 * until the caller has enough.
 */
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { type LogRow, readLogRow } from "./log-row.ts";
import type { RedisClient } from "./redis.ts";
import { type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

/** A row does not name its app. */
export interface AppRow {
  readonly app: string;
  readonly row: LogRow;
}

export interface RecentRows {
  readonly rows: readonly AppRow[];
  /** All rows that began after this time have been read, milliseconds since the epoch; null: all rows. */
  readonly doneTo: number | null;
  /** Milliseconds since the epoch: rows before this time may have been pushed out of their list. Null: none were. */
  readonly reachesBackTo: number | null;
  /** Lists that were left out because there are too many. */
  readonly leftOut: number;
}

/** @param isEnough whether the rows that began after the time suffice. @throws AppError REDIS_UNREACHABLE */
export type ReadRecentRows = (isEnough: (rows: readonly AppRow[], after: number) => boolean) => Promise<RecentRows>;

export interface RecentRowsDependencies {
  readonly redis: RedisClient;
  readonly apps: () => Iterable<{ readonly slug: string }>;
  readonly appCreatedAt: AppCreatedAt;
  /** Rows that a list holds at most (POSTHORN_REQUEST_LOG_SIZE). */
  readonly listSize: number;
  readonly problem: RedisProblem;
}

/** Lists read at once, and rows and lists per call. */
const BATCH = 20;
const MAX_ROWS = 40_000;
const MAX_LISTS = 400;

interface List {
  readonly app: string;
  readonly type: string;
  /** When its last attempt ended: all its rows began before. */
  readonly lastUsed: number;
}

export function createReadRecentRows({ redis, apps, appCreatedAt, listSize, problem }: RecentRowsDependencies): ReadRecentRows {
  const ask = <T>(what: () => Promise<T>): Promise<T> => reading("the request log", problem, what);

  const listsOf = async (app: string): Promise<List[]> => {
    const found = await ask(() => unlessWrongType(redis.zrange(keys.eventTypes(app), "0", "-1", "WITHSCORES"), []));
    const lists: List[] = [];
    for (let at = 0; at + 1 < found.length; at += 2) lists.push({ app, type: found[at] ?? "", lastUsed: Number(found[at + 1]) });
    return lists;
  };

  const rowsOf = async ({ app, type }: List): Promise<{ rows: AppRow[]; reachesBackTo: number | null }> => {
    const [since, all, errors] = await Promise.all([
      ask(() => belongsSince(redis, app, appCreatedAt(app))),
      ask(() => unlessWrongType(redis.lrange(keys.requests(app, type), 0, -1), [])),
      ask(() => unlessWrongType(redis.lrange(keys.errors(app, type), 0, -1), [])),
    ]);
    const read = [...new Set([...all, ...errors])].flatMap((text) => readLogRow(text) ?? []);
    const rows = read.filter(({ date }) => epochMsOf(date) >= since).map((row) => ({ app, row }));
    const oldest = all.length < listSize ? null : readLogRow(all.at(-1) ?? "");
    return { rows, reachesBackTo: oldest && epochMsOf(oldest.date) };
  };

  return async (isEnough) => {
    const lists = (await Promise.all([...apps()].map(({ slug }) => listsOf(slug)))).flat().sort((a, b) => b.lastUsed - a.lastUsed);
    const rows: AppRow[] = [];
    let reachesBackTo: number | null = null;
    for (let at = 0; at < lists.length; at += BATCH) {
      const next = lists[at]?.lastUsed ?? 0;
      if (at > 0 && isEnough(rows, next)) return { rows, doneTo: next, reachesBackTo, leftOut: 0 };
      if (rows.length >= MAX_ROWS || at >= MAX_LISTS) return { rows, doneTo: null, reachesBackTo, leftOut: lists.length - at };
      for (const found of await Promise.all(lists.slice(at, at + BATCH).map(rowsOf))) {
        rows.push(...found.rows);
        if (found.reachesBackTo !== null) reachesBackTo = Math.max(reachesBackTo ?? 0, found.reachesBackTo);
      }
    }
    return { rows, doneTo: null, reachesBackTo, leftOut: 0 };
  };
}

/** Reads the request log back, for "why didn't my webhook arrive?". */
import { AppError } from "../model/app-error.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { type LogRow, readLogRow } from "./log-row.ts";
import { fullKey, type RedisClient } from "./redis.ts";
import { type RedisProblem, reading } from "./redis-reading.ts";

export interface RequestLogFilter {
  readonly app: string;
  /** Null: all types. */
  readonly eventType: string | null;
  readonly errorsOnly: boolean;
  readonly organizationId: string | null;
  /** Milliseconds since the epoch; the start is included, the end is not. Null: open. */
  readonly start: number | null;
  readonly end: number | null;
}

/** Number of keys remembered as reported. */
const MAX_REPORTED = 1_000;

export type QueryRequestLog = (filter: RequestLogFilter) => Promise<LogRow[]>;

/**
 * @param organizationOf for rows of internal apps, which leave it out
 * @param onUnreadable called once for each key with a value or rows that can't be read
 */
export function createRequestLogQuery(
  redis: RedisClient,
  organizationOf: (installationUuid: string) => string | undefined,
  appCreatedAt: AppCreatedAt,
  problem: RedisProblem = () => null,
  onUnreadable: (problem: string) => void = () => {},
): QueryRequestLog {
  const typesOf = (app: string): Promise<string[]> =>
    reading("the request log", problem, () => redis.zrange(keys.eventTypes(app), "0", "-1"), fullKey(redis, keys.eventTypes(app)));
  const reported = new Set<string>();
  const report = (key: string, unreadable: string): void => {
    if (reported.has(key)) return;
    if (reported.size >= MAX_REPORTED) reported.clear();
    reported.add(key);
    onUnreadable(unreadable);
  };
  const rowsOf = async (key: string): Promise<LogRow[]> => {
    const texts = await reading("the request log", problem, () => redis.lrange(key, 0, -1), fullKey(redis, key));
    const rows = texts.flatMap((text) => readLogRow(text) ?? []);
    const damaged = texts.length - rows.length;
    if (damaged > 0) report(key, `Redis key ${fullKey(redis, key)} has ${damaged} damaged rows of ${texts.length}; they are left out`);
    return rows;
  };
  const rowsUnlessInvalid = (key: string): Promise<LogRow[]> =>
    rowsOf(key).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "REDIS_KEY_INVALID") throw error;
      report(key, error.message);
      return [];
    });

  return async ({ app, eventType, errorsOnly, organizationId, start, end }) => {
    const keyOf = errorsOnly ? keys.errors : keys.requests;
    const since = await reading("the request log", problem, () => belongsSince(redis, app, appCreatedAt(app)));
    const lists =
      eventType === null
        ? await Promise.all((await typesOf(app)).map((type) => rowsUnlessInvalid(keyOf(app, type))))
        : [await rowsOf(keyOf(app, eventType))];
    const isWanted = (row: LogRow): boolean => {
      const at = epochMsOf(row.date);
      if (at < since || (start !== null && at < start) || (end !== null && at >= end)) return false;
      return organizationId === null || (row.organization_id ?? organizationOf(row.installation_uuid)) === organizationId;
    };
    const rows = lists.flat().filter(isWanted);
    // Each list is newest first; a stable sort keeps that order within one millisecond.
    return rows.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
  };
}

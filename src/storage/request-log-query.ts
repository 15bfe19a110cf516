/** Reads the request log back, for "why didn't my webhook arrive?". */
import { AppError } from "../model/app-error.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { type LogRow, readLogRow } from "./log-row.ts";
import type { RedisClient } from "./redis.ts";
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

export type QueryRequestLog = (filter: RequestLogFilter) => Promise<LogRow[]>;

/**
 * @param organizationOf for rows of internal apps, which leave it out
 * @param onUnreadable called for each unreadable list of a query over all types
 */
export function createRequestLogQuery(
  redis: RedisClient,
  organizationOf: (installationUuid: string) => string | undefined,
  appCreatedAt: AppCreatedAt,
  problem: RedisProblem = () => null,
  onUnreadable: (problem: string) => void = () => {},
): QueryRequestLog {
  const typesOf = (app: string): Promise<string[]> =>
    reading("the request log", problem, () => redis.zrange(keys.eventTypes(app), "0", "-1"), keys.eventTypes(app));
  const rowsOf = (key: string): Promise<string[]> => reading("the request log", problem, () => redis.lrange(key, 0, -1), key);
  const rowsUnlessInvalid = (key: string): Promise<string[]> =>
    rowsOf(key).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "REDIS_KEY_INVALID") throw error;
      onUnreadable(error.message);
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
    const rows = lists
      .flat()
      .flatMap((text) => readLogRow(text) ?? [])
      .filter(isWanted);
    // Each list is newest first; a stable sort keeps that order within one millisecond.
    return rows.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
  };
}

/** Reads the request log back, for "why didn't my webhook arrive?". */
import { AppError } from "../model/app-error.ts";
import { keys } from "./keys.ts";
import type { LogRow } from "./log-row.ts";
import { type RedisProblem, reading } from "./reading.ts";
import type { RedisClient } from "./redis.ts";

export interface RequestLogFilter {
  readonly app: string;
  /** Null: all types. */
  readonly eventType: string | null;
  readonly errorsOnly: boolean;
  readonly organizationId: string | null;
  /** Milliseconds since the epoch, both included; null: open. */
  readonly start: number | null;
  readonly end: number | null;
}

/**
 * Rows newest first; an empty answer always means that there is nothing. Of all types, a list that can't be read costs its own
 * rows only; `onUnreadable` hears of it. @throws AppError REDIS_UNREACHABLE, REDIS_KEY_INVALID
 */
export type QueryRequestLog = (filter: RequestLogFilter) => Promise<LogRow[]>;

/**
 * @param organizationOf for the rows of internal apps, which don't say
 * @param onUnreadable told of a list of one type when all are asked for
 */
export function createRequestLogQuery(
  redis: RedisClient,
  organizationOf: (installationUuid: string) => string | undefined,
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
    const lists =
      eventType === null
        ? await Promise.all((await typesOf(app)).map((type) => rowsUnlessInvalid(keyOf(app, type))))
        : [await rowsOf(keyOf(app, eventType))];
    const isWanted = (row: LogRow): boolean => {
      const at = Date.parse(row.date);
      if ((start !== null && at < start) || (end !== null && at > end)) return false;
      return organizationId === null || (row.organization_id ?? organizationOf(row.installation_uuid)) === organizationId;
    };
    const rows = lists
      .flat()
      .map((text) => JSON.parse(text) as LogRow)
      .filter(isWanted);
    // The lists are newest first each; a stable sort keeps that order within one millisecond.
    return rows.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
  };
}

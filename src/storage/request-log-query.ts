/** Reads the request log back, for "why didn't my webhook arrive?". */
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { keys } from "./keys.ts";
import { type LogRow, readLogRow } from "./log-row.ts";
import type { RedisClient } from "./redis.ts";
import { redisUnreachable, unlessWrongType } from "./redis-reading.ts";

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

/** Rows newest first, without what is no row. @throws AppError REDIS_UNREACHABLE: an empty answer always means that there is nothing. */
export type QueryRequestLog = (filter: RequestLogFilter) => Promise<LogRow[]>;

/** @param organizationOf for the rows of internal apps, which don't say. */
export function createRequestLogQuery(
  redis: RedisClient,
  organizationOf: (installationUuid: string) => string | undefined,
  appCreatedAt: AppCreatedAt,
): QueryRequestLog {
  return async ({ app, eventType, errorsOnly, organizationId, start, end }) => {
    const keyOf = errorsOnly ? keys.errors : keys.requests;
    let lists: string[][];
    let since: number;
    try {
      since = await belongsSince(redis, app, appCreatedAt(app));
      const types = eventType === null ? await unlessWrongType(redis.zrange(keys.eventTypes(app), "0", "-1"), []) : [eventType];
      lists = await Promise.all(types.map((type) => unlessWrongType(redis.lrange(keyOf(app, type), 0, -1), [])));
    } catch (error) {
      throw redisUnreachable("the request log can't be read", error);
    }
    const isWanted = (row: LogRow): boolean => {
      const at = epochMsOf(row.date);
      if (at < since || (start !== null && at < start) || (end !== null && at >= end)) return false;
      return organizationId === null || (row.organization_id ?? organizationOf(row.installation_uuid)) === organizationId;
    };
    const rows = lists
      .flat()
      .flatMap((text) => readLogRow(text) ?? [])
      .filter(isWanted);
    // The lists are newest first each; a stable sort keeps that order within one millisecond.
    return rows.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0));
  };
}

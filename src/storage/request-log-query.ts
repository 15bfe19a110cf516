/** Reads the request log back, for "why didn't my webhook arrive?". */
import { AppError } from "../model/app-error.ts";
import type { Outcome } from "../model/outcome.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { type AppCreatedAt, belongsSince } from "./app-created.ts";
import { DELIVERED } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import { type LogRow, readLogRow } from "./log-row.ts";
import { fullKey, type RedisClient } from "./redis.ts";
import { type RedisProblem, reading } from "./redis-reading.ts";

export interface RequestLogFilter {
  readonly app: string;
  /** Null, here and below: all. */
  readonly eventType: string | null;
  readonly errorsOnly: boolean;
  readonly organizationId: string | null;
  /** Milliseconds since the epoch; the start is included, the end is not. Null: open. */
  readonly start: number | null;
  readonly end: number | null;
  readonly eventId?: string | null;
  readonly deliveryId?: string | null;
  readonly installationUuid?: string | null;
  readonly outcome?: Outcome | null;
  readonly responseCode?: number | null;
  /** Also failed attempts that are older than the list of all attempts. */
  readonly withOlderErrors?: boolean;
}

export interface LoggedRequests {
  /** Newest first. */
  readonly rows: LogRow[];
  /** Milliseconds since the epoch: rows before this time may have been pushed out of their list. Null: none were. */
  readonly reachesBackTo: number | null;
}

export type QueryRequestLog = (filter: RequestLogFilter) => Promise<LoggedRequests>;

export interface RequestLogQueryDependencies {
  readonly redis: RedisClient;
  /** For rows of internal apps, which leave it out. */
  readonly organizationOf: (installationUuid: string) => string | undefined;
  readonly appCreatedAt: AppCreatedAt;
  /** Rows that a list holds at most (POSTHORN_REQUEST_LOG_SIZE). */
  readonly listSize: number;
  readonly problem?: RedisProblem;
  /** Called once for each key with a value or rows that can't be read. */
  readonly onUnreadable?: (problem: string) => void;
}

/** Number of keys remembered as reported. */
const MAX_REPORTED = 1_000;

export function createRequestLogQuery(dependencies: RequestLogQueryDependencies): QueryRequestLog {
  const { redis, organizationOf, appCreatedAt, listSize, problem = () => null, onUnreadable = () => {} } = dependencies;
  const typesOf = (app: string): Promise<string[]> =>
    reading("the request log", problem, () => redis.zrange(keys.eventTypes(app), "0", "-1"), fullKey(redis, keys.eventTypes(app)));
  const reported = new Set<string>();
  const report = (key: string, unreadable: string): void => {
    if (reported.has(key)) return;
    if (reported.size >= MAX_REPORTED) reported.clear();
    reported.add(key);
    onUnreadable(unreadable);
  };
  const textsOf = (key: string): Promise<string[]> =>
    reading("the request log", problem, () => redis.lrange(key, 0, -1), fullKey(redis, key));
  const textsUnlessInvalid = (key: string): Promise<string[]> =>
    textsOf(key).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== "REDIS_KEY_INVALID") throw error;
      report(key, error.message);
      return [];
    });
  const rowsIn = (key: string, texts: readonly string[]): LogRow[] => {
    const rows = texts.flatMap((text) => readLogRow(text) ?? []);
    const damaged = texts.length - rows.length;
    if (damaged > 0) report(key, `Redis key ${fullKey(redis, key)} has ${damaged} damaged rows of ${texts.length}; they are left out`);
    return rows;
  };

  const listOf = async (key: string, isOnlyType: boolean): Promise<LoggedRequests & { readonly texts: readonly string[] }> => {
    const texts = await (isOnlyType ? textsOf(key) : textsUnlessInvalid(key));
    const rows = rowsIn(key, texts);
    const oldest = rows.at(-1);
    return { texts, rows, reachesBackTo: texts.length < listSize || oldest === undefined ? null : epochMsOf(oldest.date) };
  };

  /** A failed attempt is in both lists, with the same text. */
  const ofType = async (filter: RequestLogFilter, type: string): Promise<LoggedRequests> => {
    const isOnlyType = filter.eventType !== null;
    const [main, more] = listsFor(filter);
    const list = await listOf(main(filter.app, type), isOnlyType);
    if (more === undefined) return list;
    const key = more(filter.app, type);
    const known = new Set(list.texts);
    const others = (await (isOnlyType ? textsOf(key) : textsUnlessInvalid(key))).filter((text) => !known.has(text));
    return { rows: [...list.rows, ...rowsIn(key, others)], reachesBackTo: list.reachesBackTo };
  };

  return async (filter) => {
    const { app, eventType, organizationId } = filter;
    const since = await reading("the request log", problem, () => belongsSince(redis, app, appCreatedAt(app)));
    const lists = await Promise.all((eventType === null ? await typesOf(app) : [eventType]).map((type) => ofType(filter, type)));
    const isWanted = (row: LogRow): boolean =>
      epochMsOf(row.date) >= since &&
      matches(row, filter) &&
      (organizationId === null || (row.organization_id ?? organizationOf(row.installation_uuid)) === organizationId);
    const rows = lists.flatMap((list) => list.rows).filter(isWanted);
    const reaches = lists.flatMap(({ reachesBackTo }) => reachesBackTo ?? []);
    return {
      // Each list is newest first; a stable sort keeps that order within one millisecond.
      rows: rows.sort((a, b) => (a.date < b.date ? 1 : a.date > b.date ? -1 : 0)),
      reachesBackTo: reaches.length === 0 ? null : Math.max(...reaches),
    };
  };
}

type KeyOf = (app: string, eventType: string) => string;

/**
 * The list that has every attempt that the filter can mean, as far as it reaches back, and one that knows some of them for longer:
 * failed attempts outlast the delivered ones of a busy app.
 */
function listsFor(filter: RequestLogFilter): [KeyOf, KeyOf?] {
  const { errorsOnly, outcome = null, eventId, deliveryId, installationUuid, responseCode, withOlderErrors = false } = filter;
  if (errorsOnly || (outcome !== null && outcome !== DELIVERED)) return [keys.errors];
  const isNarrow = withOlderErrors || [eventId, deliveryId, installationUuid, responseCode].some((wanted) => wanted != null);
  return isNarrow && outcome === null ? [keys.requests, keys.errors] : [keys.requests];
}

function matches(row: LogRow, { start, end, eventId, deliveryId, installationUuid, outcome, responseCode }: RequestLogFilter): boolean {
  const at = epochMsOf(row.date);
  return (
    (start === null || at >= start) &&
    (end === null || at < end) &&
    (eventId == null || row.event_id === eventId) &&
    (deliveryId == null || row.delivery_id === deliveryId) &&
    (installationUuid == null || row.installation_uuid === installationUuid) &&
    (outcome == null || row.outcome === outcome) &&
    (responseCode == null || row.response_code === responseCode)
  );
}

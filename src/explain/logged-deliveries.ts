/** Deliveries that the request log knows, each at its newest attempt. */
import { epochMsOf } from "../model/rfc3339.ts";
import type { LogRow } from "../storage/log-row.ts";
import type { AppRow, ReadRecentRows } from "../storage/recent-rows.ts";
import type { QueryRequestLog } from "../storage/request-log-query.ts";
import { isBehind, type ListPosition, type Slice } from "./newest-first.ts";
import { type Notes, unlessRedisIsDown } from "./notes.ts";

export interface LoggedCandidate extends ListPosition {
  readonly app: string;
  /** Its newest attempt first. */
  readonly rows: readonly LogRow[];
}

export interface LoggedDeliveriesQuery {
  /** Null: the newest rows of all apps. */
  readonly apps: readonly string[] | null;
  readonly installationUuid: string | null;
  readonly eventId: string | null;
  readonly cursor: ListPosition | null;
  readonly limit: number;
  /** @param rows of one delivery, its newest attempt first */
  readonly isWanted: (rows: readonly LogRow[]) => boolean;
}

export interface LoggedDeliveries extends Slice<LoggedCandidate> {
  readonly reachesBackTo: number | null;
}

export interface LoggedDeliveriesDependencies {
  readonly queryRequestLog: QueryRequestLog;
  readonly readRecentRows: ReadRecentRows;
}

export type ReadLoggedDeliveries = (query: LoggedDeliveriesQuery, notes: Notes) => Promise<LoggedDeliveries>;

const NOTHING = { rows: [], reachesBackTo: null };

export function createReadLoggedDeliveries(dependencies: LoggedDeliveriesDependencies): ReadLoggedDeliveries {
  const { queryRequestLog, readRecentRows } = dependencies;

  const ofApp = async (app: string, query: LoggedDeliveriesQuery, notes: Notes): Promise<LoggedDeliveries> => {
    const { installationUuid, eventId } = query;
    const all = { eventType: null, errorsOnly: false, organizationId: null, start: null, end: null, withOlderErrors: true };
    const asked = queryRequestLog({ app, ...all, installationUuid, eventId });
    const { rows, reachesBackTo } = await unlessRedisIsDown(asked, NOTHING, notes);
    return { candidates: candidatesIn(rows.map((row) => ({ app, row }))), doneTo: null, reachesBackTo };
  };

  const ofAll = async ({ cursor, limit, isWanted }: LoggedDeliveriesQuery, notes: Notes): Promise<LoggedDeliveries> => {
    const isEnough = (rows: readonly AppRow[], after: number): boolean =>
      candidatesIn(rows).filter((one) => one.at > after && isBehind(one, cursor) && isWanted(one.rows)).length > limit;
    const read = unlessRedisIsDown(readRecentRows(isEnough), { ...NOTHING, doneTo: null, leftOut: 0 }, notes);
    const { rows, doneTo, reachesBackTo, leftOut } = await read;
    if (leftOut > 0)
      notes.add(`${leftOut} lists of the request log were left out, those used longest ago; ask for one app to see all of its own.`);
    return { candidates: candidatesIn(rows), doneTo, reachesBackTo };
  };

  return async (query, notes) => {
    const { apps, cursor, isWanted } = query;
    const found = apps === null ? [await ofAll(query, notes)] : await Promise.all(apps.map((app) => ofApp(app, query, notes)));
    const reaches = found.flatMap(({ reachesBackTo }) => reachesBackTo ?? []);
    return {
      candidates: found.flatMap(({ candidates }) => candidates).filter((one) => isBehind(one, cursor) && isWanted(one.rows)),
      doneTo: found[0]?.doneTo ?? null,
      reachesBackTo: reaches.length === 0 ? null : Math.max(...reaches),
    };
  };
}

function candidatesIn(rows: readonly AppRow[]): LoggedCandidate[] {
  const candidates: LoggedCandidate[] = [];
  for (const [id, ofDelivery] of Map.groupBy(rows, ({ row }) => row.delivery_id)) {
    const sorted = ofDelivery.toSorted((a, b) => (a.row.date < b.row.date ? 1 : -1));
    const [newest] = sorted;
    if (newest === undefined) continue;
    candidates.push({ at: epochMsOf(newest.row.date), key: id, app: newest.app, rows: sorted.map(({ row }) => row) });
  }
  return candidates;
}

/** Searches the newest events, what waits, dead letters and the request log for the beginning of an id, or for a trace. */
import { toRfc3339 } from "../model/clock.ts";
import type { LocatedDelivery } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { eventKey } from "../model/event-key.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import type { AppRow, ReadRecentRows } from "../storage/recent-rows.ts";
import type { QueryRequestLog } from "../storage/request-log-query.ts";
import type { FoundItem } from "./found-item.ts";
import { type Notes, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources } from "./ports.ts";
import type { ReadStoredDeliveries } from "./stored-deliveries.ts";
import { seesOrganization, type Viewer } from "./viewer.ts";

export type SearchEverywhere = (text: string, viewer: Viewer, notes: Notes) => Promise<FoundItem[]>;

export interface SearchEverywhereDependencies {
  readonly events: Pick<DeliverySources["events"], "mentioning">;
  readonly readStored: ReadStoredDeliveries;
  readonly readRecentRows: ReadRecentRows;
  readonly queryRequestLog: QueryRequestLog;
  /** Whether a message is of the app that has its slug now. */
  readonly isOwn: (located: LocatedDelivery) => boolean;
  /** For rows of internal apps, which leave it out. */
  readonly organizationOf: (installationUuid: string) => string | undefined;
}

/** The newest messages of each queue that are searched. */
const MAX_MESSAGES = 1_000;
const MOST = 20;

export function createSearchEverywhere(dependencies: SearchEverywhereDependencies): SearchEverywhere {
  const { events, readStored, isOwn, organizationOf } = dependencies;
  const readRows = createReadRows(dependencies);

  /** An app's own token searches its own deliveries only. */
  const ofEvents = async (text: string, viewer: Viewer, notes: Notes): Promise<FoundItem[]> => {
    if (viewer.onlyApp !== null) return [];
    const isWanted = (event: Event): boolean =>
      seesOrganization(viewer, event.organizationId) && (event.id.startsWith(text) || traceOf(event) === text);
    const { found, searched, isWhole } = await events.mentioning(text, isWanted);
    if (!isWhole) notes.add(`Only the newest ${searched} events were searched.`);
    // The newest message of an event that was published twice counts.
    const byKey = new Map(
      found.flatMap(({ event, storedAt }) => (event === null ? [] : [[eventKey(event), eventItem(event, storedAt)] as const])),
    );
    return [...byKey.values()].toReversed();
  };

  const stored = async (text: string, viewer: Viewer, notes: Notes): Promise<FoundItem[]> => {
    const { onlyApp } = viewer;
    const slices = await readStored({
      ...{
        streams: new Set(["retries", "parked", "dead-letters"] as const),
        app: onlyApp,
        start: null,
        end: null,
        cursor: null,
        limit: MOST,
      },
      mentions: (message) => message.includes(JSON.stringify(text).slice(1, -1)),
      isWanted: (located) =>
        isMeant(text, located.delivery.id, located.delivery.event) &&
        seesOrganization(viewer, located.delivery.event.organizationId) &&
        (onlyApp === null || isOwn(located)),
      maxMessages: MAX_MESSAGES,
    });
    if (slices.some(({ doneTo }) => doneTo !== null)) notes.add(`Only the newest ${MAX_MESSAGES} messages of each queue were searched.`);
    return slices.flatMap(({ candidates }) =>
      candidates.map(({ at, located: { stream, delivery } }) =>
        deliveryItem(
          delivery.id,
          delivery.app,
          delivery.event.organizationId,
          toRfc3339(at),
          `${stream}, to ${delivery.app} of ${delivery.event.type} ${delivery.event.id}`,
        ),
      ),
    );
  };

  const logged = async (text: string, viewer: Viewer, notes: Notes): Promise<FoundItem[]> => {
    const rows = await readRows(viewer, notes);
    return rows
      .filter(({ row }) => seesOrganization(viewer, row.organization_id ?? organizationOf(row.installation_uuid)))
      .filter(({ row }) => isMeant(text, row.delivery_id, { id: row.event_id }) || row.trace_id === text)
      .slice(0, MOST)
      .map(({ app, row }) =>
        deliveryItem(
          row.delivery_id,
          app,
          row.organization_id ?? null,
          row.date,
          `${row.outcome}, to ${app} of ${row.event_type} ${row.event_id}`,
        ),
      );
  };

  let last: Promise<unknown> = Promise.resolve();

  const search: SearchEverywhere = async (text, viewer, notes) => {
    const [published, ...deliveries] = await Promise.all([
      ofEvents(text, viewer, notes),
      logged(text, viewer, notes),
      stored(text, viewer, notes),
    ]);
    // The log knows more of a delivery than its message.
    const byId = new Map(
      deliveries
        .flat()
        .toReversed()
        .map((item) => [item.id, item]),
    );
    return [...published.slice(0, MOST), ...[...byId.values()].sort((a, b) => ((a.at ?? "") < (b.at ?? "") ? 1 : -1)).slice(0, MOST)];
  };

  return (text, viewer, notes) => {
    const turn = last.then(() => search(text, viewer, notes));
    last = turn.catch(() => {});
    return turn;
  };
}

/** The rows of the request log that may be the viewer's. */
function createReadRows({
  readRecentRows,
  queryRequestLog,
}: Pick<SearchEverywhereDependencies, "readRecentRows" | "queryRequestLog">): (viewer: Viewer, notes: Notes) => Promise<readonly AppRow[]> {
  const ofAllApps = async (notes: Notes): Promise<readonly AppRow[]> => {
    const nothing = { rows: [], doneTo: null, reachesBackTo: null, leftOut: 0 };
    const { rows, leftOut } = await unlessRedisIsDown(
      readRecentRows(() => false),
      nothing,
      notes,
    );
    if (leftOut > 0) notes.add(`${leftOut} lists of the request log, those used longest ago, were not searched.`);
    return rows;
  };

  const ofApp = async (app: string, notes: Notes): Promise<readonly AppRow[]> => {
    const all = { eventType: null, errorsOnly: false, organizationId: null, start: null, end: null, withOlderErrors: true };
    const { rows } = await unlessRedisIsDown(queryRequestLog({ app, ...all }), { rows: [], reachesBackTo: null }, notes);
    return rows.map((row) => ({ app, row }));
  };

  return ({ onlyApp }, notes) => (onlyApp === null ? ofAllApps(notes) : ofApp(onlyApp, notes));
}

function isMeant(text: string, deliveryId: string, event: Pick<Event, "id"> & Partial<Pick<Event, "traceparent">>): boolean {
  const part = text.replace(/^dlv_/, "");
  const isDelivery = /^[0-9a-f]+$/.test(part) && deliveryId.startsWith(`dlv_${part}`);
  return isDelivery || event.id.startsWith(text) || traceOf(event) === text;
}

function traceOf({ traceparent }: Partial<Pick<Event, "traceparent">>): string | undefined {
  return parseTraceparent(traceparent)?.traceId;
}

function eventItem(event: Event, storedAt: number): FoundItem {
  const { id, app, organizationId, type } = event;
  return { kind: "event", id, app, organizationId, at: toRfc3339(storedAt), detail: type, event };
}

function deliveryItem(id: string, app: string, organizationId: string | null, at: string, detail: string): FoundItem {
  return { kind: "delivery", id, app, organizationId, at, detail, event: null };
}

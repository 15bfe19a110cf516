/**
 * GET /v1/deliveries: deliveries that wait, that were given up and that the request log knows, in one list, newest first.
 *
 * LIST-1  A delivery is in the list once, at the newest that is known of it: its newest attempt, or its message in a stream.
 * LIST-2  A call reads a bounded part of each source. A page may be short, or empty, and still have a next one.
 */
import { AppError } from "../model/app-error.ts";
import type { LocatedDelivery, NotedAddressee, StreamLocation } from "../model/delivery-location.ts";
import type { AttemptSummary, Outcome } from "../model/outcome.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import type { LogRow } from "../storage/log-row.ts";
import type { ListedDelivery, ListedState } from "./answer-schemas.ts";
import type { Candidate, DescribeListed } from "./describe-listed.ts";
import { locateDeliveries } from "./locate-deliveries.ts";
import type { ReadLoggedDeliveries } from "./logged-deliveries.ts";
import { isBehind, type ListPosition, mergeNewest, type Slice } from "./newest-first.ts";
import { createNotes, type Notes, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources, RegistrySources } from "./ports.ts";
import type { ReadStoredDeliveries } from "./stored-deliveries.ts";
import type { Viewer } from "./viewer.ts";

/** Null members do not restrict the list. */
export interface DeliveriesQuery {
  readonly app: string | null;
  readonly installationUuid: string | null;
  readonly organizationId: string | null;
  readonly eventId: string | null;
  readonly states: ReadonlySet<ListedState> | null;
  /** The last attempt's, like the code. */
  readonly outcome: Outcome | null;
  readonly responseCode: number | null;
  /** Milliseconds since the epoch; the start is included, the end is not. */
  readonly start: number | null;
  readonly end: number | null;
  readonly cursor: ListPosition | null;
  readonly limit: number;
}

export interface DeliveriesPage {
  readonly items: readonly ListedDelivery[];
  readonly next: ListPosition | null;
  /** Milliseconds since the epoch: attempts before this time may be missing. Null: none are. */
  readonly reachesBackTo: number | null;
  readonly notes: readonly string[];
}

/** @throws AppError NOT_FOUND for an unknown app of which nothing is left, NATS_UNREACHABLE */
export type ListDeliveries = (query: DeliveriesQuery, viewer: Viewer) => Promise<DeliveriesPage>;

export interface ListDeliveriesDependencies extends Pick<RegistrySources, "index"> {
  readonly sources: Pick<DeliverySources, "lookup" | "streams">;
  readonly readStored: ReadStoredDeliveries;
  readonly readLogged: ReadLoggedDeliveries;
  readonly describeListed: DescribeListed;
}

type StreamNames = ReadonlySet<StreamLocation["stream"]>;

/** The streams that can hold a delivery of a state. Those of the others are known by the request log. */
const STREAMS_OF: Readonly<Partial<Record<ListedState, ReadonlyArray<StreamLocation["stream"]>>>> = {
  retrying: ["retries"],
  parked: ["parked"],
  throttled: ["retries", "parked"],
  dead_letter: ["dead-letters"],
};
const ALL_STREAMS: StreamNames = new Set(["retries", "parked", "dead-letters"]);

export function createListDeliveries(dependencies: ListDeliveriesDependencies): ListDeliveries {
  const { index, sources, readStored, readLogged, describeListed } = dependencies;

  /** The deliveries of one event, which Redis knows one by one. */
  const locateNoted = async (
    noted: readonly NotedAddressee[],
    isListed: (located: LocatedDelivery) => boolean,
    notes: Notes,
  ): Promise<Array<Slice<Candidate>>> => {
    const ids = noted.map(({ deliveryId }) => deliveryId);
    const histories = await unlessRedisIsDown(
      sources.lookup.find(
        ids,
        noted.map(({ app }) => app),
      ),
      [],
      notes,
    );
    const lookedUp = ids.map((id, at) => ({ id, history: histories[at] ?? null }));
    const located = await locateDeliveries(sources.streams, lookedUp, null, notes);
    const candidates = [...located.values()].filter(isListed).map((one) => ({ at: one.storedAt, key: one.delivery.id, located: one }));
    return [{ candidates, doneTo: null }];
  };

  const slicesOf = async (query: DeliveriesQuery, notes: Notes) => {
    const { eventId, states, start, end, cursor, limit } = query;
    const noted = eventId === null ? [] : await unlessRedisIsDown(sources.lookup.ofEvent(eventId), [], notes);
    const apps = appsOf(query, noted, index);
    const streams: StreamNames = states === null ? ALL_STREAMS : new Set([...states].flatMap((state) => STREAMS_OF[state] ?? []));
    const isWanted = (located: LocatedDelivery): boolean => isMeant(located, query);
    const isListed = (located: LocatedDelivery): boolean =>
      streams.has(located.stream) &&
      isWithin(located.storedAt, query) &&
      isBehind({ at: located.storedAt, key: located.delivery.id }, cursor) &&
      isWanted(located);
    const ofApps = noted.filter(({ app }) => query.app === null || app === query.app);
    const isLogWanted = states === null || [...states].some((state) => STREAMS_OF[state] === undefined);
    const [stored, logged] = await Promise.all([
      noted.length > 0
        ? locateNoted(ofApps, isListed, notes)
        : readStored({ streams, app: apps?.[0] ?? null, start, end, cursor, limit, isWanted }),
      isLogWanted
        ? readLogged({ ...query, apps, isWanted: (rows) => isMeantBy(rows, query, index) }, notes)
        : { candidates: [], doneTo: null, reachesBackTo: null },
    ]);
    return { slices: [...stored, logged] as ReadonlyArray<Slice<Candidate>>, reachesBackTo: logged.reachesBackTo };
  };

  return async (query, { onlyApp, onlyOrganization }) => {
    const notes = createNotes();
    const { slices, reachesBackTo } = await slicesOf(query, notes);
    const { items: page, next } = mergeNewest(slices, query.cursor, query.limit);
    const items = await describeListed(page, { onlyApp, onlyOrganization, states: query.states }, notes);
    const isUnknown = query.app !== null && index.app(query.app) === undefined;
    // A removed app may still have deliveries.
    if (isUnknown && query.cursor === null && page.length === 0 && next === null) throw new AppError("NOT_FOUND", `no app ${query.app}`);
    return { items, next, reachesBackTo, notes: notes.list() };
  };
}

/** Null: all apps. */
function appsOf(
  { app, installationUuid, eventId }: DeliveriesQuery,
  noted: readonly NotedAddressee[],
  index: RegistrySources["index"],
): readonly string[] | null {
  const named = app ?? (installationUuid === null ? undefined : index.installation(installationUuid)?.app);
  if (named !== undefined) return [named];
  return eventId === null || noted.length === 0 ? null : [...new Set(noted.map((one) => one.app))];
}

function isWithin(at: number, { start, end }: Pick<DeliveriesQuery, "start" | "end">): boolean {
  return (start === null || at >= start) && (end === null || at < end);
}

type Last = Pick<AttemptSummary, "responseCode"> & { readonly outcome: string };

function hasLast(last: Last | undefined, { outcome, responseCode }: DeliveriesQuery): boolean {
  return (outcome === null || last?.outcome === outcome) && (responseCode === null || last?.responseCode === responseCode);
}

function isMeant({ delivery }: LocatedDelivery, query: DeliveriesQuery): boolean {
  const { installationUuid, organizationId, eventId } = query;
  return (
    (organizationId === null || delivery.event.organizationId === organizationId) &&
    (installationUuid === null || delivery.installationUuid === installationUuid) &&
    (eventId === null || delivery.event.id === eventId) &&
    hasLast(delivery.attempts.at(-1), query)
  );
}

function isMeantBy([row]: readonly LogRow[], query: DeliveriesQuery, index: RegistrySources["index"]): boolean {
  const { installationUuid, organizationId, eventId } = query;
  return (
    row !== undefined &&
    (organizationId === null || (row.organization_id ?? index.installation(row.installation_uuid)?.organizationId) === organizationId) &&
    (installationUuid === null || row.installation_uuid === installationUuid) &&
    (eventId === null || row.event_id === eventId) &&
    isWithin(epochMsOf(row.date), query) &&
    hasLast({ outcome: row.outcome, responseCode: row.response_code }, query)
  );
}

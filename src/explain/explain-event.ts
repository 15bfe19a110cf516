/** GET /v1/events/{id}: who got an event and who did not, for every event that has the id. */
import { AppError } from "../model/app-error.ts";
import type { DeliveryHistory, LocatedDelivery, RemainingEvent } from "../model/delivery-location.ts";
import { whyAbsent } from "./absent-app.ts";
import { addresseesOf, type NotWanted, whyNotWantedThen } from "./addressees.ts";
import type { EventAnswer, EventOfSameId, ExplainedDelivery } from "./answer-schemas.ts";
import { appRows } from "./app-rows.ts";
import type { DeliveryFindings, DeliveryRef, DescribeDelivery } from "./describe-delivery.ts";
import type { EventQuery, FindEvents, FoundEvent } from "./find-events.ts";
import { isOwnDelivery } from "./is-own-delivery.ts";
import { locateDeliveries } from "./locate-deliveries.ts";
import { createNotes, type Notes, notVisible, unlessRedisIsDown } from "./notes.ts";
import type { DeliverySources, RegistrySources } from "./ports.ts";
import { summarizeEvent } from "./summarize-event.ts";
import { EVERYBODY, seesEverything, seesOrganization, type Viewer } from "./viewer.ts";

/** @throws AppError NOT_FOUND */
export type ExplainEvent = (query: EventQuery, viewer?: Viewer) => Promise<EventAnswer>;

export interface ExplainEventDependencies extends RegistrySources {
  readonly sources: DeliverySources;
  readonly describe: DescribeDelivery;
  readonly findEvents: FindEvents;
}

/** Deliveries explained per event; a note says how many more there are. */
const MAX_DELIVERIES = 100;
const MAX_NOT_WANTED = 500;

export function createExplainEvent(dependencies: ExplainEventDependencies): ExplainEvent {
  const { sources, findEvents, index } = dependencies;

  /** The organization of an event that has left the stream is that of its dead letters, or of the installations that it went to. */
  const isOf = (viewer: Viewer, { stored, noted, deadLetters }: FoundEvent): boolean => {
    const event = stored?.event ?? deadLetters[0]?.delivery.event;
    const organizationIds =
      event === undefined ? noted.map(({ installationUuid: uuid }) => index.installation(uuid)?.organizationId) : [event.organizationId];
    return viewer.onlyOrganization === null || (organizationIds.length > 0 && organizationIds.every((id) => seesOrganization(viewer, id)));
  };

  const explainAll = async (query: EventQuery, viewer: Viewer, notes: Notes): Promise<EventAnswer> => {
    const [newest, ...older] = (await findEvents(query, notes)).filter((found) => isOf(viewer, found));
    if (newest === undefined) throw new AppError("NOT_FOUND", `no event ${query.id}`);
    if (newest.stored !== null && newest.stored.event === null) {
      const remaining = await sources.streams.remainingOf(newest.stored.sequence);
      const deadLetter = remaining?.kind === "dead-letter" ? `, it is dead letter ${remaining.sequence}` : "";
      throw new AppError("NOT_FOUND", `event ${query.id} can't be read${deadLetter}: ${newest.stored.problem}`);
    }
    const explained = await explainFound(dependencies, query, newest, notes);
    const others: EventOfSameId[] = [];
    for (const found of older) others.push(await explainFound(dependencies, query, found, notes));
    return { ...explained, others, notes: notes.list() };
  };

  return async (query, viewer = EVERYBODY) => {
    const notes = createNotes();
    if (seesEverything(viewer)) return explainAll(query, viewer, notes);
    const { onlyApp, onlyOrganization } = viewer;
    const unknown =
      onlyApp === null
        ? `no event ${query.id} of organization ${onlyOrganization}`
        : `no event ${query.id} that an installation of app ${onlyApp} wanted`;
    const ofApp = onlyApp === null ? {} : { app: onlyApp, ownOnly: true };
    const answer = await explainAll({ ...query, ...ofApp }, viewer, notes).catch((error: unknown) => {
      if (error instanceof AppError && error.code === "NOT_FOUND") return null;
      throw error;
    });
    if (onlyApp === null) {
      if (answer === null) throw notVisible(unknown, notes);
      return answer;
    }
    // An event that none of its installations wanted is not the app's to see.
    const [newest, ...others] = (answer === null ? [] : [answer, ...answer.others]).filter(({ deliveries }) => deliveries.length > 0);
    if (newest === undefined) throw notVisible(unknown, notes);
    const { event, deliveries, not_wanted } = newest;
    return { event, deliveries, not_wanted, others, notes: notes.list() };
  };
}

async function explainFound(
  { registry, index, sources, describe }: ExplainEventDependencies,
  { id: eventId, app: onlyApp, ownOnly = false }: EventQuery,
  { stored, noted: allNoted, deadLetters }: FoundEvent,
  notes: Notes,
): Promise<EventOfSameId> {
  const noted = onlyApp === null ? allNoted : allNoted.filter(({ app }) => app === onlyApp);
  const found = { stored, noted, deadLetters };
  const { wanted, notWanted } = stored?.event ? addresseesOf(stored.event, index, noted, onlyApp) : { wanted: noted, notWanted: [] };
  if (onlyApp !== null && stored?.event && wanted.length + notWanted.length === 0) notWanted.push(whyAbsent(onlyApp, stored.event, index));
  const refs = wanted.slice(0, MAX_DELIVERIES);
  noteOmissions(notes, { stored, wanted: wanted.length, notWanted: notWanted.length });

  const { histories, located, remaining } = await findDeliveries(sources, found, refs, notes);
  const event = stored?.event ?? [...located.values()][0]?.delivery.event ?? null;
  const apps = new Set(refs.map(({ app }) => app));
  const rows = (await Promise.all([...apps].map((app) => appRows(sources, app, event?.type ?? null, notes)))).flat();

  const deliveries: ExplainedDelivery[] = [];
  const notWantedThen: NotWanted[] = [];
  for (const [at, ref] of refs.entries()) {
    const findings: DeliveryFindings = {
      ...{ history: histories[at] ?? null, located: located.get(ref.deliveryId) ?? null, stored, remaining, rows },
    };
    if (ownOnly && !isOwnDelivery(findings, index.app(ref.app)?.createdAt ?? null)) continue;
    const delivery = await describe(ref, findings, notes);
    const why = await whyNotWantedThen({ registry }, delivery, stored);
    if (why === null) deliveries.push(delivery);
    else notWantedThen.unshift(why);
  }
  const traceId = deliveries.find(({ trace_id: id }) => id !== null)?.trace_id ?? null;
  const row = rows.find(({ delivery_id: id }) => refs.some(({ deliveryId }) => deliveryId === id));
  return {
    event: summarizeEvent({ id: event?.id ?? eventId, event, row, stored, traceId }),
    deliveries,
    not_wanted: [...notWantedThen, ...notWanted].slice(0, MAX_NOT_WANTED),
  };
}

function noteOmissions(
  notes: Notes,
  { stored, wanted, notWanted }: Pick<FoundEvent, "stored"> & { readonly wanted: number; readonly notWanted: number },
): void {
  if (wanted > MAX_DELIVERIES) notes.add(`${wanted} installations want it; the first ${MAX_DELIVERIES} are shown.`);
  if (stored === null) notes.add("The event is not in its stream any more: the installations that did not want it are unknown.");
  if (notWanted > MAX_NOT_WANTED) notes.add(`${notWanted} installations do not want it; ${MAX_NOT_WANTED} are shown.`);
}

interface FoundDeliveries {
  /** In the order of the references. */
  readonly histories: ReadonlyArray<DeliveryHistory | null>;
  readonly located: ReadonlyMap<string, LocatedDelivery>;
  readonly remaining: RemainingEvent | null;
}

async function findDeliveries(
  { lookup, streams }: DeliverySources,
  { stored, deadLetters }: FoundEvent,
  refs: readonly DeliveryRef[],
  notes: Notes,
): Promise<FoundDeliveries> {
  const ids = refs.map(({ deliveryId }) => deliveryId);
  const apps = refs.map(({ app }) => app);
  const histories = await unlessRedisIsDown(lookup.find(ids, apps), [], notes);
  const lookedUp = ids.map((id, at) => ({ id, history: histories[at] ?? null }));
  const onlyApp = new Set(apps).size === 1 ? (apps[0] ?? null) : null;
  // An event that no replica has taken has no delivery in any stream.
  const isInStreams = stored?.stage !== "waiting" && deadLetters.length === 0;
  const located = await locateDeliveries(streams, isInStreams ? lookedUp : [], onlyApp, notes);
  for (const deadLetter of deadLetters) located.set(deadLetter.delivery.id, deadLetter);
  const isMissing = lookedUp.some(({ id, history }) => history === null && !located.has(id));
  const remaining = isMissing && stored?.stage === "handled" ? await streams.remainingOf(stored.sequence) : null;
  return { histories, located, remaining };
}

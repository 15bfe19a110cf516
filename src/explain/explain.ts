/**
 * Answers "what became of it?" from what the registry, the streams and Redis know (delivery-state.ts attemptListeners it). Every
 * look is bounded; what could not be looked at, or only in part, is said in `notes`.
 */

import type { App, Installation } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { DeliveryHistory, LocatedDelivery, NotedAddressee, RestOfEvent, StoredEvent } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import { deliveryId as deliveryIdOf } from "../model/event-key.ts";
import type { BrokenAction } from "../model/installation-pause.ts";
import { epochMsOf } from "../model/rfc3339.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import { type NotWantedBecause, whyNotWanted } from "../registry/match.ts";
import type { Registry } from "../registry/registry.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import { probedAt } from "../status/installation-record.ts";
import type { DeliveryAnswer, EventAnswer, EventOfSameId, ExplainedAttempt, ExplainedDelivery, ExplainedEvent } from "./answer-schemas.ts";
import { explainState, isTestCall } from "./delivery-state.ts";
import { createFindEvents, type EventQuery, type FoundEvent } from "./find-events.ts";
import { createNotes, type Notes, notFound, unlessRedisIsAway } from "./notes.ts";
import type { DeliverySources, RequestLogRow } from "./ports.ts";

export interface Explain {
  /** @throws AppError NOT_FOUND when nothing that was looked at knows it, REDIS_UNREACHABLE when Redis might */
  delivery(deliveryId: string): Promise<DeliveryAnswer>;
  /** @throws AppError NOT_FOUND */
  event(query: EventQuery): Promise<EventAnswer>;
}

export interface ExplainDependencies {
  readonly registry: Pick<Registry, "getApp" | "getInstallation">;
  readonly index: RegistryIndex;
  readonly sources: DeliverySources;
  readonly clock: Clock;
}

export interface ExplainOptions {
  /** Name of the events stream. */
  readonly stream: string;
  readonly maxParkedAgeMs: number;
  readonly probeIntervalMs: number;
  readonly brokenAction: BrokenAction;
}

/** Deliveries of one event that are explained; more installations of one organization are only counted. */
const MOST_DELIVERIES = 100;
const MOST_NOT_WANTED = 500;

/** One delivery and what is looked up for it. */
interface Subject {
  readonly deliveryId: string;
  readonly app: string;
  readonly installationUuid: string;
}

/** What was found of it. */
interface Known {
  readonly history: DeliveryHistory | null;
  readonly located: LocatedDelivery | null;
  readonly stored: StoredEvent | null;
  readonly rest: RestOfEvent | null;
  readonly rows: readonly RequestLogRow[];
}

export function createExplain({ registry, index, sources, clock }: ExplainDependencies, options: ExplainOptions): Explain {
  const { lookup, events, streams, queryRequestLog, circuitOf, oldestParked } = sources;
  const findEvents = createFindEvents(sources, options.stream);

  const search = async (ids: readonly string[], app: string | null, notes: Notes): Promise<LocatedDelivery[]> => {
    if (ids.length === 0) return [];
    notes.add(`Redis does not know where all of it is: ${streams.looksAt} were looked at.`);
    return streams.search(new Set(ids), app);
  };

  /** Where each is; what was noted wins over what a search finds. */
  const locate = async (
    found: ReadonlyArray<{ id: string; history: DeliveryHistory | null }>,
    app: string | null,
    notes: Notes,
  ): Promise<Map<string, LocatedDelivery>> => {
    const located = new Map<string, LocatedDelivery>();
    const missing: string[] = [];
    for (const { id, history } of found) {
      const at = history?.location ? await streams.at(id, history.location) : null;
      if (at !== null) located.set(id, at);
      else if (!history?.runs.some(({ delivered }) => delivered) && !isTestCall(history)) missing.push(id);
    }
    for (const hit of await search(missing, app, notes)) located.set(hit.delivery.id, hit);
    return located;
  };

  const rowsOf = (app: string, eventType: string | null, notes: Notes): Promise<RequestLogRow[]> =>
    unlessRedisIsAway(queryRequestLog({ app, eventType, errorsOnly: false, organizationId: null, start: null, end: null }), [], notes);

  const nextProbeAt = async ({ status, uuid }: Installation): Promise<number | null> => {
    if (status !== "broken") return null;
    const { record } = await registry.getInstallation(uuid);
    return probedAt({ ...record }) + options.probeIntervalMs;
  };

  const isOldest = async ({ sequence, delivery, ofInstallation }: LocatedDelivery & { stream: "parked" }): Promise<boolean> => {
    const queue = { app: delivery.app, installationUuid: ofInstallation ? delivery.installationUuid : null };
    return (await oldestParked(queue))?.source.sequence === sequence;
  };

  const explain = async ({ deliveryId, app, installationUuid }: Subject, known: Known): Promise<ExplainedDelivery> => {
    const { located, rest, rows, stored, history } = known;
    const registered = { app: index.app(app), installation: index.installation(installationUuid) };
    const circuit = circuitOf(app);
    const waitsForProbe = registered.installation?.status === "broken" || circuit.state !== "closed";
    return explainState({
      deliveryId,
      app,
      installationUuid,
      registered,
      stored,
      history,
      located,
      rest,
      attempts: attemptsOf(
        rows.filter((row) => row.delivery_id === deliveryId),
        located?.delivery.attempts ?? [],
      ),
      circuit,
      nextProbeAt: registered.installation === undefined ? null : await nextProbeAt(registered.installation),
      isOldest: located?.stream === "parked" && waitsForProbe && (await isOldest(located)),
      maxParkedAgeMs: options.maxParkedAgeMs,
      brokenAction: options.brokenAction,
      now: clock.now(),
    });
  };

  /** Who wants the event now, and has nothing of it, may not have wanted it when it was handled. */
  const wantedLater = async (
    { app, installation_uuid: uuid, state, attempts }: ExplainedDelivery,
    stored: StoredEvent | null,
  ): Promise<Pick<NotWanted, "because" | "detail"> | null> => {
    if (state !== "unknown" || stored?.stage !== "handled" || attempts.length > 0) return null;
    const installation = (await registry.getInstallation(uuid)).record;
    const { created_at: installedAt } = installation;
    if (installedAt !== undefined && epochMsOf(installedAt) > stored.storedAt)
      return { because: "installed_later", detail: `it was installed at ${installedAt}, after the event` };
    const records = [
      ["app", (await registry.getApp(app)).record],
      ["installation", installation],
    ] as const;
    for (const [what, { updated_at: changedAt }] of records) {
      if (changedAt === undefined || epochMsOf(changedAt) <= stored.storedAt) continue;
      return { because: "changed_later", detail: `the ${what} was changed at ${changedAt}, after the event, which it did not get` };
    }
    return null;
  };

  const explainFound = async (eventId: string, { stored, noted, letters }: FoundEvent, notes: Notes): Promise<EventOfSameId> => {
    const { wanted, notWanted } = stored?.event ? addressees(stored.event, index, noted) : { wanted: noted, notWanted: [] };
    const subjects = wanted.slice(0, MOST_DELIVERIES);
    if (wanted.length > subjects.length) notes.add(`${wanted.length} installations want it; the first ${subjects.length} are shown.`);
    if (stored === null) notes.add("The event is not in its stream any more: who else did not want it is not known.");
    if (notWanted.length > MOST_NOT_WANTED) notes.add(`${notWanted.length} installations do not want it; ${MOST_NOT_WANTED} are shown.`);

    const ids = subjects.map(({ deliveryId }) => deliveryId);
    const found = await unlessRedisIsAway(
      lookup.find(
        ids,
        subjects.map(({ app }) => app),
      ),
      [],
      notes,
    );
    const historyOf = (at: number): DeliveryHistory | null => found[at] ?? null;
    const apps = new Set(subjects.map(({ app }) => app));
    const located = await locate(
      // What nobody has taken yet is nowhere else.
      stored?.stage === "waiting" || letters.length > 0 ? [] : ids.map((id, at) => ({ id, history: historyOf(at) })),
      apps.size === 1 ? ([...apps][0] ?? null) : null,
      notes,
    );
    for (const letter of letters) located.set(letter.delivery.id, letter);
    const event = stored?.event ?? [...located.values()][0]?.delivery.event ?? null;
    const rows = (await Promise.all([...apps].map((app) => rowsOf(app, event?.type ?? null, notes)))).flat();
    const isLost = ids.some((id, at) => historyOf(at) === null && !located.has(id));
    const rest = isLost && stored?.stage === "handled" ? await streams.restOf(stored.sequence) : null;
    const deliveries: ExplainedDelivery[] = [];
    for (const [at, subject] of subjects.entries()) {
      const known = { history: historyOf(at), located: located.get(subject.deliveryId) ?? null, stored, rest, rows };
      const delivery = await explain(subject, known);
      const later = await wantedLater(delivery, stored);
      if (later === null) deliveries.push(delivery);
      else notWanted.unshift({ app: subject.app, installation_uuid: subject.installationUuid, ...later });
    }
    const traceId = deliveries.find(({ trace_id: id }) => id !== null)?.trace_id ?? null;
    const row = rows.find(({ delivery_id: id }) => ids.includes(id));
    return {
      event: explainEvent(event?.id ?? eventId, event, row, stored, traceId),
      deliveries,
      not_wanted: notWanted.slice(0, MOST_NOT_WANTED),
    };
  };

  return {
    async delivery(deliveryId) {
      const notes = createNotes();
      const [history = null] = await unlessRedisIsAway(lookup.find([deliveryId]), [], notes);
      const located = (await locate([{ id: deliveryId, history }], history?.app ?? null, notes)).get(deliveryId) ?? null;
      const known = history ?? located?.delivery;
      if (known === undefined) {
        const unknown = `nothing is known of delivery ${deliveryId} in the last 8 days; its first attempt is known when it has ended`;
        throw notFound(unknown, notes);
      }
      const { app, installationUuid, eventSequence } = known;
      const stored = eventSequence === null ? null : await events.at(eventSequence);
      const event = stored?.event ?? located?.delivery.event ?? null;
      const rows = await rowsOf(app, event?.type ?? null, notes);
      const delivery = await explain({ deliveryId, app, installationUuid }, { history, located, stored, rest: null, rows });
      const row = rows.find(({ delivery_id: id }) => id === deliveryId);
      const eventId = event?.id ?? row?.event_id;
      return {
        delivery,
        event: eventId === undefined ? null : explainEvent(eventId, event, row, stored, delivery.trace_id),
        notes: notes.list(),
      };
    },

    async event(query) {
      const notes = createNotes();
      const [newest, ...older] = await findEvents(query, notes);
      if (newest === undefined) throw new AppError("NOT_FOUND", `no event ${query.id}`);
      if (newest.stored !== null && newest.stored.event === null) {
        const rest = await streams.restOf(newest.stored.sequence);
        const letter = rest?.kind === "dead-letter" ? `, it is dead letter ${rest.sequence}` : "";
        throw new AppError("NOT_FOUND", `event ${query.id} can't be read${letter}: ${newest.stored.problem}`);
      }
      const explained = await explainFound(query.id, newest, notes);
      const others: EventOfSameId[] = [];
      for (const found of older) others.push(await explainFound(query.id, found, notes));
      return { ...explained, others, notes: notes.list() };
    },
  };
}

/** The rows of the request log, and what stream messages carry of attempts whose rows are not there any more. */
function attemptsOf(rows: readonly RequestLogRow[], summaries: LocatedDelivery["delivery"]["attempts"]): ExplainedAttempt[] {
  const attempts = new Map<string, ExplainedAttempt>();
  for (const { attempt, at, outcome, responseCode, durationMs, error } of summaries) {
    const missing = { response_body: null, webhook_url: null, trace_id: null };
    attempts.set(`${attempt} ${at}`, { attempt, at, outcome, response_code: responseCode, duration_ms: durationMs, error, ...missing });
  }
  for (const row of rows) {
    attempts.set(`${row.attempt} ${row.date}`, {
      attempt: row.attempt,
      at: row.date,
      outcome: row.outcome,
      response_code: row.response_code,
      duration_ms: row.duration_ms,
      error: row.error ?? null,
      response_body: row.response_body ?? null,
      webhook_url: row.webhook_url,
      trace_id: row.trace_id,
    });
  }
  return [...attempts.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
}

/**
 * @param event null: nothing has it any more.
 * @param traceId of its deliveries: an event that came without a trace got one when it was handled.
 */
function explainEvent(
  id: string,
  event: Event | null,
  row: RequestLogRow | undefined,
  stored: StoredEvent | null,
  traceId: string | null,
): ExplainedEvent {
  return {
    id,
    source: event?.source ?? null,
    type: event?.type ?? row?.event_type ?? null,
    organization_id: event?.organizationId ?? null,
    project_id: event?.projectId ?? null,
    app: event?.app ?? null,
    installation_uuid: event?.installationUuid ?? null,
    occurred_at: event?.occurredAt ?? null,
    stored_at: stored && toRfc3339(stored.storedAt),
    stream: stored?.stream ?? null,
    sequence: stored?.sequence ?? null,
    stage: stored?.stage ?? null,
    trace_id: parseTraceparent(event?.traceparent)?.traceId ?? traceId,
  };
}

type NotWanted = EventAnswer["not_wanted"][number];

/** @param noted who got it, whatever the registry says by now. */
function addressees(
  event: Event,
  index: RegistryIndex,
  noted: readonly NotedAddressee[],
): { wanted: readonly Subject[]; notWanted: NotWanted[] } {
  const wanted: Subject[] = [...noted];
  const notWanted: NotWanted[] = [];
  const uuids = new Set(noted.map(({ installationUuid }) => installationUuid));
  for (const installation of index.installationsOf(event.organizationId)) {
    if (uuids.has(installation.uuid)) continue;
    const app = index.app(installation.app);
    const because = app === undefined ? "no_app" : whyNotWanted(event, installation, app);
    if (because === null)
      wanted.push({ app: installation.app, installationUuid: installation.uuid, deliveryId: deliveryIdOf(event, installation.uuid) });
    else {
      const detail =
        because === "no_app" || app === undefined
          ? `app ${installation.app} is not in the registry`
          : inWords(because, event, installation, app);
      notWanted.push({ app: installation.app, installation_uuid: installation.uuid, because, detail });
    }
  }
  return { wanted, notWanted };
}

function inWords(because: NotWantedBecause, event: Event, installation: Installation, app: App): string {
  switch (because) {
    case "not_subscribed":
      return `the app subscribes to ${app.events.length === 0 ? "nothing" : app.events.join(", ")}; the event is ${event.type}`;
    case "other_project":
      return `it covers the projects ${installation.projectIds.slice(0, 10).join(", ")}; the event is of project ${event.projectId}`;
    case "other_app":
      return `the event is addressed to app ${event.app}`;
    case "other_installation":
      return `the event is addressed to installation ${event.installationUuid}`;
  }
}

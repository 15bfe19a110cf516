/**
 * Answers "what became of it?" from what the registry, the streams and Redis know (delivery-state.ts judges it). Every
 * look is bounded; what could not be looked at, or only in part, is said in `notes`.
 */
import type { App, Installation } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { deliveryId as deliveryIdOf } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import type { DeliveryTrail, LocatedDelivery, RestOfEvent, StoredEvent } from "../model/whereabouts.ts";
import { type NotWantedBecause, whyNotWanted } from "../registry/match.ts";
import type { Registry } from "../registry/registry.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import { probedAt } from "../status/integration-status.ts";
import { explainState, isTestCall } from "./delivery-state.ts";
import type { DeliveryAnswer, EventAnswer, ExplainedAttempt, ExplainedDelivery, ExplainedEvent } from "./explanation.ts";
import type { RequestLogRow, Whereabouts } from "./ports.ts";

export interface Explain {
  /** @throws AppError NOT_FOUND when nothing that was looked at knows it */
  delivery(deliveryId: string): Promise<DeliveryAnswer>;
  /** @param since where to begin looking for an event that Redis does not know, milliseconds since the epoch. @throws AppError NOT_FOUND */
  event(eventId: string, since: number | null): Promise<EventAnswer>;
}

export interface ExplainDependencies {
  readonly registry: Pick<Registry, "getInstallation">;
  readonly index: RegistryIndex;
  readonly whereabouts: Whereabouts;
  readonly clock: Clock;
}

export interface ExplainOptions {
  /** Name of the events stream. */
  readonly stream: string;
  readonly maxParkedAgeMs: number;
  readonly probeIntervalMs: number;
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
  readonly trail: DeliveryTrail | null;
  readonly located: LocatedDelivery | null;
  readonly stored: StoredEvent | null;
  readonly rest: RestOfEvent | null;
  readonly rows: readonly RequestLogRow[];
}

export function createExplain({ registry, index, whereabouts, clock }: ExplainDependencies, options: ExplainOptions): Explain {
  const { trails, events, lanes, queryRequestLog, circuitOf, holdOf } = whereabouts;

  const search = async (ids: readonly string[], app: string | null, notes: Notes): Promise<LocatedDelivery[]> => {
    if (ids.length === 0) return [];
    notes.add(`Redis does not know where all of it is: ${lanes.looksAt} were looked at.`);
    return lanes.search(new Set(ids), app);
  };

  /** Where each is; what was noted wins over what a search finds. */
  const locate = async (
    found: ReadonlyArray<{ id: string; trail: DeliveryTrail | null }>,
    app: string | null,
    notes: Notes,
  ): Promise<Map<string, LocatedDelivery>> => {
    const located = new Map<string, LocatedDelivery>();
    const missing: string[] = [];
    for (const { id, trail } of found) {
      const at = trail?.place ? await lanes.at(id, trail.place) : null;
      if (at !== null) located.set(id, at);
      else if (!trail?.delivered && !isTestCall(trail)) missing.push(id);
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

  const explain = async ({ deliveryId, app, installationUuid }: Subject, known: Known): Promise<ExplainedDelivery> => {
    const { located, rest, rows, stored, trail } = known;
    const registered = { app: index.app(app), installation: index.installation(installationUuid) };
    const hold = registered.app?.ordered && located?.lane === "parked" ? await holdOf(app) : null;
    const held = hold?.deliveryId === deliveryId ? hold.attempts : [];
    return explainState({
      deliveryId,
      app,
      installationUuid,
      registered,
      stored,
      trail,
      located,
      rest,
      attempts: attemptsOf(
        rows.filter((row) => row.delivery_id === deliveryId),
        [...(located?.delivery.attempts ?? []), ...held],
      ),
      circuit: circuitOf(app),
      hold,
      nextProbeAt: registered.installation === undefined ? null : await nextProbeAt(registered.installation),
      maxParkedAgeMs: options.maxParkedAgeMs,
      now: clock.now(),
    });
  };

  const findEvent = async (eventId: string, since: number | null, notes: Notes): Promise<StoredEvent> => {
    const place = placeIn(options.stream, eventId);
    const sequence = place ?? (await unlessRedisIsAway(trails.eventSequence(eventId), null, notes));
    const stored = sequence === null ? null : await events.at(sequence);
    if (stored !== null && (place !== null || stored.event?.id === eventId)) return stored;
    const { found, searched, from, complete } = await events.search(eventId, since);
    if (found !== null) return found;
    const looked = from === null ? "there is none in the events stream" : `${searched} events from ${toRfc3339(from)} on were looked at`;
    const hint = complete ? "" : "; ?since=<time shortly before it was published> looks elsewhere";
    throw new AppError("NOT_FOUND", [`no event ${eventId}: ${looked}${hint}`, ...notes.list()].join(". "));
  };

  const installedLater = async (delivery: ExplainedDelivery, { storedAt, stage }: StoredEvent): Promise<string | null> => {
    if (delivery.state !== "unknown" || stage !== "handled" || delivery.attempts.length > 0) return null;
    const { created_at: createdAt } = (await registry.getInstallation(delivery.installation_uuid)).record;
    return Date.parse(createdAt) > storedAt ? `it was installed at ${createdAt}, after the event` : null;
  };

  return {
    async delivery(deliveryId) {
      const notes = createNotes();
      const [trail = null] = await unlessRedisIsAway(trails.find([deliveryId]), [], notes);
      const located = (await locate([{ id: deliveryId, trail }], trail?.app ?? null, notes)).get(deliveryId) ?? null;
      const known = trail ?? located?.delivery;
      if (known === undefined) {
        throw new AppError("NOT_FOUND", [`nothing is known of delivery ${deliveryId} in the last 8 days`, ...notes.list()].join(". "));
      }
      const { app, installationUuid, eventSequence } = known;
      const stored = eventSequence === null ? null : await events.at(eventSequence);
      const event = stored?.event ?? located?.delivery.event ?? null;
      const rows = await rowsOf(app, event?.type ?? null, notes);
      const delivery = await explain({ deliveryId, app, installationUuid }, { trail, located, stored, rest: null, rows });
      return {
        delivery,
        event: event && explainEvent(event, stored, delivery.trace_id),
        notes: notes.list(),
      };
    },

    async event(eventId, since) {
      const notes = createNotes();
      const stored = await findEvent(eventId, since, notes);
      const { event } = stored;
      if (event === null) {
        const rest = await lanes.restOf(stored.sequence);
        const letter = rest?.kind === "dead-letter" ? `, it is dead letter ${rest.sequence}` : "";
        throw new AppError("NOT_FOUND", `event ${eventId} can't be read${letter}: ${stored.problem}`);
      }
      const { wanted, notWanted } = addressees(event, index);
      const subjects = wanted.slice(0, MOST_DELIVERIES).map((installation) => ({
        deliveryId: deliveryIdOf(event.id, installation.uuid),
        app: installation.app,
        installationUuid: installation.uuid,
      }));
      if (wanted.length > subjects.length) notes.add(`${wanted.length} installations want it; the first ${subjects.length} are shown.`);
      if (notWanted.length > MOST_NOT_WANTED) notes.add(`${notWanted.length} installations do not want it; ${MOST_NOT_WANTED} are shown.`);

      const ids = subjects.map(({ deliveryId }) => deliveryId);
      const found = await unlessRedisIsAway(
        trails.find(
          ids,
          subjects.map(({ app }) => app),
        ),
        [],
        notes,
      );
      const trailOf = (at: number): DeliveryTrail | null => found[at] ?? null;
      const apps = new Set(subjects.map(({ app }) => app));
      const located = await locate(
        // What nobody has taken yet is nowhere else.
        stored.stage === "waiting" ? [] : ids.map((id, at) => ({ id, trail: trailOf(at) })),
        apps.size === 1 ? ([...apps][0] ?? null) : null,
        notes,
      );
      const rows = (await Promise.all([...apps].map((app) => rowsOf(app, event.type, notes)))).flat();
      const isLost = ids.some((id, at) => trailOf(at) === null && !located.has(id));
      const rest = isLost && stored.stage === "handled" ? await lanes.restOf(stored.sequence) : null;
      const deliveries: ExplainedDelivery[] = [];
      for (const [at, subject] of subjects.entries()) {
        const known = { trail: trailOf(at), located: located.get(subject.deliveryId) ?? null, stored, rest, rows };
        const delivery = await explain(subject, known);
        const detail = await installedLater(delivery, stored);
        if (detail === null) deliveries.push(delivery);
        else notWanted.unshift({ app: subject.app, installation_uuid: subject.installationUuid, because: "installed_later", detail });
      }
      const traceId = deliveries.find(({ trace_id: id }) => id !== null)?.trace_id ?? null;
      return {
        event: explainEvent(event, stored, traceId),
        deliveries,
        not_wanted: notWanted.slice(0, MOST_NOT_WANTED),
        notes: notes.list(),
      };
    },
  };
}

interface Notes {
  add(note: string): void;
  list(): string[];
}

function createNotes(): Notes {
  const notes = new Set<string>();
  return { add: (note) => void notes.add(note), list: () => [...notes] };
}

async function unlessRedisIsAway<T>(reading: Promise<T>, otherwise: T, notes: Notes): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "REDIS_UNREACHABLE") throw error;
    notes.add("Redis is away: the request log and what it knows of deliveries are missing here.");
    return otherwise;
  }
}

/** The rows of the request log, and what lane messages carry of attempts whose rows are not there any more. */
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

/** @param traceId of its deliveries: an event that came without a trace got one when it was handled. */
function explainEvent(event: Event, stored: StoredEvent | null, traceId: string | null): ExplainedEvent {
  return {
    id: event.id,
    type: event.type,
    organization_id: event.organizationId,
    project_id: event.projectId,
    app: event.app,
    installation_uuid: event.installationUuid,
    occurred_at: event.occurredAt,
    stored_at: stored && toRfc3339(stored.storedAt),
    stream: stored?.stream ?? null,
    sequence: stored?.sequence ?? null,
    stage: stored?.stage ?? null,
    trace_id: parseTraceparent(event.traceparent)?.traceId ?? traceId,
  };
}

/** The id of an event that brought none is `<stream>:<sequence>`. */
function placeIn(stream: string, eventId: string): number | null {
  const sequence = eventId.startsWith(`${stream}:`) ? eventId.slice(stream.length + 1) : "";
  return /^[1-9]\d{0,14}$/.test(sequence) ? Number(sequence) : null;
}

type NotWanted = EventAnswer["not_wanted"][number];

function addressees(event: Event, index: RegistryIndex): { wanted: Installation[]; notWanted: NotWanted[] } {
  const wanted: Installation[] = [];
  const notWanted: NotWanted[] = [];
  for (const installation of index.installationsOf(event.organizationId)) {
    const app = index.app(installation.app);
    const because = app === undefined ? "no_app" : whyNotWanted(event, installation, app);
    if (because === null) wanted.push(installation);
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

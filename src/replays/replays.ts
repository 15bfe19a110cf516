/** Replays as people have them: created, shown, listed, paused, resumed and cancelled, on any replica. */
import type { App, Installation } from "../model/app.ts";
import { AppError } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { ReplayKind, ReplayState } from "../model/replay.ts";
import type { ReplayLookup } from "../storage/replay-lookup.ts";
import { endOfReplay } from "./end-of-replay.ts";
import { hasEnded, type ReplayRecord, type ReplaySpan } from "./replay-record.ts";
import type { ReplayStore } from "./replay-store.ts";

export interface ReplayRequest {
  /** Null: the installation's. */
  readonly app: string | null;
  /** Null: all of the app. */
  readonly installationUuid: string | null;
  /** Patterns; null: all. */
  readonly eventTypes: readonly string[] | null;
  /** Milliseconds since the epoch; null: from the oldest event, or until now. */
  readonly from: number | null;
  readonly to: number | null;
  readonly what: ReplayKind;
  readonly ratePerS: number;
  readonly dryRun: boolean;
}

/** A replay as the API shows it. */
export type ReplayView = ReturnType<typeof viewOf>;

export interface ReplayFilter {
  /** Null: all apps. */
  readonly app: string | null;
  readonly state: ReplayState | null;
  readonly viewer: ReplayViewer;
}

/** The app or organization whose replays the caller may see; an organization's are those for one of its installations. */
export interface ReplayViewer {
  /** Null: all. */
  readonly onlyApp: string | null;
  readonly onlyOrganization: string | null;
}

/** @throws AppError NATS_UNREACHABLE, REDIS_UNREACHABLE */
export interface Replays {
  /** @throws AppError NOT_FOUND, CONFLICT when too many run. */
  create(request: ReplayRequest): Promise<ReplayView>;
  /** Waits for its end for at most `ms`. */
  endOf(id: string, ms: number): Promise<ReplayView>;
  /** @throws AppError NOT_FOUND */
  get(id: string, viewer: ReplayViewer): Promise<ReplayView>;
  /** In no particular order. */
  all(filter: ReplayFilter): ReplayRecord[];
  view(replay: ReplayRecord): Promise<ReplayView>;
  /** @throws AppError NOT_FOUND, CONFLICT when it has ended */
  change(id: string, to: "paused" | "running" | "cancelled", viewer: ReplayViewer): Promise<ReplayView>;
}

export interface ReplaysDependencies {
  readonly store: ReplayStore;
  readonly lookup: Pick<ReplayLookup, "outcomeOf">;
  readonly registry: { app(slug: string): App | undefined; installation(uuid: string): Installation | undefined };
  /** The events that were published in a time, and all dead letters. */
  readonly spans: {
    events(from: number | null, to: number): Promise<ReplaySpan>;
    deadLetters(): Promise<ReplaySpan>;
  };
  /** 32 hex digits. */
  readonly newId: () => string;
  readonly clock: Clock;
}

/** Replays of one app that have not ended. */
const MAX_PER_APP = 10;

export function createReplays({ store, lookup, registry, spans, newId, clock }: ReplaysDependencies): Replays {
  const view = async (record: ReplayRecord): Promise<ReplayView> => {
    const isKnown = record.outcome !== null || record.dry_run;
    return viewOf(record, isKnown ? (record.outcome ?? NONE) : await lookup.outcomeOf(record.app, record.id));
  };

  const appOf = ({ app: slug, installationUuid }: ReplayRequest): App => {
    const installation = installationUuid === null ? undefined : registry.installation(installationUuid);
    const app = registry.app(slug ?? installation?.app ?? "");
    if (installationUuid !== null && (installation === undefined || (slug !== null && installation.app !== slug)))
      throw new AppError("NOT_FOUND", `no installation ${installationUuid}${slug === null ? "" : ` of app ${slug}`}`);
    if (app === undefined) throw new AppError("NOT_FOUND", `no app ${slug}`);
    return app;
  };

  const read = async (id: string, viewer: ReplayViewer): Promise<ReplayRecord> => {
    const record = await store.read(id);
    if (record === null || !isOf(record, viewer)) throw new AppError("NOT_FOUND", `no replay ${id}`);
    return record;
  };

  /** A replay of an earlier app of the same slug is not for the app's token. */
  const isOf = ({ app, app_created_at, installation_uuid: uuid }: ReplayRecord, { onlyApp, onlyOrganization }: ReplayViewer): boolean => {
    if (onlyOrganization !== null && (uuid === null || registry.installation(uuid)?.organizationId !== onlyOrganization)) return false;
    return onlyApp === null || (app === onlyApp && registry.app(app)?.createdAt === app_created_at);
  };

  return {
    async create(request) {
      const app = appOf(request);
      const active = [...store.all()].filter((record) => record.app === app.slug && !hasEnded(record));
      if (active.length >= MAX_PER_APP)
        throw new AppError("CONFLICT", `app ${app.slug} has ${active.length} replays that have not ended; cancel one or wait for its end`);
      const { from, what } = request;
      const now = clock.now();
      const to = Math.min(request.to ?? now, now);
      const [events, deadLetters] = await Promise.all([
        what === "failed" ? null : spans.events(from, to),
        what === "missed" ? null : spans.deadLetters(),
      ]);
      const record: ReplayRecord = {
        id: `rpl_${newId()}`,
        app: app.slug,
        app_created_at: app.createdAt,
        installation_uuid: request.installationUuid,
        event_types: request.eventTypes === null ? null : [...request.eventTypes],
        from,
        to: request.to ?? now,
        what,
        rate_per_s: request.ratePerS,
        dry_run: request.dryRun,
        state: "running",
        waiting_for: null,
        error: null,
        created_at: now,
        updated_at: now,
        ended_at: null,
        runner: null,
        events,
        dead_letters: deadLetters,
        counts: { failed: 0, missed: 0, delivered: 0, sent: 0, skipped: 0 },
        outcome: null,
      };
      await store.create(record);
      return viewOf(record, NONE);
    },

    async endOf(id, ms) {
      await endOfReplay(store, id, ms, clock);
      return view(await read(id, ANYBODY));
    },

    get: async (id, viewer) => view(await read(id, viewer)),

    all: ({ app, state, viewer }) =>
      [...store.all()].filter(
        (record) => isOf(record, viewer) && (app === null || record.app === app) && (state === null || record.state === state),
      ),
    view,

    async change(id, to, viewer) {
      await read(id, viewer);
      const changed = await store.update(id, (record) => {
        if (record.state === to) return record;
        if (hasEnded(record)) throw new AppError("CONFLICT", `replay ${id} has ended: it is ${record.state}`);
        const now = clock.now();
        return { ...record, state: to, waiting_for: null, updated_at: now, ended_at: to === "cancelled" ? now : null };
      });
      return view(changed);
    },
  };
}

const ANYBODY: ReplayViewer = { onlyApp: null, onlyOrganization: null };
const NONE = { done: 0, failed: 0 };

function viewOf(record: ReplayRecord, { done, failed }: { readonly done: number; readonly failed: number }) {
  const { counts, id, app, what, state, error } = record;
  const byKind = { failed: counts.failed, missed: counts.missed, delivered: counts.delivered };
  // The record is written every second, the outcomes at once.
  const sent = Math.max(counts.sent, done + failed);
  return {
    id,
    app,
    installation_uuid: record.installation_uuid,
    event_types: record.event_types,
    from: record.from === null ? null : toRfc3339(record.from),
    to: toRfc3339(record.to),
    what,
    rate_per_s: record.rate_per_s,
    dry_run: record.dry_run,
    state,
    waiting_for: record.waiting_for,
    error,
    created_at: toRfc3339(record.created_at),
    updated_at: toRfc3339(record.updated_at),
    ended_at: record.ended_at === null ? null : toRfc3339(record.ended_at),
    percent: state === "done" ? 100 : percentOf(record),
    found: Math.max(byKind.failed + byKind.missed + byKind.delivered, sent + counts.skipped),
    found_by_kind: byKind,
    sent,
    done,
    skipped: counts.skipped,
    failed,
  };
}

/** How much of the streams was read. */
function percentOf({ events, dead_letters: deadLetters }: ReplayRecord): number {
  const spans = [events, deadLetters].filter((span) => span !== null);
  const total = spans.reduce((sum, { first, last }) => sum + Math.max(0, last - first + 1), 0);
  const read = spans.reduce((sum, { first, next }) => sum + Math.max(0, next - first), 0);
  return total === 0 ? 100 : Math.floor(Math.min(1, read / total) * 100);
}

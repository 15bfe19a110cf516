/**
 * All apps at a glance: their records, circuits, health, parked deliveries, dead letters, and attempts of the last 24 hours.
 * Values that can't be read now are null and listed as a problem; they are never shown as zero. Each look fails by itself. Where null may
 * also mean that there is nothing, the app's `unknown` names what is not known.
 */

import type { SubjectCounts } from "../jetstream/subject-counts.ts";
import { type App, mayStopKeys } from "../model/app.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { type AppStops, keyStopView } from "../model/key-stop.ts";
import type { RecentAttempts } from "../model/recent-attempts.ts";
import { redactedUrl } from "../model/redaction/redacted-url.ts";
import type { Volume } from "../model/stats.ts";
import type { Throttle } from "../model/throttle.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import { appHealthView } from "./app-health-view.ts";
import { createRecentOfApps, type ReadRecentOfApps } from "./recent-of-apps.ts";
import { lastHours, type ReadVolumes } from "./volumes.ts";
import { type WaitingApp, type WaitingDependencies, waitingOf } from "./waiting-of-apps.ts";

export interface OverviewProblem {
  readonly code: string;
  readonly detail: string;
  /** Members that are null because of it. */
  readonly missing: readonly string[];
}

export interface Overview {
  /** The members other than the apps. */
  readonly head: {
    readonly at: string;
    /** Start of the first of the 24 hours. */
    readonly hours_from: string;
    /** Dead letters that belong to no app. */
    readonly unreadable: number | null;
    readonly problems: readonly OverviewProblem[];
  };
  /** Slug → the app's JSON text, sorted by slug. */
  readonly apps: ReadonlyMap<string, string>;
  readonly subjectCounts: SubjectCounts | null;
  /** App → its recent attempts; null: Redis does not answer. */
  readonly recent: ReadonlyMap<string, RecentAttempts> | null;
}

/** Never rejects. */
export type ReadOverview = () => Promise<Overview>;

export interface ReadOverviewDependencies {
  readonly index: RegistryIndex;
  readonly circuitOf: (app: string) => CircuitState;
  /** Null: the app is not throttled. */
  readonly throttleOf: (app: string) => Throttle | null;
  /** The apps with stopped order keys, and null for an app of which it is not known; null: the owner of the queues does not answer. */
  readonly keyStops: () => Promise<ReadonlyMap<string, AppStops | null> | null>;
  /** When the app began to fail; null: it is healthy. */
  readonly failingSince: (app: string) => number | null;
  /** @throws AppError REDIS_UNREACHABLE */
  readonly recentAttempts: (app: string) => Promise<RecentAttempts>;
  readonly volumes: ReadVolumes;
  readonly subjectCounts: () => Promise<SubjectCounts>;
  /** NATS is connected. */
  readonly isBusUp: () => boolean;
  readonly paceOf: WaitingDependencies["paceOf"];
  readonly maxInFlightOf: WaitingDependencies["maxInFlightOf"];
  readonly oldestInAppQueue: WaitingDependencies["oldestInAppQueue"];
  readonly clock: Clock;
}

/** How long counts from Redis and NATS are reused. The registry is always read. */
const FRESH_MS = 1_000;
const BUS_TIMEOUT_MS = 2_000;
export const OWNER_SILENT = new Error("the replica that owns the queues does not answer, or not about every app yet");

export function createReadOverview(dependencies: ReadOverviewDependencies): ReadOverview {
  const { index, clock } = dependencies;
  const recentOfApps = createRecentOfApps(dependencies.recentAttempts);
  let counts: Promise<Counts> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let readFor: ReadonlySet<string> = new Set();

  return async () => {
    const apps = [...index.apps()].sort((a, b) => (a.slug < b.slug ? -1 : 1));
    if (counts === undefined || clock.now() - readAt >= FRESH_MS || apps.some(({ slug }) => !readFor.has(slug))) {
      readAt = clock.now();
      readFor = new Set(apps.map(({ slug }) => slug));
      counts = readCounts({ ...dependencies, recentOfApps }, apps, readAt);
    }
    return compose(dependencies, apps, await counts);
  };
}

/** The overview's JSON text, of all apps or of one. */
export function overviewJson({ head, apps }: Overview, app: string | null): string {
  const items = app === null ? [...apps.values()] : [apps.get(app)].filter((item) => item !== undefined);
  return overviewText(head, app, items);
}

/** The text of one app's overview for its own token, with the dead letters of the app as it is now. @param count null: not known */
export function withOwnDeadLetters(text: string, count: number | null): string {
  // Quotes within texts are escaped, so this is the member.
  return text.replace(/"dead_letters":(?:\d+|null)/, `"dead_letters":${count}`);
}

/** Members that belong to no app are omitted from the overview of one app. */
export function overviewText(head: Overview["head"], app: string | null, items: readonly string[], more: object = {}): string {
  const { unreadable, ...shared } = head;
  const members = { ...shared, ...(app === null ? { unreadable } : {}), ...more };
  return `{"items":[${items.join(",")}],${JSON.stringify(members).slice(1)}`;
}

/** Counts from Redis and NATS; null: no answer. */
interface Counts {
  readonly at: number;
  readonly hours: readonly number[];
  readonly volumes: ReadonlyMap<string, readonly Volume[]> | null;
  readonly recent: ReadonlyMap<string, RecentAttempts> | null;
  readonly streams: SubjectCounts | null;
  readonly stops: ReadonlyMap<string, AppStops | null> | null;
  readonly waiting: ReadonlyMap<string, WaitingApp | null> | null;
  readonly problems: readonly OverviewProblem[];
}

const VOLUMES = ["attempts", "delivered"];

const RECENT = ["health.attempts", "health.failures", "health.by_code", "health.blocked", "health.sender_failed", "health.last_success_at"];

const COUNTS = ["parked", "parked_in_app_queue", "dead_letters", "unreadable"];

async function readCounts(
  dependencies: ReadOverviewDependencies & { readonly recentOfApps: ReadRecentOfApps },
  apps: readonly App[],
  at: number,
): Promise<Counts> {
  const { recentOfApps, keyStops, isBusUp, circuitOf, throttleOf, oldestInAppQueue, clock } = dependencies;
  const { problems, add, unless } = createProblems();
  const hours = lastHours(at);
  const slugs = apps.map(({ slug }) => slug);
  const volumes = dependencies.volumes(slugs, hours);
  const recent = volumes.then((ofApps) => recentOfApps(apps, ofApps, hours.at(-1) ?? at));

  const { inTime, end } = createDeadline(clock);
  const fromNats = <T>(read: () => Promise<T>): Promise<T> => (isBusUp() ? inTime(read()) : Promise.reject(busUnreachable()));
  const counts = fromNats(dependencies.subjectCounts);
  const isHeldBack = (app: string): boolean => throttleOf(app) !== null || circuitOf(app).state !== "closed";
  const waiting = counts.then(({ parkedInAppQueue }) =>
    waitingOf(apps, parkedInAppQueue, at, {
      ...{ ...dependencies, isHeldBack, oldestInAppQueue: (app: App) => inTime(oldestInAppQueue(app)) },
      onUnknown: (error) => add(error, ["waiting"]),
    }),
  );
  const stops = async () => {
    const found = await keyStops();
    if (found === null || apps.some((app) => mayStopKeys(app) && found.get(app.slug) === null)) add(OWNER_SILENT, ["stopped"]);
    return found;
  };
  const read = await Promise.all([
    unless(volumes, VOLUMES),
    unless(recent, RECENT),
    unless(counts, COUNTS),
    unless(waiting, ["waiting"]),
    apps.some(mayStopKeys) ? unless(isBusUp() ? stops() : Promise.reject(busUnreachable()), ["stopped"]) : new Map(),
  ]);
  end();
  return { at, hours, volumes: read[0], recent: read[1], streams: read[2], waiting: read[3], stops: read[4], problems };
}

/** A source that fails several looks in the same way is one problem. */
function createProblems() {
  const problems: Array<OverviewProblem & { missing: string[] }> = [];
  const add = (error: unknown, missing: readonly string[]): void => {
    const [code, detail] = [error instanceof AppError ? error.code : "UNKNOWN", messageOf(error)];
    const known = problems.find((problem) => problem.code === code && problem.detail === detail);
    if (known === undefined) problems.push({ code, detail, missing: [...missing] });
    else known.missing = [...new Set([...known.missing, ...missing])];
  };
  const unless = <T>(reading: Promise<T>, missing: readonly string[]): Promise<T | null> =>
    reading.catch((error: unknown) => {
      add(error, missing);
      return null;
    });
  return { problems, add, unless };
}

function compose({ index, circuitOf, throttleOf, failingSince }: ReadOverviewDependencies, apps: readonly App[], counts: Counts): Overview {
  const { at, hours, volumes, recent, streams, stops, waiting, problems } = counts;
  const installations = new Map(apps.map(({ slug }) => [slug, { active: 0, broken: 0, disabled: 0 }]));
  for (const { app, status } of index.installations()) {
    const byStatus = installations.get(app);
    if (byStatus !== undefined) byStatus[status]++;
  }
  const json = apps.map((app) => {
    const { slug, name, status, webhookUrl } = app;
    const ofApp = mayStopKeys(app) ? stops : new Map<string, null>();
    const stopped = ofApp === null ? null : ofApp.get(slug);
    const waits = waiting === null ? null : waiting.get(slug);
    const circuit = circuitOf(slug);
    const throttle = throttleOf(slug);
    const volume = volumes?.get(slug);
    return JSON.stringify({
      slug,
      name,
      status,
      webhook_url: redactedUrl(webhookUrl),
      installations: installations.get(slug),
      circuit: { state: circuit.state, open_until: circuit.state === "closed" ? null : toRfc3339(circuit.openUntil) },
      throttled: throttle && { until: toRfc3339(throttle.until), response_code: throttle.responseCode },
      stopped: stopsView(stopped),
      waiting: waitingView(waits),
      unknown: [...(stopped === null ? ["stopped"] : []), ...(waits === null ? ["waiting"] : [])],
      health: appHealthView(failingSince(slug), recent && (recent.get(slug) ?? null)),
      parked: streams && (streams.parked.get(slug) ?? 0),
      parked_in_app_queue: streams && (streams.parkedInAppQueue.get(slug) ?? 0),
      dead_letters: streams && (streams.deadLetters.get(slug) ?? 0),
      attempts: volume?.map(({ attempts }) => attempts) ?? null,
      delivered: volume?.map(({ delivered }) => delivered) ?? null,
    });
  });
  return {
    head: { at: toRfc3339(at), hours_from: toRfc3339(hours[0] ?? at), unreadable: streams?.unreadable ?? null, problems },
    apps: new Map(apps.map(({ slug }, position) => [slug, json[position] ?? ""])),
    subjectCounts: streams,
    recent,
  };
}

/** Undefined: none; null: not known. */
function stopsView(stops: AppStops | null | undefined): object | null {
  return stops == null ? null : { keys: stops.keys, oldest: keyStopView(stops.oldest) };
}

function waitingView(waiting: WaitingApp | null | undefined) {
  if (waiting == null) return null;
  const { since, because, perS, atOnce } = waiting;
  return { since: toRfc3339(since), because, per_s: perS === null ? null : Math.round(perS * 10) / 10, at_once: atOnce };
}

function busUnreachable(): AppError {
  return new AppError("NATS_UNREACHABLE", "NATS is unreachable", { retryable: true });
}

/** One for several looks. */
function createDeadline(clock: Clock) {
  const { promise: late, reject } = Promise.withResolvers<never>();
  late.catch(() => {});
  const end = clock.after(BUS_TIMEOUT_MS, () => reject(new Error("NATS answers slowly")));
  return { end, inTime: <T>(reading: Promise<T>): Promise<T> => Promise.race([reading, late]) };
}

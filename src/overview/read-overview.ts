/**
 * All apps at a glance: what the registry says of them, their circuits, what waits and what was given up, and their
 * attempts of the last 24 hours. What can't be read now is null and named as a problem: it is never shown as zero.
 */

import type { App } from "../model/app.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { CircuitState } from "../model/circuit-state.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { redactedUrl } from "../model/redaction/redacted-url.ts";
import type { Volume } from "../model/stats.ts";
import type { RegistryIndex } from "../registry/registry-index.ts";
import type { SubjectCounts } from "./ports.ts";
import { lastHours, type ReadVolumes } from "./volumes.ts";

export interface OverviewProblem {
  readonly code: string;
  readonly detail: string;
  /** The members that are null because of it. */
  readonly missing: readonly string[];
}

export interface Overview {
  /** Members beside the apps. */
  readonly head: {
    readonly at: string;
    /** The beginning of the first of the 24 hours. */
    readonly hours_from: string;
    /** Dead letters that belong to no app. */
    readonly unreadable: number | null;
    readonly problems: readonly OverviewProblem[];
  };
  /** Slug → the app's JSON text, by slug. */
  readonly apps: ReadonlyMap<string, string>;
  readonly subjectCounts: SubjectCounts | null;
}

/** Never rejects. */
export type ReadOverview = () => Promise<Overview>;

export interface ReadOverviewDependencies {
  readonly index: RegistryIndex;
  readonly circuitOf: (app: string) => CircuitState;
  readonly volumes: ReadVolumes;
  readonly subjectCounts: () => Promise<SubjectCounts>;
  /** Whether asking NATS makes sense now. */
  readonly isBusUp: () => boolean;
  readonly clock: Clock;
}

/** What Redis and NATS have said is not asked for again so soon; what the registry says is always as it is. */
const FRESH_MS = 1_000;
const BUS_TIMEOUT_MS = 2_000;

export function createReadOverview(dependencies: ReadOverviewDependencies): ReadOverview {
  const { index, clock } = dependencies;
  let figures: Promise<Figures> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let readFor: ReadonlySet<string> = new Set();

  return async () => {
    const apps = [...index.apps()].sort((a, b) => (a.slug < b.slug ? -1 : 1));
    if (figures === undefined || clock.now() - readAt >= FRESH_MS || apps.some(({ slug }) => !readFor.has(slug))) {
      readAt = clock.now();
      readFor = new Set(apps.map(({ slug }) => slug));
      figures = readFigures(dependencies, [...readFor], readAt);
    }
    return compose(dependencies, apps, await figures);
  };
}

/** The overview's JSON text, of all apps or of one. */
export function overviewJson({ head, apps }: Overview, app: string | null): string {
  const items = app === null ? [...apps.values()] : [apps.get(app)].filter((item) => item !== undefined);
  return overviewText(head, app, items);
}

/** The text of one app's overview for its token: with the dead letters of the app as it is now. @param count null: not known */
export function withOwnDeadLetters(text: string, count: number | null): string {
  // Quotes within texts are escaped: it can only be the member.
  return text.replace(/"dead_letters":(?:\d+|null)/, `"dead_letters":${count}`);
}

/** What belongs to no app is nothing for those who may see one. */
export function overviewText(head: Overview["head"], app: string | null, items: readonly string[], more: object = {}): string {
  const { unreadable, ...shared } = head;
  const members = { ...shared, ...(app === null ? { unreadable } : {}), ...more };
  return `{"items":[${items.join(",")}],${JSON.stringify(members).slice(1)}`;
}

/** What is asked for elsewhere; null where there was no answer. */
interface Figures {
  readonly at: number;
  readonly hours: readonly number[];
  readonly volumes: ReadonlyMap<string, readonly Volume[]> | null;
  readonly streams: SubjectCounts | null;
  readonly problems: readonly OverviewProblem[];
}

async function readFigures(
  { volumes, subjectCounts, isBusUp, clock }: ReadOverviewDependencies,
  slugs: readonly string[],
  at: number,
): Promise<Figures> {
  const problems: OverviewProblem[] = [];
  const unless = <T>(reading: Promise<T>, missing: readonly string[]): Promise<T | null> =>
    reading.catch((error: unknown) => {
      problems.push({ code: error instanceof AppError ? error.code : "UNKNOWN", detail: messageOf(error), missing });
      return null;
    });
  const hours = lastHours(at);
  const [foundVolumes, streams] = await Promise.all([
    unless(volumes(slugs, hours), ["attempts", "delivered"]),
    unless(isBusUp() ? inTime(subjectCounts(), clock) : Promise.reject(busIsAway()), [
      "parked",
      "parked_in_app_queue",
      "dead_letters",
      "unreadable",
    ]),
  ]);
  return { at, hours, volumes: foundVolumes, streams, problems };
}

function compose({ index, circuitOf }: ReadOverviewDependencies, apps: readonly App[], figures: Figures): Overview {
  const { at, hours, volumes, streams, problems } = figures;
  const installations = new Map(apps.map(({ slug }) => [slug, { active: 0, broken: 0, disabled: 0 }]));
  for (const { app, status } of index.installations()) {
    const counts = installations.get(app);
    if (counts !== undefined) counts[status]++;
  }
  const json = apps.map(({ slug, name, status, webhookUrl }) => {
    const circuit = circuitOf(slug);
    const volume = volumes?.get(slug);
    return JSON.stringify({
      slug,
      name,
      status,
      webhook_url: redactedUrl(webhookUrl),
      installations: installations.get(slug),
      circuit: { state: circuit.state, open_until: circuit.state === "closed" ? null : toRfc3339(circuit.openUntil) },
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
  };
}

function busIsAway(): AppError {
  return new AppError("NATS_UNREACHABLE", "NATS is away", { retryable: true });
}

function inTime<T>(reading: Promise<T>, clock: Clock): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(BUS_TIMEOUT_MS, () => reject(busIsAway()));
  return Promise.race([reading, promise]).finally(cancel);
}

/** The metrics that are read when somebody asks, and where each comes from. */
import type { InstallationStatus } from "../model/app.ts";
/** Metrics that are read at the time of a scrape or export, and their sources. */
import { OTHER_APPS, type StreamMetrics } from "../model/stream-metrics.ts";
import type { Metrics, Reading } from "./metrics.ts";

/** Ages are in milliseconds. */
export interface MetricSources {
  readonly version: string;
  readonly inFlight: () => number;
  readonly waiting: () => number;
  readonly held: () => Readonly<Record<"events" | "retries" | "parked", number>>;
  readonly acksUnconfirmed: () => number;
  readonly stores: () => { readonly pending: number; readonly pendingBytes: number; readonly waiting: number };
  /** 1 for a stream with a message that could not be stored. */
  readonly refusing: () => Readonly<Record<"retries" | "parked" | "dead-letters" | "status", number>>;
  readonly parkedQueues: () => number;
  readonly streams: () => StreamMetrics;
  readonly circuits: () => Readonly<Record<"open" | "half_open", number>>;
  /** Failing apps → their attempts of the last 15 minutes. */
  readonly failingApps: () => ReadonlyMap<string, number>;
  readonly throttledApps: () => number;
  readonly integrations: () => Readonly<Record<InstallationStatus, number>>;
  readonly registry: () => { readonly apps: number; readonly installations: number };
  readonly isRegistryCurrent: () => boolean;
  readonly invalidRecords: () => number;
  readonly logBuffered: () => number;
  readonly logNotesBuffered: () => number;
  readonly logDropped: () => number;
  readonly logRefused: () => number;
  readonly destinations: () => number;
  readonly isReady: () => boolean;
  readonly clockSkewMs: () => number;
  /** The names are the values of the metric's label. */
  readonly dependenciesUp: () => Readonly<Record<string, boolean>>;
}

export function readMetrics({ read }: Metrics, sources: MetricSources): void {
  const ofStreams = (name: Parameters<typeof read>[0], select: (streams: StreamMetrics) => Reading): void =>
    read(name, () => select(sources.streams()));

  read("posthorn_build_info", () => ({ [sources.version]: 1 }));
  read("posthorn_in_flight", sources.inFlight);
  read("posthorn_waiting", sources.waiting);
  read("posthorn_messages_in_hand", sources.held);
  read("posthorn_acks_unconfirmed", sources.acksUnconfirmed);
  read("posthorn_publishes_pending", () => sources.stores().pending);
  read("posthorn_publishes_pending_bytes", () => sources.stores().pendingBytes);
  read("posthorn_publishes_waiting", () => sources.stores().waiting);
  read("posthorn_stream_refusing", sources.refusing);
  read("posthorn_parked_queues", sources.parkedQueues);
  ofStreams("posthorn_stream_messages", ({ messages }) => messages);
  ofStreams("posthorn_stream_oldest_age_seconds", ({ oldestAgeMs }) => inSeconds(oldestAgeMs));
  ofStreams("posthorn_retries_messages", ({ retriesByTier }) => retriesByTier);
  ofStreams("posthorn_retries_late_seconds", ({ retriesLateMs }) => retriesLateMs / 1000);
  ofStreams("posthorn_parked_messages", ({ parkedByApp }) => ({ [OTHER_APPS]: 0, ...parkedByApp }));
  ofStreams("posthorn_parked_oldest_age_seconds", ({ parkedOldestAgeMs }) => inSeconds(parkedOldestAgeMs));
  ofStreams("posthorn_events_pending", ({ eventsPending }) => eventsPending);
  ofStreams("posthorn_events_ack_pending", ({ eventsAckPending }) => eventsAckPending);
  ofStreams("posthorn_events_oldest_unacked_age_seconds", ({ oldestUnackedAgeMs }) => oldestUnackedAgeMs / 1000);
  ofStreams("posthorn_events_overdue", ({ isOverdue }) => Number(isOverdue));
  read("posthorn_clock_skew_seconds", () => sources.clockSkewMs() / 1000);
  read("posthorn_circuits", sources.circuits);
  read("posthorn_app_failing", () => busiest(sources.failingApps()));
  read("posthorn_throttled_apps", sources.throttledApps);
  read("posthorn_integrations", sources.integrations);
  read("posthorn_registry_apps", () => sources.registry().apps);
  read("posthorn_registry_installations", () => sources.registry().installations);
  read("posthorn_registry_invalid_records", sources.invalidRecords);
  read("posthorn_registry_current", () => Number(sources.isRegistryCurrent()));
  read("posthorn_log_buffered", sources.logBuffered);
  read("posthorn_log_notes_buffered", sources.logNotesBuffered);
  read("posthorn_log_dropped_total", sources.logDropped);
  read("posthorn_log_refused_total", sources.logRefused);
  read("posthorn_destinations", sources.destinations);
  read("posthorn_ready", () => Number(sources.isReady()));
  read("posthorn_dependency_up", () => {
    return Object.fromEntries(Object.entries(sources.dependenciesUp()).map(([name, isUp]) => [name, Number(isUp)]));
  });
}

const APPS_NAMED = 20;

/** 1 for each of the apps with the most attempts, and the number of the others. */
function busiest(attemptsOf: ReadonlyMap<string, number>): Record<string, number> {
  const apps = [...attemptsOf].sort(([a, attempts], [b, otherAttempts]) => otherAttempts - attempts || (a < b ? -1 : 1));
  const named = apps.slice(0, APPS_NAMED).map(([app]) => [app, 1] as const);
  return { [OTHER_APPS]: apps.length - named.length, ...Object.fromEntries(named) };
}

function inSeconds(milliseconds: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(milliseconds).map(([label, ms]) => [label, ms / 1000]));
}

/** Posthorn itself at a glance: what waits, the streams, the replicas, what it depends on, and the busiest apps now. */
import type { Replicas } from "../jetstream/replicas.ts";
import type { StreamMetricsReader } from "../jetstream/stream-metrics.ts";
import type { ReadStreamStates, StreamState } from "../jetstream/stream-states.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { ConnectedServer } from "../model/connected-server.ts";
import { type RecentAttempts, totalsOf } from "../model/recent-attempts.ts";
import type { Replica } from "../model/replica.ts";
import type { Overview, ReadOverview } from "./read-overview.ts";

const MINUTE_MS = 60_000;
/** "Now": these minutes, the current one included. */
const BUSY_MINUTES = 5;
const BUSIEST = 10;

export interface ReadSystemDependencies {
  readonly readOverview: ReadOverview;
  readonly readStreams: ReadStreamStates;
  readonly replicas: Pick<Replicas, "all">;
  /** NATS and Redis. */
  readonly readServers: () => Promise<readonly ConnectedServer[]>;
  readonly streamMetrics: Pick<StreamMetricsReader, "latest">;
  /** The streams that refuse messages now. */
  readonly refusing: () => readonly string[];
  readonly checks: () => Readonly<Record<string, { readonly ok: boolean; readonly required: boolean; readonly detail: string }>>;
  readonly clock: Clock;
}

/** Never rejects: null members can't be read now. */
export type ReadSystem = () => Promise<object>;

export function createReadSystem(dependencies: ReadSystemDependencies): ReadSystem {
  const { readOverview, readStreams, readServers, replicas, streamMetrics, refusing, checks, clock } = dependencies;
  return async () => {
    const [overview, streams, servers] = await Promise.all([readOverview(), readStreams().catch(() => null), readServers()]);
    const now = clock.now();
    const all = replicas.all();
    const { eventsPending, eventsAckPending, oldestUnackedAgeMs } = streamMetrics.latest();
    const loads = all.map(({ load }) => load);
    return {
      at: toRfc3339(now),
      events: streams && {
        pending: eventsPending,
        ack_pending: eventsAckPending,
        oldest_unacked_age_s: Math.round(oldestUnackedAgeMs / 1000),
      },
      in_flight: sumOf(loads.map((load) => load?.inFlight ?? 0)),
      waiting: sumOf(loads.map((load) => load?.waiting ?? 0)),
      streams: streams?.map((stream) => streamView(stream, refusing())) ?? null,
      checks: checks(),
      servers: servers.map(serverView),
      replicas: all.map((replica, index) => replicaView(replica, index === 0)),
      busiest_apps: overview.recent && busiest(overview.recent, overview, now),
    };
  };
}

function streamView({ purpose, name, messages, bytes, replicas, ...of }: StreamState, refusing: readonly string[]) {
  return {
    ...{ purpose, name, messages, bytes },
    max_messages: of.maxMessages,
    max_bytes: of.maxBytes,
    max_age_s: of.maxAgeMs && Math.round(of.maxAgeMs / 1000),
    oldest_at: of.oldestAt === null ? null : toRfc3339(of.oldestAt),
    replicas,
    refusing: refusing.includes(purpose),
  };
}

function serverView({ kind, address, version, connectedSince, usedMemoryBytes, maxMemoryBytes }: ConnectedServer) {
  return {
    ...{ kind, address, version },
    connected_since: connectedSince === null ? null : toRfc3339(connectedSince),
    ...{ used_memory_bytes: usedMemoryBytes, max_memory_bytes: maxMemoryBytes },
  };
}

function replicaView({ id, host, version, startedAt, seenAt, load }: Replica, isThis: boolean) {
  return {
    ...{ id, host, version },
    started_at: startedAt === null ? null : toRfc3339(startedAt),
    seen_at: toRfc3339(seenAt),
    ready: load?.isReady ?? null,
    in_flight: load?.inFlight ?? null,
    waiting: load?.waiting ?? null,
    this: isThis,
  };
}

function busiest(recent: ReadonlyMap<string, RecentAttempts>, { subjectCounts }: Overview, now: number) {
  const since = Math.floor(now / MINUTE_MS) * MINUTE_MS - (BUSY_MINUTES - 1) * MINUTE_MS;
  return [...recent]
    .map(([app, attempts]) => {
      const totals = totalsOf({ ...attempts, minutes: attempts.minutes.filter(({ start }) => start >= since) });
      return { app, attempts: totals.attempts, failures: totals.failures, parked: subjectCounts && (subjectCounts.parked.get(app) ?? 0) };
    })
    .filter(({ attempts }) => attempts > 0)
    .sort((a, b) => b.attempts - a.attempts)
    .slice(0, BUSIEST);
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

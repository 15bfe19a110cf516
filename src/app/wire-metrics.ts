/** Connects the metrics that show the state of a part to that part. */
import type { Readiness } from "../api/ports.ts";
import { isReady } from "../api/routes/operations.ts";
import { VERSION } from "../config/version.ts";
import { STORED_STREAMS } from "../jetstream/durable-publish.ts";
import { NATS_DEPENDENCIES } from "../jetstream/stream-watch.ts";
import { INSTALLATION_STATUSES } from "../model/app.ts";
import { readMetrics } from "../telemetry/read-metrics.ts";
import type { CircuitParts } from "./wire-circuits.ts";
import type { DeliveryParts } from "./wire-delivery.ts";
import type { RegistryParts } from "./wire-registry.ts";
import type { StatusParts } from "./wire-status.ts";
import type { StreamWatchParts } from "./wire-stream-watch.ts";
import type { StreamParts } from "./wire-streams.ts";
import type { SubscriberParts } from "./wire-subscribers.ts";
import type { TelemetryParts } from "./wire-telemetry.ts";
import type { ThrottleParts } from "./wire-throttles.ts";

type MeasuredParts = StreamParts &
  RegistryParts &
  TelemetryParts &
  StatusParts &
  CircuitParts &
  ThrottleParts &
  DeliveryParts &
  SubscriberParts &
  StreamWatchParts & { readonly readiness: Readiness };

export function wireMetrics(given: MeasuredParts): void {
  const { metrics, acks, connectionState, streamMetrics, streamWatch, clockSkew, readiness, index, registryStore } = given;
  const { bulkhead, deliveryStreams, circuits, throttles, sender, installationStates, requestLog, redisHealth } = given;
  const { held, parkedQueues } = given;
  readMetrics(metrics, {
    version: VERSION,
    inFlight: bulkhead.inFlight,
    waiting: bulkhead.waiting,
    held,
    acksUnconfirmed: acks.unconfirmed,
    stores: deliveryStreams.counts,
    refusing: () => countBy(STORED_STREAMS, deliveryStreams.refusing()),
    parkedQueues: parkedQueues.queues,
    streams: streamMetrics.latest,
    circuits: () => countBy(["open", "half_open"], circuits.states()),
    failingApps: given.appHealth.failing,
    throttledApps: throttles.count,
    integrations: () =>
      countBy(
        INSTALLATION_STATUSES,
        [...installationStates.all()].map(({ status }) => status),
      ),
    registry: index.counts,
    isRegistryCurrent: registryStore.isCurrent,
    invalidRecords: () => registryStore.invalid().length,
    logBuffered: requestLog.buffered,
    logNotesBuffered: requestLog.notesBuffered,
    logDropped: requestLog.dropped,
    logRefused: requestLog.refused,
    destinations: sender.destinations,
    isReady: () => isReady(readiness.checks()),
    clockSkewMs: clockSkew.skewMs,
    dependenciesUp: () => ({
      nats: connectionState.problem() === null,
      redis: redisHealth.problem() === null,
      ...Object.fromEntries(NATS_DEPENDENCIES.map((name) => [name, !streamWatch.problems().has(name)])),
    }),
  });
}

function countBy<T extends string>(all: readonly T[], values: Iterable<string>): Record<T, number> {
  const counts = Object.fromEntries(all.map((value) => [value, 0])) as Record<T, number>;
  for (const value of values) if (Object.hasOwn(counts, value)) counts[value as T]++;
  return counts;
}

/**
 * Logs and counts the steps of a delivery: one `delivery.attempted` line per attempt, with all its facts.
 *
 * OBSERVE-1  Every failed attempt is logged. A share of the delivered ones may be left out; the delivery's id decides which, so that
 *     all replicas agree.
 * OBSERVE-2  Every attempt of an app or installation with detailed logging is logged, with headers and bodies, redacted and cut as in
 *     the request log.
 */
import type { AttemptRecord, DeadLetterObserver, DeliveryObserver } from "../delivery/ports.ts";
import { DEAD_LETTER_REASONS, type Delivery, isTestCall } from "../model/delivery.ts";
import { DELIVERY_STREAMS } from "../model/delivery-location.ts";
import type { Event } from "../model/event.ts";
import type { Logger } from "../model/logger.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { parseTraceparent } from "../model/trace-context.ts";
import { createAppCounters } from "./app-counters.ts";
import { attemptLine } from "./attempt-line.ts";
import type { Log } from "./logger.ts";
import type { MetricName } from "./metric-table.ts";
import type { Counter, Metrics } from "./metrics.ts";

/** Steps before there is a delivery. */
interface StreamObserver {
  eventHandled(event: Event, deliveries: number): void;
  eventUnreadable(subject: string, problem: string): void;
}

export interface DeliveryObserverDependencies {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly isDebugged: (app: string, installationUuid: string) => boolean;
  /** Headers and bodies of an attempt, without secrets. */
  readonly evidenceOf: (attempt: AttemptRecord) => object;
}

export interface DeliveryObserverOptions {
  /** Number of apps with counters of their own. */
  readonly metricsApps: number;
  /** Percentage of the delivered attempts that are logged. */
  readonly logDeliveredPercent: number;
}

export function createDeliveryObserver(
  { log, metrics, isDebugged, evidenceOf }: DeliveryObserverDependencies,
  { metricsApps, logDeliveredPercent }: DeliveryObserverOptions,
): DeliveryObserver & StreamObserver & DeadLetterObserver {
  const attempts = countersOf(metrics, "posthorn_attempts_total", OUTCOMES);
  const stored = countersOf(metrics, "posthorn_deliveries_stored_total", DELIVERY_STREAMS);
  const events = countersOf(metrics, "posthorn_events_total", ["matched", "unmatched", "unreadable"] as const);
  const deadLetters = countersOf(metrics, "posthorn_dead_letters_total", DEAD_LETTER_REASONS);
  const skipped = metrics.counter("posthorn_deliveries_skipped_total");
  const duplicates = metrics.counter("posthorn_deliveries_duplicate_total");
  const duration = metrics.histogram("posthorn_attempt_duration_seconds");
  const firstAge = metrics.histogram("posthorn_delivery_age_seconds", "first");
  const laterAge = metrics.histogram("posthorn_delivery_age_seconds", "later");
  const parkedAge = metrics.histogram("posthorn_delivery_age_seconds", "parked");
  const apps = createAppCounters(metrics, metricsApps);

  const loggerFor = ({ app, installationUuid }: Delivery): Logger => (isDebugged(app, installationUuid) ? log.verbose : log.logger);

  return {
    attempted(attempt) {
      const { app, delivery, installation, outcome } = attempt;
      const isDelivered = outcome === "delivered";
      attempts[outcome].add();
      apps.attempted(app.slug, outcome, attempt.durationMs);
      duration.observe(attempt.durationMs / 1000);
      if (isDelivered && !isTestCall(delivery)) {
        // A parked delivery waited on purpose: its age does not show how fast deliveries are.
        const isFirst = attempt.attempt === 1 && delivery.replay === null;
        const age = delivery.firstParkedAt !== null ? parkedAge : isFirst ? firstAge : laterAge;
        age.observe(Math.max(0, attempt.endedAt - delivery.event.publishedAt) / 1000);
      }
      const isDetailed = isDebugged(app.slug, installation.uuid);
      if (isDelivered && !isDetailed && shareOf(delivery.id) >= logDeliveredPercent) return;
      const members = (): string =>
        isDetailed ? `${attemptLine(attempt)},${JSON.stringify(evidenceOf(attempt)).slice(1, -1)}` : attemptLine(attempt);
      log.line(isDelivered ? "info" : "warn", members, "delivery.attempted", isDetailed);
    },

    stored(stream, delivery, detail) {
      stored[stream].add();
      loggerFor(delivery).debug({ ...factsOf(delivery), stream, detail, attempts: delivery.attemptsMade }, "delivery.stored");
    },

    skipped(delivery, delivered) {
      const { eventSequence } = delivery;
      const isDuplicate = delivered !== null && eventSequence !== delivered.eventSequence;
      skipped.add();
      if (isDuplicate) duplicates.add();
      const isStored = delivered === null || delivered.isWaiting === true;
      const why = isStored ? "stored" : isDuplicate ? "duplicate" : "redelivered";
      const sequences = { event_sequence: eventSequence, delivered_event_sequence: delivered?.eventSequence ?? null };
      loggerFor(delivery).info({ ...factsOf(delivery), event_type: delivery.event.type, ...sequences, why }, "delivery.skipped");
    },

    eventHandled(event, deliveries) {
      if (deliveries > 0) return events.matched.add();
      events.unmatched.add();
      log.logger.debug({ event_id: event.id, event_type: event.type, organization_id: event.organizationId }, "event.unmatched");
    },

    eventUnreadable(subject, problem) {
      events.unreadable.add();
      log.logger.warn({ subject, problem }, "event.unreadable");
    },

    deadLettered(reason, delivery, { stream, sequence }) {
      deadLetters[reason].add();
      stored["dead-letters"].add();
      const facts = delivery === null ? {} : { ...factsOf(delivery), attempts: delivery.attemptsMade };
      const source = { source_stream: stream, source_sequence: sequence };
      log.logger.warn({ ...facts, stream: "dead-letters", detail: reason, ...source }, "delivery.stored");
    },
  };
}

function countersOf<Label extends string>(metrics: Metrics, name: MetricName, labels: readonly Label[]): Record<Label, Counter> {
  return Object.fromEntries(labels.map((label) => [label, metrics.counter(name, label)])) as Record<Label, Counter>;
}

/** 0 to 99, evenly spread: the id is a hash. */
function shareOf(deliveryId: string): number {
  return Number.parseInt(deliveryId.slice(4, 12), 16) % 100;
}

function factsOf({ id, app, installationUuid, event }: Delivery): object {
  return {
    trace_id: parseTraceparent(event.traceparent)?.traceId,
    app,
    installation_uuid: installationUuid,
    event_id: event.id,
    delivery_id: id,
  };
}

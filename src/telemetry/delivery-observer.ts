/** What the delivery path tells: one `delivery.attempted` line per attempt with all its facts, and the counters. */
import type { AttemptRecord, DeliveryObserver } from "../delivery/ports.ts";
import type { Event } from "../model/event.ts";
import type { Logger } from "../model/logger.ts";
import { OUTCOMES, type Outcome } from "../model/outcome.ts";
import type { Counter, Metrics } from "./metrics.ts";
import { withoutSecrets } from "./safe-url.ts";

/** What the events lane tells beside it. */
interface EventObserver {
  eventHandled(event: Event, deliveries: number): void;
  eventUnreadable(subject: string, problem: string): void;
}

export function createDeliveryObserver(logger: Logger, metrics: Metrics): DeliveryObserver & EventObserver {
  const attempts = Object.fromEntries(
    (Object.keys(OUTCOMES) as Outcome[]).map((outcome) => [outcome, metrics.counter("posthorn_attempts_total", outcome)]),
  ) as Record<Outcome, Counter>;
  const stored = {
    retries: metrics.counter("posthorn_deliveries_stored_total", "retries"),
    parked: metrics.counter("posthorn_deliveries_stored_total", "parked"),
    "dead-letters": metrics.counter("posthorn_deliveries_stored_total", "dead-letters"),
  };
  const skipped = metrics.counter("posthorn_deliveries_skipped_total");
  const matched = metrics.counter("posthorn_events_total", "matched");
  const unmatched = metrics.counter("posthorn_events_total", "unmatched");
  const unreadable = metrics.counter("posthorn_events_total", "unreadable");
  const duration = metrics.histogram("posthorn_attempt_duration_seconds");
  const age = metrics.histogram("posthorn_delivery_age_seconds");

  return {
    attempted(attempt) {
      const { outcome } = attempt;
      attempts[outcome].add();
      duration.observe(attempt.durationMs / 1000);
      if (outcome === "delivered") {
        age.observe(Math.max(0, attempt.endedAt - Date.parse(attempt.delivery.event.occurredAt)) / 1000);
        logger.info(factsOf(attempt), "delivery.attempted");
      } else {
        logger.warn(factsOf(attempt), "delivery.attempted");
      }
    },

    stored(lane, delivery, detail) {
      stored[lane].add();
      const facts = {
        lane,
        detail,
        delivery_id: delivery.id,
        event_id: delivery.event.id,
        app: delivery.app,
        attempts: delivery.attemptsMade,
      };
      if (lane === "dead-letters") logger.warn(facts, "delivery.stored");
      else logger.debug(facts, "delivery.stored");
    },

    skipped(delivery) {
      skipped.add();
      logger.debug({ delivery_id: delivery.id, event_id: delivery.event.id, app: delivery.app }, "delivery.skipped");
    },

    eventHandled(event, deliveries) {
      if (deliveries > 0) return matched.add();
      unmatched.add();
      logger.debug({ event_id: event.id, event_type: event.type, organization_id: event.organizationId }, "event.unmatched");
    },

    eventUnreadable(subject, problem) {
      unreadable.add();
      logger.warn({ subject, problem }, "event.unreadable");
    },
  };
}

function factsOf({
  delivery,
  app,
  installation,
  attempt,
  outcome,
  responseCode,
  durationMs,
  webhookUrl,
  error,
  traceId,
  spanId,
}: AttemptRecord): object {
  const { event } = delivery;
  return {
    trace_id: traceId,
    span_id: spanId,
    app: app.slug,
    installation_uuid: installation.uuid,
    organization_id: installation.organizationId,
    event_id: event.id,
    event_type: event.type,
    delivery_id: delivery.id,
    attempt,
    outcome,
    response_code: responseCode,
    duration_ms: durationMs,
    webhook_url: withoutSecrets(webhookUrl),
    ...(error === null ? {} : { error }),
    ...(delivery.replay === null ? {} : { replay: delivery.replay }),
  };
}

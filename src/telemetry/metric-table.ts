/** The table of all metrics: docs/metrics.md and the instruments are generated from it. */
import { DEAD_LETTER_REASONS } from "../model/delivery.ts";
import { OUTCOMES } from "../model/outcome.ts";

export interface MetricDefinition {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** UCUM, for OTLP; in Prometheus the unit is part of the name. */
  readonly unit?: "s" | "By";
  /** Label → description of its values. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Upper bounds of a histogram's buckets, in seconds. */
  readonly buckets?: readonly number[];
  /** A gauge of several processes together: the largest when absent, as each shows the same. Counters and histograms are added up. */
  readonly together?: "sum" | "least";
}

const ATTEMPT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600];
/** Retries continue for up to 27 hours, and parked deliveries wait for up to a week. */
const AGE_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30, 60, 600, 3_600, 21_600, 86_400, 604_800];

const STREAMS = "retries, parked, dead-letters";
const OUTCOME = OUTCOMES.join(", ");

export const METRICS = {
  posthorn_events_total: { kind: "counter", help: "Events read from the bus.", labels: { result: "matched, unmatched, unreadable" } },
  posthorn_attempts_total: { kind: "counter", help: "Attempts by outcome.", labels: { outcome: OUTCOME } },
  posthorn_app_attempts_total: {
    kind: "counter",
    help: "Attempts of single apps.",
    labels: { app: "the first POSTHORN_METRICS_APPS apps that this process attempted; all others together as _other", outcome: OUTCOME },
  },
  posthorn_app_attempt_seconds_total: {
    kind: "counter",
    unit: "s",
    help: "Time spent in attempts of single apps; divided by posthorn_app_attempts_total it is the mean.",
    labels: { app: "as above" },
  },
  posthorn_attempt_duration_seconds: {
    kind: "histogram",
    unit: "s",
    help: "Time from the start of an attempt to its answer.",
    buckets: ATTEMPT_BUCKETS_S,
  },
  posthorn_delivery_age_seconds: {
    kind: "histogram",
    unit: "s",
    help: "Time from the event's arrival in the events stream to its delivery, of all but test calls.",
    labels: {
      attempt:
        "first: delivered by its first attempt; later: by a retry, resend or replay; parked: waited in a parked queue (always, for ordered apps)",
    },
    buckets: AGE_BUCKETS_S,
  },
  posthorn_deliveries_stored_total: { kind: "counter", help: "Deliveries written to a stream.", labels: { stream: STREAMS } },
  posthorn_dead_letters_total: {
    kind: "counter",
    help: 'Dead letters stored, by reason. Their sum is posthorn_deliveries_stored_total{stream="dead-letters"}.',
    labels: { reason: DEAD_LETTER_REASONS.join(", ") },
  },
  posthorn_deliveries_skipped_total: {
    kind: "counter",
    help: "Messages skipped because their delivery had been delivered: redelivered ones, and duplicates of an event.",
  },
  posthorn_deliveries_duplicate_total: {
    kind: "counter",
    help: "Skipped messages of an event that was published twice with the same key.",
  },
  posthorn_in_flight: { kind: "gauge", together: "sum", help: "Attempts in flight." },
  posthorn_waiting: {
    kind: "gauge",
    together: "sum",
    help: "Deliveries waiting for a slot under POSTHORN_MAX_IN_FLIGHT or the app's share.",
  },
  posthorn_messages_in_hand: {
    kind: "gauge",
    together: "sum",
    help: "Messages pulled and not acknowledged.",
    labels: { stream: "events, retries, parked" },
  },
  posthorn_acks_unconfirmed: {
    kind: "gauge",
    together: "sum",
    help: "Acknowledgements that NATS has not confirmed: those of the last half second at most while it answers. They are sent again after a reconnect.",
  },
  posthorn_publishes_pending: {
    kind: "gauge",
    together: "sum",
    help: "Messages being stored: at most 256 for each stream, and 256 fan-out batches.",
  },
  posthorn_publishes_pending_bytes: {
    kind: "gauge",
    together: "sum",
    unit: "By",
    help: "Size of the messages being stored: at most 16 MiB for each stream, and for fan-out batches.",
  },
  posthorn_publishes_waiting: { kind: "gauge", together: "sum", help: "Messages that wait until a stream's publish window has room." },
  posthorn_stream_refusing: {
    kind: "gauge",
    help: "1 while a stream refuses messages; their sources stay unacknowledged.",
    labels: { stream: `${STREAMS}, status` },
  },
  posthorn_stream_messages: { kind: "gauge", help: "Messages in a stream.", labels: { stream: STREAMS } },
  posthorn_stream_oldest_age_seconds: {
    kind: "gauge",
    unit: "s",
    help: "Age of the oldest message in a stream.",
    labels: { stream: STREAMS },
  },
  posthorn_retries_messages: { kind: "gauge", help: "Retries waiting in a tier.", labels: { tier: "1, 2, 4 … 32768 seconds" } },
  posthorn_retries_late_seconds: { kind: "gauge", unit: "s", help: "How long the most overdue retry has been due." },
  posthorn_parked_queues: { kind: "gauge", help: "Parked queues known to hold deliveries." },
  posthorn_parked_messages: {
    kind: "gauge",
    help: "Deliveries parked for single apps. A dead letter that stops an order key is none.",
    labels: { app: "the 20 apps with the most; all others together as _other" },
  },
  posthorn_parked_oldest_age_seconds: {
    kind: "gauge",
    unit: "s",
    help: "Age of the oldest delivery parked for an app.",
    labels: { app: "the 20 apps with the most" },
  },
  posthorn_events_pending: { kind: "gauge", help: "Events not delivered to any replica yet: the consumer's lag." },
  posthorn_events_ack_pending: { kind: "gauge", help: "Events delivered to a replica and not acknowledged." },
  posthorn_events_oldest_unacked_age_seconds: { kind: "gauge", unit: "s", help: "Age of the oldest event that is not acknowledged." },
  posthorn_events_overdue: { kind: "gauge", help: "1 when an unacknowledged event is older than half of the stream's max_age." },
  posthorn_circuits: { kind: "gauge", help: "Apps whose circuit is not closed, by its state.", labels: { state: "open, half_open" } },
  posthorn_app_failing: {
    kind: "gauge",
    help: "1 for an app that fails: of its attempts of the last 15 minutes (at least 20), half or more were not delivered. For _other: how many there are.",
    labels: { app: "the 20 failing apps with the most attempts; all others together as _other" },
  },
  posthorn_throttled_apps: { kind: "gauge", help: "Apps whose receiver has asked for a pause (Retry-After) that is not over." },
  posthorn_integrations: { kind: "gauge", help: "Installations by status.", labels: { status: "active, broken, disabled" } },
  posthorn_registry_apps: { kind: "gauge", help: "Apps in the index." },
  posthorn_registry_installations: { kind: "gauge", help: "Installations in the index." },
  posthorn_registry_invalid_records: {
    kind: "gauge",
    help: "Records in the bucket that can't be read; the last good revision of each is in force.",
  },
  posthorn_registry_current: { kind: "gauge", together: "least", help: "1 while the index has every change of the bucket." },
  posthorn_log_buffered: { kind: "gauge", together: "sum", help: "Attempts not yet written to Redis." },
  posthorn_log_notes_buffered: { kind: "gauge", together: "sum", help: "Locations of events and deliveries not yet written to Redis." },
  posthorn_log_dropped_total: { kind: "counter", help: "Attempts whose log row was dropped while Redis was unreachable." },
  posthorn_log_refused_total: {
    kind: "counter",
    help: "Refused writes to single Redis keys, such as a key that holds another type of value; a log line names them.",
  },
  posthorn_destinations: { kind: "gauge", together: "sum", help: "Origins with open connections." },
  posthorn_ready: { kind: "gauge", together: "least", help: "1 while /readyz says ready." },
  posthorn_dependency_up: {
    kind: "gauge",
    together: "least",
    help: "1 while the dependency can be used: NATS is connected and its max_payload large enough, Redis accepts writes, the stream or bucket exists with the right settings.",
    labels: { dependency: "nats, redis, events, retries, parked, dead-letters, status, registry" },
  },
  posthorn_clock_skew_seconds: { kind: "gauge", unit: "s", help: "This process's clock minus the NATS server's." },
  posthorn_event_loop_delay_seconds: {
    kind: "gauge",
    unit: "s",
    help: "99th percentile of the event loop's delay over the last 10 to 20 seconds.",
  },
  posthorn_build_info: { kind: "gauge", help: "Always 1.", labels: { version: "the running version" } },
  process_start_time_seconds: { kind: "gauge", together: "least", unit: "s", help: "When the process started, seconds since the epoch." },
  process_resident_memory_bytes: { kind: "gauge", together: "sum", unit: "By", help: "Resident memory." },
  process_cpu_seconds_total: { kind: "counter", unit: "s", help: "CPU time, user and system." },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;

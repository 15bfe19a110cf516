/** Every metric: docs/metrics.md and the instruments come from this table, and nothing is measured that is not in it. */
import { DEAD_LETTER_REASONS } from "../model/delivery.ts";
import { OUTCOMES } from "../model/outcome.ts";

export interface MetricDefinition {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** UCUM, for OTLP; the name says it for Prometheus. */
  readonly unit?: "s" | "By";
  /** Label → what its values are. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Upper bounds of a histogram's buckets, in seconds. */
  readonly buckets?: readonly number[];
}

const ATTEMPT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600];
/** Retries go on for up to 27 hours, and what is parked waits for up to a week. */
const AGE_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10, 30, 60, 600, 3_600, 21_600, 86_400, 604_800];

const STREAMS = "retries, parked, dead-letters";
const OUTCOME = Object.keys(OUTCOMES).join(", ");

export const METRICS = {
  posthorn_events_total: { kind: "counter", help: "Events read from the bus.", labels: { result: "matched, unmatched, unreadable" } },
  posthorn_attempts_total: { kind: "counter", help: "Attempts by what came of them.", labels: { outcome: OUTCOME } },
  posthorn_app_attempts_total: {
    kind: "counter",
    help: "Attempts of single apps.",
    labels: { app: "the first POSTHORN_METRICS_APPS apps that this process attempted, the others together as _other", outcome: OUTCOME },
  },
  posthorn_app_attempt_seconds_total: {
    kind: "counter",
    unit: "s",
    help: "Time spent in attempts of single apps; divided by their number it is the mean.",
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
      attempt: "first: delivered by its first attempt; later: by a retry, resend or replay; parked: it was parked",
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
    help: "Those of the skipped that came of another event message with the same key: published twice.",
  },
  posthorn_in_flight: { kind: "gauge", help: "Attempts under way." },
  posthorn_waiting: { kind: "gauge", help: "Deliveries waiting for a place under POSTHORN_MAX_IN_FLIGHT or the app's share." },
  posthorn_messages_in_hand: {
    kind: "gauge",
    help: "Messages pulled and not acknowledged.",
    labels: { stream: "events, retries, parked" },
  },
  posthorn_acks_unconfirmed: {
    kind: "gauge",
    help: "Acknowledgements that may not have reached NATS; they are sent again after a reconnect.",
  },
  posthorn_publishes_pending: { kind: "gauge", help: "Messages being stored: at most 256 for each stream, and 256 parts of fan-outs." },
  posthorn_publishes_pending_bytes: {
    kind: "gauge",
    unit: "By",
    help: "Their size: at most 16 MiB for each stream, and for parts of fan-outs.",
  },
  posthorn_publishes_waiting: { kind: "gauge", help: "Messages that wait for these to be stored first." },
  posthorn_stream_refusing: {
    kind: "gauge",
    help: "1 while a stream refuses messages and their sources are held back.",
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
  posthorn_retries_late_seconds: { kind: "gauge", unit: "s", help: "How long the retry that is most overdue has been due." },
  posthorn_parked_queues: { kind: "gauge", help: "Parked queues known to hold deliveries." },
  posthorn_parked_messages: {
    kind: "gauge",
    help: "Deliveries parked for single apps.",
    labels: { app: "the 20 apps with most, the others together as _other" },
  },
  posthorn_parked_oldest_age_seconds: {
    kind: "gauge",
    unit: "s",
    help: "Age of the oldest delivery parked for an app.",
    labels: { app: "the 20 apps with most" },
  },
  posthorn_events_pending: { kind: "gauge", help: "Events not handed out yet, over all replicas: the consumer's lag." },
  posthorn_events_ack_pending: { kind: "gauge", help: "Events handed out and not acknowledged, over all replicas." },
  posthorn_events_oldest_unacked_age_seconds: { kind: "gauge", unit: "s", help: "Age of the oldest event that is not acknowledged." },
  posthorn_events_overdue: { kind: "gauge", help: "1 when an unacknowledged event is older than half of the stream's max_age." },
  posthorn_circuits: { kind: "gauge", help: "Apps whose circuit is not closed, by its state.", labels: { state: "open, half_open" } },
  posthorn_integrations: { kind: "gauge", help: "Installations by status.", labels: { status: "active, broken, disabled" } },
  posthorn_registry_apps: { kind: "gauge", help: "Apps in the index." },
  posthorn_registry_installations: { kind: "gauge", help: "Installations in the index." },
  posthorn_registry_invalid_records: {
    kind: "gauge",
    help: "Records in the bucket that can't be read; the last good revision of each is in force.",
  },
  posthorn_registry_current: { kind: "gauge", help: "1 while the index has everything the bucket has." },
  posthorn_log_buffered: { kind: "gauge", help: "Attempts not yet written to Redis." },
  posthorn_log_notes_buffered: { kind: "gauge", help: "Notes of where events and deliveries are, not yet written to Redis." },
  posthorn_log_dropped_total: { kind: "counter", help: "Attempts whose log row was dropped while Redis was away." },
  posthorn_log_refused_total: {
    kind: "counter",
    help: "Writes to single Redis keys that were refused, as to a key that holds another type of value; a log line names them.",
  },
  posthorn_destinations: { kind: "gauge", help: "Origins with open connections." },
  posthorn_ready: { kind: "gauge", help: "1 while /readyz says ready." },
  posthorn_dependency_up: {
    kind: "gauge",
    help: "1 while it can be used: the connection to NATS; Redis, which has to answer and to take writes; each stream and the registry bucket.",
    labels: { dependency: "nats, redis, events, retries, parked, dead-letters, status, registry" },
  },
  posthorn_clock_skew_seconds: { kind: "gauge", unit: "s", help: "This process's clock minus the NATS server's." },
  posthorn_event_loop_delay_seconds: {
    kind: "gauge",
    unit: "s",
    help: "99th percentile of the event loop's delay over the last 10 to 20 seconds.",
  },
  posthorn_build_info: { kind: "gauge", help: "Always 1.", labels: { version: "the version that runs" } },
  process_start_time_seconds: { kind: "gauge", unit: "s", help: "When the process started, seconds since the epoch." },
  process_resident_memory_bytes: { kind: "gauge", unit: "By", help: "Resident memory." },
  process_cpu_seconds_total: { kind: "counter", unit: "s", help: "CPU time, user and system." },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;

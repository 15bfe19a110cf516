/** Every metric: docs/metrics.md is generated from this table, and nothing is measured that is not in it. */

export interface MetricDefinition {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Label → what its values are; each has few, whatever the number of apps. */
  readonly labels?: Readonly<Record<string, string>>;
}

export const METRICS = {
  posthorn_events_total: { kind: "counter", help: "Events read from the bus.", labels: { result: "matched, unmatched, unreadable" } },
  posthorn_attempts_total: { kind: "counter", help: "Attempts by what came of them.", labels: { outcome: "the outcomes of an attempt" } },
  posthorn_attempt_duration_seconds: { kind: "histogram", help: "Time from the start of an attempt to its answer." },
  posthorn_delivery_age_seconds: { kind: "histogram", help: "Time from the event's occurred_at to its delivery." },
  posthorn_deliveries_stored_total: {
    kind: "counter",
    help: "Deliveries written to a lane.",
    labels: { lane: "retries, parked, dead-letters" },
  },
  posthorn_deliveries_skipped_total: { kind: "counter", help: "Redelivered messages whose delivery was done already." },
  posthorn_in_flight: { kind: "gauge", help: "Attempts under way." },
  posthorn_waiting: { kind: "gauge", help: "Deliveries waiting for a place under POSTHORN_MAX_IN_FLIGHT or the app's share." },
  posthorn_held_messages: { kind: "gauge", help: "Messages pulled and not acknowledged.", labels: { lane: "events, retries, parked" } },
  posthorn_lane_stores_pending: { kind: "gauge", help: "Messages being stored in a lane." },
  posthorn_lane_refusing: { kind: "gauge", help: "1 while a lane refuses messages and their sources are held back." },
  posthorn_parked_queues: { kind: "gauge", help: "Parked queues known to hold deliveries." },
  posthorn_events_pending: { kind: "gauge", help: "Events not handed out yet, over all replicas." },
  posthorn_events_oldest_unacked_age_seconds: { kind: "gauge", help: "Age of the oldest event that is not acknowledged." },
  posthorn_events_overdue: { kind: "gauge", help: "1 when an unacknowledged event is older than half of the stream's max_age." },
  posthorn_lane_messages: { kind: "gauge", help: "Messages in a lane.", labels: { lane: "retries, parked, dead-letters" } },
  posthorn_circuits_open: { kind: "gauge", help: "Apps whose circuit is not closed." },
  posthorn_integrations: { kind: "gauge", help: "Installations by status.", labels: { status: "active, broken, disabled" } },
  posthorn_registry_apps: { kind: "gauge", help: "Apps in the index." },
  posthorn_registry_current: { kind: "gauge", help: "1 while the index has everything the bucket has." },
  posthorn_log_buffered: { kind: "gauge", help: "Attempts not yet written to Redis." },
  posthorn_log_dropped_total: { kind: "counter", help: "Attempts whose log row was dropped while Redis was away." },
  posthorn_destinations: { kind: "gauge", help: "Origins with open connections." },
  posthorn_clock_skew_seconds: { kind: "gauge", help: "This process's clock minus the NATS server's." },
  posthorn_event_loop_delay_seconds: { kind: "gauge", help: "99th percentile of the event loop's delay since the last scrape." },
  process_resident_memory_bytes: { kind: "gauge", help: "Resident memory." },
  process_cpu_seconds_total: { kind: "counter", help: "CPU time, user and system." },
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof METRICS;

/** Upper bounds in seconds of every histogram's buckets. */
export const BUCKETS_S: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600];

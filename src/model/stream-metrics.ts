/** Depths and ages of the streams, over all replicas. */

/** Label of apps beyond the per-app limit; slugs can't start with `_`. */
export const OTHER_APPS = "_other";

/** Counts, and milliseconds. */
export interface StreamMetrics {
  readonly messages: Readonly<Record<string, number>>;
  readonly oldestAgeMs: Readonly<Record<string, number>>;
  readonly retriesByTier: Readonly<Record<string, number>>;
  /** Lateness of the most overdue retry. */
  readonly retriesLateMs: number;
  /** The apps with most messages; the others together as `_other`. */
  readonly parkedByApp: Readonly<Record<string, number>>;
  readonly parkedOldestAgeMs: Readonly<Record<string, number>>;
  readonly eventsPending: number;
  readonly eventsAckPending: number;
  readonly oldestUnackedAgeMs: number;
  /** An unacknowledged event is older than half of the stream's max_age, and in danger of being dropped. */
  readonly isOverdue: boolean;
}

export const NO_STREAM_METRICS: StreamMetrics = {
  messages: {},
  oldestAgeMs: {},
  retriesByTier: {},
  retriesLateMs: 0,
  parkedByApp: {},
  parkedOldestAgeMs: {},
  eventsPending: 0,
  eventsAckPending: 0,
  oldestUnackedAgeMs: 0,
  isOverdue: false,
};

/** How full the streams are and how old what is in them, over all replicas. */

/** What stands for all apps that are not told of by name: no slug begins so. */
export const OTHER_APPS = "_other";

/** Counts, and milliseconds. */
export interface StreamMetrics {
  readonly messages: Readonly<Record<string, number>>;
  readonly oldestAgeMs: Readonly<Record<string, number>>;
  readonly retriesByTier: Readonly<Record<string, number>>;
  /** How long the most overdue retry has been due. */
  readonly retriesLateMs: number;
  /** The apps with most, the others together as `_other`. */
  readonly parkedByApp: Readonly<Record<string, number>>;
  readonly parkedOldestAgeMs: Readonly<Record<string, number>>;
  readonly eventsPending: number;
  readonly eventsAckPending: number;
  readonly oldestUnackedAgeMs: number;
  /** An unacknowledged event is older than half of the stream's age: it may be lost to the stream's limit. */
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

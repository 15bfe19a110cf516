/** The parts of Posthorn that throttling needs. */
import type { Throttle } from "../../model/throttle.ts";

/** The record that all replicas share. It stays after the throttle has ended. */
export interface SharedThrottle extends Throttle {
  /** Whether `app.throttled` was announced, and `app.released` was not yet. */
  readonly isAnnounced: boolean;
}

export interface ThrottleChange {
  readonly next: SharedThrottle;
  /** The status event of the change; null: the change has none. */
  readonly announce: "throttled" | "released" | null;
}

/** Computes a change from the newest record (null: there is none); null leaves it as it is. */
export type DecideThrottle = (current: SharedThrottle | null) => ThrottleChange | null;

/** Compare-and-set of the shared record. `decide` may run more than once. */
export interface ThrottleStore {
  /** Resolves to the record afterwards and its revision. Later records have higher revisions. */
  change(app: string, decide: DecideThrottle): Promise<{ readonly throttle: SharedThrottle | null; readonly revision: number }>;
}

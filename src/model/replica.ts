/** A process of Posthorn beside others, as it describes itself. */
import type { ReplicaPace } from "./app-pace.ts";

export interface ReplicaLoad {
  /** Attempts in flight. */
  readonly inFlight: number;
  /** Deliveries that wait for a slot. */
  readonly waiting: number;
  readonly isReady: boolean;
  /** App → its pace there. Absent: a replica of an earlier version. */
  readonly paces?: Readonly<Record<string, ReplicaPace>>;
}

/** Null members: a replica of an earlier version does not say it. */
export interface Replica {
  readonly id: string;
  readonly host: string | null;
  readonly version: string | null;
  /** Milliseconds since the epoch. */
  readonly startedAt: number | null;
  readonly seenAt: number;
  readonly load: ReplicaLoad | null;
}

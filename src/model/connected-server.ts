/** A server of NATS or Redis that this replica is connected to. */
export interface ConnectedServer {
  readonly kind: "nats" | "redis";
  /** `<host>:<port>` */
  readonly address: string;
  /** Null: it did not say. */
  readonly version: string | null;
  /** Milliseconds since the epoch; null: not connected now. */
  readonly connectedSince: number | null;
  /** Null: NATS, or a Redis that did not say. */
  readonly usedMemoryBytes: number | null;
  /** Null: as above, or no limit. */
  readonly maxMemoryBytes: number | null;
}

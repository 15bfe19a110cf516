/** An app's circuit as all replicas share it. Times are milliseconds since the epoch. */
export const CIRCUIT_STATES = ["closed", "open", "half_open"] as const;

export type CircuitStateName = (typeof CIRCUIT_STATES)[number];

export type CircuitState = ClosedCircuit | OpenCircuit | HalfOpenCircuit;

export interface ClosedCircuit {
  readonly state: "closed";
}

export interface OpenCircuit {
  readonly state: "open";
  /** How long it stays open before a probe. Doubles with every failed probe. */
  readonly openForMs: number;
  readonly openUntil: number;
}

export interface HalfOpenCircuit {
  readonly state: "half_open";
  readonly openForMs: number;
  /** In the past: when the probe became due. */
  readonly openUntil: number;
  /** The replica that may make the probe. After `probeUntil` any replica may claim it. */
  readonly probeBy: string | null;
  readonly probeUntil: number;
}

export const CLOSED: ClosedCircuit = { state: "closed" };

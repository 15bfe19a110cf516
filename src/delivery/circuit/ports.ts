/** The parts of Posthorn that the circuits need. */
import type { CircuitState } from "../../model/circuit-state.ts";

/** A replica's counts for an app within the circuit's window. */
export interface AttemptCounts {
  readonly app: string;
  readonly attempts: number;
  readonly failures: number;
  /** Revision of the shared state that the replica knew. */
  readonly revision: number;
}

export interface CircuitReason {
  readonly windowMs: number;
  readonly attempts: number;
  readonly failures: number;
}

export interface CircuitChange {
  readonly next: CircuitState;
  /** The status event of the change; null: the change has none. */
  readonly announce: "opened" | "closed" | null;
  readonly reason: CircuitReason | null;
}

/** Computes a change from the newest state; null leaves the state as it is. */
export type DecideCircuit = (current: CircuitState) => CircuitChange | null;

/** Compare-and-set of the shared state. `decide` may run more than once. */
export interface CircuitStore {
  /** Resolves to the state afterwards and its revision. Later states have higher revisions. */
  change(app: string, decide: DecideCircuit): Promise<{ readonly state: CircuitState; readonly revision: number }>;
}

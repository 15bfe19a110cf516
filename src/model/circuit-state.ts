/** The state of an app's circuit. */
export const CIRCUIT_STATES = ["closed", "open", "half_open"] as const;

export type CircuitStateName = (typeof CIRCUIT_STATES)[number];

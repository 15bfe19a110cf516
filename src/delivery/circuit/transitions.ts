/** The transitions of a circuit: pure functions from the shared state to a change, or null if the transition does not apply. */
import { type CircuitState, CLOSED } from "../../model/circuit-state.ts";
import type { ReceiverState } from "../../model/outcome.ts";
import type { CircuitChange, CircuitReason } from "./ports.ts";

export function isProbeDue(state: CircuitState, nowMs: number): boolean {
  return (state.state === "open" && nowMs >= state.openUntil) || (state.state === "half_open" && nowMs >= state.probeUntil);
}

export function opened(current: CircuitState, openForMs: number, nowMs: number, reason: CircuitReason): CircuitChange | null {
  if (current.state !== "closed") return null;
  return { next: { state: "open", openForMs, openUntil: nowMs + openForMs }, announce: "opened", reason };
}

export function closed(current: CircuitState): CircuitChange | null {
  return current.state === "closed" ? null : { next: CLOSED, announce: "closed", reason: null };
}

export function probeClaimed(current: CircuitState, replica: string, nowMs: number, leaseMs: number): CircuitChange | null {
  if (current.state === "closed" || !isProbeDue(current, nowMs)) return null;
  const { openForMs, openUntil } = current;
  return silently({ state: "half_open", openForMs, openUntil, probeBy: replica, probeUntil: nowMs + leaseMs });
}

/** Another replica can claim the probe at once. */
export function probeGivenBack(current: CircuitState, replica: string, nowMs: number): CircuitChange | null {
  if (!isProbeOf(current, replica)) return null;
  return silently({ state: "open", openForMs: current.openForMs, openUntil: nowMs });
}

/** CIRCUIT-4 in app-circuit.ts. */
export function probeEnded(
  current: CircuitState,
  replica: string,
  receiver: ReceiverState,
  { nowMs, maxOpenTimeMs }: { readonly nowMs: number; readonly maxOpenTimeMs: number },
): CircuitChange | null {
  if (!isProbeOf(current, replica)) return null;
  if (receiver === "up") return closed(current);
  const openForMs = receiver === "down" ? Math.min(current.openForMs * 2, maxOpenTimeMs) : current.openForMs;
  return silently({ state: "open", openForMs, openUntil: nowMs + openForMs });
}

export function isProbeOf(state: CircuitState, replica: string): state is CircuitState & { readonly state: "half_open" } {
  return state.state === "half_open" && state.probeBy === replica;
}

function silently(next: CircuitState): CircuitChange {
  return { next, announce: null, reason: null };
}

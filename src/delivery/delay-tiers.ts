/**
 * The retries lane's rungs: 1 s, 2 s, 4 s … 2^15 s. Any delay is walked down, the largest rung that fits first, so that
 * within a rung messages come due in the order they were stored and only its head has to be watched.
 */
import type { RetryDelay } from "./ports.ts";

export const RUNGS_S: readonly number[] = Array.from({ length: 16 }, (_, exponent) => 2 ** exponent);

/** A rest under this share of the whole delay is not worth another write. */
export const NEGLIGIBLE_REST = 0.1;

const SMALLEST_MS = 1000;

/** What to do with a delay of which some has passed. */
export type RetryStep =
  | { readonly kind: "attempt" }
  /** Less than the smallest rung is left: wait in memory, the message still held. */
  | { readonly kind: "wait"; readonly restMs: number }
  | { readonly kind: "walk"; readonly rungS: number };

/** The rung a fresh delay starts in. */
export function firstRung(delay: RetryDelay, nowMs: number): number {
  const step = nextStep(delay, nowMs);
  return step.kind === "walk" ? step.rungS : (RUNGS_S[0] ?? 1);
}

export function nextStep({ dueAt, delayMs, floor }: RetryDelay, nowMs: number): RetryStep {
  const restMs = dueAt - nowMs;
  if (restMs <= 0) return { kind: "attempt" };
  const negligible = restMs < delayMs * NEGLIGIBLE_REST;
  if (negligible && !floor) return { kind: "attempt" };
  if (restMs < SMALLEST_MS) return { kind: "wait", restMs };
  const rungS = negligible ? RUNGS_S.find((rung) => rung * 1000 >= restMs) : RUNGS_S.findLast((rung) => rung * 1000 <= restMs);
  return { kind: "walk", rungS: rungS ?? 2 ** 15 };
}

/**
 * The retries stream's tiers: 1 s, 2 s, 4 s … 2^15 s. Any delay is walked down, the largest tier that fits first, so that
 * within a tier messages come due in the order they were stored and only its head has to be watched.
 */
import type { RetryDelay } from "./ports.ts";

export const DELAY_TIERS_S: readonly number[] = Array.from({ length: 16 }, (_, exponent) => 2 ** exponent);

/** A rest under this share of the whole delay is not worth another write. */
export const NEGLIGIBLE_REST = 0.1;

const SMALLEST_MS = 1000;

/** What to do with a delay of which some has passed. */
export type RetryStep =
  | { readonly kind: "attempt" }
  /** Less than the smallest tier is left: wait in memory, the message still held. */
  | { readonly kind: "wait"; readonly restMs: number }
  | { readonly kind: "walk"; readonly tierS: number };

/** The tier a fresh delay starts in. */
export function firstTier(delay: RetryDelay, nowMs: number): number {
  const step = nextStep(delay, nowMs);
  return step.kind === "walk" ? step.tierS : (DELAY_TIERS_S[0] ?? 1);
}

export function nextStep({ dueAt, delayMs, floor }: RetryDelay, nowMs: number): RetryStep {
  const restMs = dueAt - nowMs;
  if (restMs <= 0) return { kind: "attempt" };
  const negligible = restMs < delayMs * NEGLIGIBLE_REST;
  if (negligible && !floor) return { kind: "attempt" };
  if (restMs < SMALLEST_MS) return { kind: "wait", restMs };
  const tierS = negligible ? DELAY_TIERS_S.find((tier) => tier * 1000 >= restMs) : DELAY_TIERS_S.findLast((tier) => tier * 1000 <= restMs);
  return { kind: "walk", tierS: tierS ?? 2 ** 15 };
}

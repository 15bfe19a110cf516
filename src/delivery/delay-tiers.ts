/**
 * The tiers of the retries stream: 1 s, 2 s, 4 s … 2^15 s. A delay steps down through them, the largest tier that fits first, so
 * that messages of a tier become due in the order in which they were stored and only its head has to be watched.
 */
import type { RetryDelay } from "./ports.ts";

export const DELAY_TIERS_S: readonly number[] = Array.from({ length: 16 }, (_, exponent) => 2 ** exponent);

/** Less than this share of the whole delay is not worth another write. */
export const NEGLIGIBLE_REST = 0.1;

const SMALLEST_MS = 1000;

/** The next step of a delay that has passed in part. */
export type RetryStep =
  | { readonly kind: "attempt" }
  /** Less than the smallest tier is left: wait in memory, with the message unacknowledged. */
  | { readonly kind: "wait"; readonly restMs: number }
  | { readonly kind: "step-down"; readonly tierS: number };

/** The first tier of a new delay. */
export function firstTier(delay: RetryDelay, nowMs: number): number {
  const step = nextStep(delay, nowMs);
  return step.kind === "step-down" ? step.tierS : (DELAY_TIERS_S[0] ?? 1);
}

export function nextStep({ dueAt, delayMs, notBefore }: RetryDelay, nowMs: number): RetryStep {
  const restMs = dueAt - nowMs;
  if (restMs <= 0) return { kind: "attempt" };
  const negligible = restMs < delayMs * NEGLIGIBLE_REST;
  if (negligible && !notBefore) return { kind: "attempt" };
  if (restMs < SMALLEST_MS) return { kind: "wait", restMs };
  const tierS = negligible ? DELAY_TIERS_S.find((tier) => tier * 1000 >= restMs) : DELAY_TIERS_S.findLast((tier) => tier * 1000 <= restMs);
  return { kind: "step-down", tierS: tierS ?? 2 ** 15 };
}

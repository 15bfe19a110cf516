/** When the next attempt is due: the app's schedule with jitter, or later if the receiver asked for it. */
import type { Random } from "../model/clock.ts";
import { NEGLIGIBLE_REST } from "./delay-tiers.ts";
import type { RetryDelay } from "./ports.ts";

/** ± share of a scheduled delay, so that deliveries that failed together are not retried together. */
const JITTER = 0.2;

export interface FailedAttempt {
  /** From 1. */
  readonly attempt: number;
  readonly scheduleMs: readonly number[];
  /** Delay that the response's Retry-After asked for, or null. */
  readonly retryAfterMs: number | null;
  readonly nowMs: number;
}

/** @returns null after the last attempt */
export function nextRetry({ attempt, scheduleMs, retryAfterMs, nowMs }: FailedAttempt, random: Random): RetryDelay | null {
  const scheduled = scheduleMs[attempt - 1];
  if (scheduled === undefined) return null;
  const jittered = Math.round(scheduled * (1 + JITTER * (2 * random() - 1)));
  if (retryAfterMs !== null && retryAfterMs > jittered) {
    return { dueAt: nowMs + retryAfterMs, delayMs: retryAfterMs, notBefore: true };
  }
  // Without notBefore the last tenth of the delay may be skipped, which would be before the Retry-After.
  const notBefore = retryAfterMs !== null && retryAfterMs > jittered * (1 - NEGLIGIBLE_REST);
  return { dueAt: nowMs + jittered, delayMs: jittered, notBefore };
}

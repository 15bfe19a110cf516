/**
 * When the next attempt is due: a schedule with jitter, or later if the receiver asked for it.
 *
 * RETRY-1  Failures, refusals of the endpoint and faults of Posthorn's side each have a schedule and a count of their own, so that a
 *          delivery that sees all of them ends after the sum of the schedules at the latest.
 * RETRY-2  A refusal of the endpoint uses up no attempt while the receiver refuses everything. While the app's circuit is open, that
 *          lasts until the delivery is too old (POSTHORN_MAX_PARKED_AGE); while the circuit is opening, MAX_SPARED times. Its delay is
 *          the first of the schedule: it will be parked then, and must not miss the receiver's recovery.
 */
import type { Random } from "../model/clock.ts";
import type { Delivery, SpentAttempts } from "../model/delivery.ts";
import type { RetryKind } from "../model/outcome.ts";
import { NEGLIGIBLE_REST } from "./delay-tiers.ts";
import type { RetryDelay } from "./ports.ts";

/** ± share of a scheduled delay, so that deliveries that failed together are not retried together. */
const JITTER = 0.2;

const MINUTE_MS = 60_000;

/** After faults of Posthorn's side: 5 s, doubling to half an hour, for a day. */
export const OWN_FAULT_SCHEDULE_MS: readonly number[] = Array.from({ length: 55 }, (_, at) => Math.min(5_000 * 2 ** at, 30 * MINUTE_MS));

/** RETRY-2. */
const MAX_SPARED = 20;
/** The delay of a spared attempt if the schedule is empty. */
const SPARED_MS = 30_000;

/** Whether another refusal of the endpoint uses up no attempt (RETRY-2). */
export function isSpared({ attemptsMade, spent }: Delivery, circuit: "open" | "opening" | "closed"): boolean {
  if (circuit !== "opening") return circuit === "open";
  return attemptsMade - spent.failure - spent.refusal - spent.own_fault <= MAX_SPARED;
}

export interface FailedAttempt {
  readonly because: RetryKind;
  /** Before this attempt. */
  readonly spent: SpentAttempts;
  readonly scheduleMs: readonly number[];
  /** RETRY-2. */
  readonly isSpared: boolean;
  /** Delay that the response's Retry-After asked for, or null. */
  readonly retryAfterMs: number | null;
  readonly nowMs: number;
}

export interface Retry {
  readonly delay: RetryDelay;
  readonly spent: SpentAttempts;
}

/** @returns null after the last attempt */
export function nextRetry({ because, spent, scheduleMs, isSpared, retryAfterMs, nowMs }: FailedAttempt, random: Random): Retry | null {
  const before = spent[because];
  if (isSpared) return { spent, delay: delayOf(scheduleMs[0] ?? SPARED_MS, retryAfterMs, nowMs, random) };
  const scheduled = scheduleMs[before];
  if (scheduled === undefined) return null;
  return { spent: { ...spent, [because]: before + 1 }, delay: delayOf(scheduled, retryAfterMs, nowMs, random) };
}

function delayOf(scheduledMs: number, retryAfterMs: number | null, nowMs: number, random: Random): RetryDelay {
  const jittered = Math.round(scheduledMs * (1 + JITTER * (2 * random() - 1)));
  if (retryAfterMs !== null && retryAfterMs > jittered) {
    return { dueAt: nowMs + retryAfterMs, delayMs: retryAfterMs, notBefore: true };
  }
  // Without notBefore the last tenth of the delay may be skipped, which would be before the Retry-After.
  const notBefore = retryAfterMs !== null && retryAfterMs > jittered * (1 - NEGLIGIBLE_REST);
  return { dueAt: nowMs + jittered, delayMs: jittered, notBefore };
}

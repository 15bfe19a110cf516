/** The next step of a delivery: what an attempt decides, or what is known without one. */
import type { App } from "../model/app.ts";
import { type Random, toRfc3339 } from "../model/clock.ts";
import { type DeadLetterReason, type Delivery, MAX_ATTEMPT_SUMMARIES, MAX_SUMMARY_ERROR } from "../model/delivery.ts";
import type { RetryKind } from "../model/outcome.ts";
import { throttleFor } from "../model/throttle.ts";
import type { Classified } from "./classify.ts";
import type { AttemptRecord, RetryDelay } from "./ports.ts";
import { isSpared, nextRetry, OWN_FAULT_SCHEDULE_MS } from "./retry-policy.ts";

export type Disposition = DeliveredDisposition | RetryDisposition | DeadLetterDisposition;

interface WithDelivery {
  readonly delivery: Delivery;
  /** The attempt that led to it; null when there was none. */
  readonly record: AttemptRecord | null;
}

export interface DeliveredDisposition extends WithDelivery {
  readonly kind: "delivered";
}

export interface RetryDisposition extends WithDelivery {
  readonly kind: "retry";
  readonly delay: RetryDelay;
}

export interface DeadLetterDisposition extends WithDelivery {
  readonly kind: "dead-letter";
  readonly reason: DeadLetterReason;
  readonly error: string | null;
}

/** There was no attempt: the app's circuit is open, or the app is throttled. */
export interface Deferred {
  readonly kind: "deferred";
}

export interface DispositionDependencies {
  /** `opening`: it is closed, but the last attempts all failed. */
  readonly circuitOf: (app: string) => "open" | "opening" | "closed";
  readonly random: Random;
}

export interface DispositionOptions {
  readonly retryScheduleMs: readonly number[];
  /** After answers that refuse the endpoint. */
  readonly rejectedRetryScheduleMs: readonly number[];
  readonly maxThrottleMs: number;
  readonly maxParkedAgeMs: number;
}

/** All replicas know by then that the app is throttled. */
const KNOWN_WITHIN_MS = 1_000;

export function createDispositionOf(
  { circuitOf, random }: DispositionDependencies,
  options: DispositionOptions,
): (record: AttemptRecord, classified: Classified) => Disposition {
  const scheduleOf = ({ retryScheduleMs }: App): Readonly<Record<RetryKind, readonly number[]>> => ({
    failure: retryScheduleMs ?? options.retryScheduleMs,
    refusal: options.rejectedRetryScheduleMs,
    own_fault: OWN_FAULT_SCHEDULE_MS,
  });

  /** Waits with its app, however long that is throttled, and uses up no schedule: only its age ends it. */
  const paused = (delivery: Delivery, record: AttemptRecord, throttleMs: number): Disposition => {
    const now = record.endedAt;
    const firstParkedAt = delivery.firstParkedAt ?? now;
    if (now - firstParkedAt > options.maxParkedAgeMs)
      return { kind: "dead-letter", delivery, record, reason: "expired", error: expiredAfter(now - firstParkedAt) };
    const delayMs = Math.min(throttleMs, KNOWN_WITHIN_MS);
    const delay = { dueAt: now + delayMs, delayMs, notBefore: true };
    return { kind: "retry", delivery: { ...delivery, firstParkedAt }, record, delay };
  };

  return (record, { next, retryAfterMs }) => {
    const { error, app, endedAt } = record;
    const delivery = withAttempt(record);
    if (next.kind === "done") return { kind: "delivered", delivery, record };
    if (next.kind === "pause") return paused(delivery, record, throttleFor(next.pauseMs, options.maxThrottleMs));
    if (next.kind === "dead-letter") return { kind: "dead-letter", delivery, record, reason: next.reason, error };
    const { because } = next;
    const scheduleMs = scheduleOf(app)[because];
    const spares = because === "refusal" && isSpared(delivery, circuitOf(app.slug));
    const { spent } = delivery;
    const retry = nextRetry({ because, spent, scheduleMs, isSpared: spares, retryAfterMs, nowMs: endedAt }, random);
    if (retry !== null) return { kind: "retry", delivery: { ...delivery, spent: retry.spent }, record, delay: retry.delay };
    const reason = because === "refusal" && scheduleMs.length === 0 ? "rejected" : "exhausted";
    return { kind: "dead-letter", delivery, record, reason, error };
  };
}

/** The delivery after the attempt. */
function withAttempt(record: AttemptRecord): Delivery {
  const { delivery } = record;
  if (record.outcome === "delivered") return delivery;
  const summary = {
    attempt: record.attempt,
    at: toRfc3339(record.startedAt),
    outcome: record.outcome,
    responseCode: record.responseCode,
    durationMs: record.durationMs,
    error: record.error?.slice(0, MAX_SUMMARY_ERROR) ?? null,
  };
  return {
    ...delivery,
    attemptsMade: record.attempt,
    attempts: [...delivery.attempts.slice(1 - MAX_ATTEMPT_SUMMARIES), summary],
  };
}

export function expiredAfter(ageMs: number): string {
  return `first parked ${Math.round(ageMs / 1000)} s ago, longer than POSTHORN_MAX_PARKED_AGE`;
}

export const DEFERRED: Deferred = { kind: "deferred" };

/** Gives the delivery up without an attempt. */
export function givenUp(delivery: Delivery, reason: DeadLetterReason, error: string): DeadLetterDisposition {
  return { kind: "dead-letter", delivery, record: null, reason, error };
}

export function uninstalled(delivery: Delivery): DeadLetterDisposition {
  return givenUp(delivery, "uninstalled", `installation ${delivery.installationUuid} of app ${delivery.app} is no longer in the registry`);
}

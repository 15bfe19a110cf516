/**
 * One attempt of one delivery: build, sign, POST, classify, report, and decide what follows. URL, secrets and headers come from
 * the registry at this moment; no message carries them.
 */

import type { App } from "../model/app.ts";
import { type Clock, type Random, toRfc3339 } from "../model/clock.ts";
import { type DeadLetterReason, type Delivery, isTestCall, MAX_ATTEMPT_SUMMARIES, MAX_SUMMARY_ERROR } from "../model/delivery.ts";
import type { RetryKind } from "../model/outcome.ts";
import { withoutSecretsOf } from "../model/redaction/app-secrets.ts";
import { throttleFor } from "../model/throttle.ts";
import { type Classified, classify, headerOf } from "./classify.ts";
import type { EnvelopeBuilder } from "./envelope.ts";
import type { HeaderBuilder } from "./headers.ts";
import type { SendResult } from "./http/exchange.ts";
import { readableBody } from "./http/readable-body.ts";
import type { Sender } from "./http/sender.ts";
import { webhookUrlOf } from "./limits/destination.ts";
import type { AttemptRecord, RegistryView, RetryDelay } from "./ports.ts";
import { recipientOf } from "./recipient.ts";
import { isSpared, nextRetry, OWN_FAULT_SCHEDULE_MS } from "./retry-policy.ts";
import { sign } from "./signature.ts";
import type { TracePosition, Tracing } from "./tracing-ports.ts";

/** The next step of a delivery after an attempt, or without one. */
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

export type Attempt = (delivery: Delivery, parent: TracePosition) => Promise<Disposition | Deferred>;

export interface AttemptDependencies {
  readonly registry: RegistryView;
  readonly envelope: EnvelopeBuilder;
  readonly headers: HeaderBuilder;
  readonly sender: Sender;
  /** Whether the app's throttle and circuit let an attempt start. Test calls don't ask. */
  readonly tryStart: (app: string) => boolean;
  /** `opening`: it is closed, but the last attempts all failed. */
  readonly circuitOf: (app: string) => "open" | "opening" | "closed";
  /** Called with every attempt, in this order: request log, telemetry, health rule, circuit. They neither wait nor throw. */
  readonly attemptListeners: ReadonlyArray<(attempt: AttemptRecord) => void>;
  readonly tracing: Tracing;
  readonly clock: Clock;
  /** Dates the signatures, which receivers compare with their own clocks. */
  readonly wallClock?: Clock;
  readonly random: Random;
  /** 32 hex digits. */
  readonly newRequestId: () => string;
}

export interface AttemptOptions {
  readonly requestTimeoutMs: number;
  readonly retryScheduleMs: readonly number[];
  /** After answers that refuse the endpoint. */
  readonly rejectedRetryScheduleMs: readonly number[];
  readonly maxThrottleMs: number;
  readonly maxParkedAgeMs: number;
  readonly headerPrefix: string;
}

/** Limit of the receiver's own error reference: every row of the request log keeps it. */
const MAX_REFERENCE_CHARACTERS = 256;

export function createAttempt(dependencies: AttemptDependencies, options: AttemptOptions): Attempt {
  const {
    registry,
    envelope,
    headers,
    sender,
    tryStart,
    circuitOf,
    attemptListeners,
    tracing,
    clock,
    wallClock = clock,
    random,
    newRequestId,
  } = dependencies;
  const errorHeader = `${options.headerPrefix.toLowerCase()}-error`;
  const projectHeader = `${options.headerPrefix.toLowerCase()}-project`;

  const scheduleOf = ({ retryScheduleMs }: App): Readonly<Record<RetryKind, readonly number[]>> => ({
    failure: retryScheduleMs ?? options.retryScheduleMs,
    refusal: options.rejectedRetryScheduleMs,
    own_fault: OWN_FAULT_SCHEDULE_MS,
  });

  /** Waits with its app, and uses up no schedule: only its age ends it. */
  const paused = (delivery: Delivery, record: AttemptRecord, delayMs: number): Disposition => {
    const now = record.endedAt;
    const firstParkedAt = delivery.firstParkedAt ?? now;
    if (now - firstParkedAt > options.maxParkedAgeMs)
      return { kind: "dead-letter", delivery, record, reason: "expired", error: expiredAfter(now - firstParkedAt) };
    const delay = { dueAt: now + delayMs, delayMs, notBefore: true };
    return { kind: "retry", delivery: { ...delivery, firstParkedAt }, record, delay };
  };

  const dispositionOf = (delivery: Delivery, record: AttemptRecord, { next, retryAfterMs }: Classified): Disposition => {
    const { error, app } = record;
    if (next.kind === "done") return { kind: "delivered", delivery, record };
    if (next.kind === "pause") return paused(delivery, record, throttleFor(next.pauseMs, options.maxThrottleMs));
    if (next.kind === "dead-letter") return { kind: "dead-letter", delivery, record, reason: next.reason, error };
    const { because } = next;
    const scheduleMs = scheduleOf(app)[because];
    const spares = because === "refusal" && isSpared(delivery, circuitOf(app.slug));
    const { spent } = delivery;
    const retry = nextRetry({ because, spent, scheduleMs, isSpared: spares, retryAfterMs, nowMs: clock.now() }, random);
    if (retry !== null) return { kind: "retry", delivery: { ...delivery, spent: retry.spent }, record, delay: retry.delay };
    const reason = because === "refusal" && scheduleMs.length === 0 ? "rejected" : "exhausted";
    return { kind: "dead-letter", delivery, record, reason, error };
  };

  return async (delivery, parent) => {
    const recipient = recipientOf(registry, delivery);
    if (recipient === null) return uninstalled(delivery);
    const { app, installation } = recipient;
    if (!isTestCall(delivery) && !tryStart(app.slug)) return DEFERRED;

    const attempt = delivery.attemptsMade + 1;
    const url = webhookUrlOf(installation, app);
    const span = tracing.attempt(parent, delivery, attempt, url);
    const startedAt = clock.now();
    const startedMs = performance.now();
    const timestampS = Math.floor(wallClock.now() / 1000);
    const body = envelope.body(delivery.event, installation.uuid);
    const requestHeaders = headers({
      delivery,
      app,
      requestId: newRequestId(),
      timestampS,
      signatures: sign(app, delivery.id, timestampS, body, startedAt),
      trace: span,
    });

    const result = await sender.send({ url, headers: requestHeaders, body, timeoutMs: app.timeoutMs ?? options.requestTimeoutMs });

    const endedAt = clock.now();
    const classified = classify(result, app, endedAt);
    const { outcome, receiver, responseCode, error } = classified;
    // Rows, log lines, dead letters and status events show these texts, and a receiver may echo secrets that it was sent.
    const shown = (text: string | null): string | null => (text === null ? null : withoutSecretsOf(app, url, text));
    const durationMs = Math.round((performance.now() - startedMs) * 10) / 10;
    const readable = result.kind === "answered" ? readableBody(result.body, result.headers) : null;
    // Most bodies are plain text and need no await.
    const responseBody = readable instanceof Promise ? await readable : readable;
    const reference = referenceOf(result, errorHeader, projectHeader);
    const record: AttemptRecord = {
      delivery,
      app,
      installation,
      attempt,
      startedAt,
      endedAt,
      durationMs,
      webhookUrl: url,
      outcome,
      receiver,
      responseCode,
      pauseMs: classified.pauseMs,
      error: shown(error),
      errorId: shown(reference?.errorId ?? null),
      projectId: shown(reference?.projectId ?? null),
      traceId: span.traceId,
      spanId: span.spanId,
      requestHeaders,
      requestBody: body,
      responseHeaders: result.kind === "answered" ? result.headers : null,
      responseBody,
      responseBodySize: result.kind === "answered" ? result.bodySize : null,
    };
    span.end(record);
    for (const onAttempt of attemptListeners) onAttempt(record);
    return dispositionOf(withAttempt(delivery, record), record, classified);
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

/** Both headers or neither: one alone identifies nothing. */
function referenceOf(result: SendResult, errorHeader: string, projectHeader: string): { errorId: string; projectId: string } | null {
  if (result.kind !== "answered") return null;
  const errorId = headerOf(result.headers, errorHeader)?.slice(0, MAX_REFERENCE_CHARACTERS);
  const projectId = headerOf(result.headers, projectHeader)?.slice(0, MAX_REFERENCE_CHARACTERS);
  return errorId && projectId ? { errorId, projectId } : null;
}

function withAttempt(delivery: Delivery, record: AttemptRecord): Delivery {
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

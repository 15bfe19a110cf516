/**
 * One attempt of one delivery: build, sign, POST, classify, report, and decide what follows. URL, secrets and headers come from
 * the registry at this moment; no message carries them.
 */

import type { Clock } from "../model/clock.ts";
import { type Delivery, isTestCall } from "../model/delivery.ts";
import { withoutSecretsOf } from "../model/redaction/app-secrets.ts";
import { classify, headerOf } from "./classify.ts";
import {
  createDispositionOf,
  DEFERRED,
  type Deferred,
  type Disposition,
  type DispositionDependencies,
  type DispositionOptions,
  uninstalled,
} from "./disposition.ts";
import { type EnvelopeBuilder, startOfBody } from "./envelope.ts";
import type { HeaderBuilder } from "./headers.ts";
import type { SendResult } from "./http/exchange.ts";
import { readableBody } from "./http/readable-body.ts";
import type { Sender } from "./http/sender.ts";
import { webhookUrlOf } from "./limits/destination.ts";
import type { AttemptRecord, RegistryView } from "./ports.ts";
import { recipientOf } from "./recipient.ts";
import { sign } from "./signature.ts";
import type { TracePosition, Tracing } from "./tracing-ports.ts";

export type Attempt = (delivery: Delivery, parent: TracePosition) => Promise<Disposition | Deferred>;

export interface AttemptDependencies extends DispositionDependencies {
  readonly registry: RegistryView;
  readonly envelope: EnvelopeBuilder;
  readonly headers: HeaderBuilder;
  readonly sender: Sender;
  /** Whether the app's throttle and circuit let an attempt start. Test calls don't ask. */
  readonly tryStart: (app: string) => boolean;
  /** Called with every attempt, in this order: request log, telemetry, health rule, circuit. They neither wait nor throw. */
  readonly attemptListeners: ReadonlyArray<(attempt: AttemptRecord) => void>;
  readonly tracing: Tracing;
  readonly clock: Clock;
  /** Dates the signatures, which receivers compare with their own clocks. */
  readonly wallClock?: Clock;
  /** 32 hex digits. */
  readonly newRequestId: () => string;
}

export interface AttemptOptions extends DispositionOptions {
  readonly requestTimeoutMs: number;
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

  const dispositionOf = createDispositionOf({ circuitOf, random }, options);

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
    const body = envelope(delivery.event, installation.uuid);
    const requestHeaders = headers({
      delivery,
      app,
      requestId: newRequestId(),
      timestampS,
      signatures: sign(app, delivery.id, timestampS, body, startedAt),
      trace: span,
    });

    const timeoutMs = app.timeoutMs ?? options.requestTimeoutMs;
    const result = await sender.send({ url, headers: requestHeaders, bodyHead: body.head, body: body.tail, timeoutMs });

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
      // A method, because a getter would give this object slow properties (ADR 14).
      requestBody: () => startOfBody(body),
      responseHeaders: result.kind === "answered" ? result.headers : null,
      responseBody,
      responseBodySize: result.kind === "answered" ? result.bodySize : null,
    };
    span.end(record);
    for (const onAttempt of attemptListeners) onAttempt(record);
    return dispositionOf(record, classified);
  };
}

/** Both headers or neither: one alone identifies nothing. */
function referenceOf(result: SendResult, errorHeader: string, projectHeader: string): { errorId: string; projectId: string } | null {
  if (result.kind !== "answered") return null;
  const errorId = headerOf(result.headers, errorHeader)?.slice(0, MAX_REFERENCE_CHARACTERS);
  const projectId = headerOf(result.headers, projectHeader)?.slice(0, MAX_REFERENCE_CHARACTERS);
  return errorId && projectId ? { errorId, projectId } : null;
}

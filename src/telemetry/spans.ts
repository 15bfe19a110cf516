/** Converts spans to positions and links, and records errors. */
import { createTraceState, type Link, type Span, type SpanContext, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { TracePosition } from "../delivery/tracing-ports.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import { formatTraceparent, parseTraceparent } from "../model/trace-context.ts";

export function fail(span: Span, error: unknown): void {
  span.setAttribute("error.type", error instanceof AppError ? error.code : "_OTHER");
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
}

export function positionOf(span: Span): TracePosition {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  return { traceId, spanId, traceparent: formatTraceparent(traceId, spanId, traceFlags), tracestate: traceState?.serialize() ?? null };
}

/** @returns null for a missing or invalid traceparent */
export function spanContextOf({ traceparent, tracestate }: TraceHeaders): SpanContext | null {
  const parsed = parseTraceparent(traceparent);
  if (parsed === null) return null;
  return {
    traceId: parsed.traceId,
    spanId: parsed.spanId,
    traceFlags: parsed.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(tracestate === null ? {} : { traceState: createTraceState(tracestate) }),
  };
}

export function linksTo(all: readonly TraceHeaders[]): Link[] {
  return all.map(spanContextOf).flatMap((context) => (context === null ? [] : [{ context }]));
}

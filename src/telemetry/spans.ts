/** Converts trace headers to span contexts and links. */
import { createTraceState, type Link, type SpanContext, TraceFlags } from "@opentelemetry/api";
import { parseTraceparent, type TraceHeaders } from "../model/trace-context.ts";

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

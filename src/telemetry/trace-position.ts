/** Positions in a trace where no span is recorded, and whether a span is sampled. */
import { type SpanContext, TraceFlags } from "@opentelemetry/api";
import type { AttemptSpan, TracePosition } from "../delivery/tracing-ports.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import type { TraceIds } from "./trace-ids.ts";

/** The publisher's position, since nothing was recorded in between; or the start of an unsampled trace. */
export function silentPosition({ traceparent, tracestate }: TraceHeaders, ids: TraceIds): TracePosition {
  if (traceparent !== null) return { traceId: traceparent.slice(3, 35), spanId: traceparent.slice(36, 52), traceparent, tracestate };
  const traceId = ids.traceId();
  const spanId = ids.spanId();
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-00`, tracestate: null };
}

/** A new span id for each attempt, with the sampling decision of the trace. */
export function silentAttempt({ traceId, traceparent, tracestate }: TracePosition, ids: TraceIds): AttemptSpan {
  const spanId = ids.spanId();
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${traceparent.slice(53, 55)}`, tracestate, end: nothing };
}

export function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) !== 0;
}

function nothing(): void {}

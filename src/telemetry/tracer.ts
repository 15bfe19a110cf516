/** Starts spans, and asks the sampler whether they are recorded. */
import {
  type Attributes,
  type Link,
  ROOT_CONTEXT,
  SamplingDecision,
  type SpanContext,
  SpanKind,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import type { Sampler } from "@opentelemetry/sdk-trace";
import type { TraceHeaders } from "../model/trace-context.ts";
import { RecordedSpan, type SpanOrigin, type StartedSpan, UnrecordedSpan } from "./recorded-span.ts";
import { spanContextOf } from "./spans.ts";
import { createTraceIds } from "./trace-ids.ts";

export interface StartOptions {
  readonly kind?: SpanKind;
  /** Belong to the span from here on. */
  readonly attributes?: Attributes;
  readonly links?: Link[];
  /** Milliseconds since the epoch; now when not given. */
  readonly startedAt?: number;
}

export interface Tracer {
  /** @param parent a span, or the headers of one; null: the span starts a trace */
  start(name: string, parent: TraceHeaders | null, options: StartOptions): StartedSpan;
}

export function createTracer(origin: SpanOrigin, sampler: Sampler): Tracer {
  const ids = createTraceIds();

  /** The sampler's decision; a span within a recorded one is recorded, too (TRACE-2). */
  const decide = (name: string, parent: SpanContext | null, traceId: string, kind: SpanKind, attributes: Attributes, links: Link[]) => {
    const context = parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    return sampler.shouldSample(context, traceId, name, kind, attributes, links);
  };

  return {
    start(name, parentHeaders, { kind = SpanKind.INTERNAL, attributes = {}, links = [], startedAt }) {
      const within = parentHeaders instanceof RecordedSpan ? parentHeaders : null;
      const parent = within?.spanContext() ?? (parentHeaders === null ? null : spanContextOf(parentHeaders));
      const traceId = parent?.traceId ?? ids.traceId();
      const sampled = within === null ? decide(name, parent, traceId, kind, attributes, links) : null;
      const isRecorded = sampled === null || sampled.decision === SamplingDecision.RECORD_AND_SAMPLED;
      const traceState = sampled?.traceState ?? parent?.traceState;
      const context: SpanContext = {
        traceId,
        spanId: ids.spanId(),
        traceFlags: isRecorded ? TraceFlags.SAMPLED : TraceFlags.NONE,
        ...(traceState === undefined ? {} : { traceState }),
      };
      if (!isRecorded) return new UnrecordedSpan(context);
      if (sampled?.attributes !== undefined) Object.assign(attributes, sampled.attributes);
      return new RecordedSpan(origin, { name, kind, context, parent, attributes, links, startedAt: startedAt ?? null });
    },
  };
}

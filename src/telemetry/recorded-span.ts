/**
 * Spans for the SDK's processors and exporters. The SDK's own check and copy every attribute several times, which is for spans of code
 * that it doesn't know; they cost a delivery more than the rest of its tracing.
 */
import { type Attributes, type HrTime, type Link, type SpanContext, type SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { ReadableSpan } from "@opentelemetry/sdk-trace";
import type { TracePosition } from "../delivery/tracing-ports.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { formatTraceparent } from "../model/trace-context.ts";

/** A span that was started, and its position in the trace. It may not be recorded: calls then have no effect. */
export interface StartedSpan extends TracePosition {
  readonly isRecorded: boolean;
  spanContext(): SpanContext;
  setAttributes(attributes: Attributes): void;
  addLink(context: SpanContext): void;
  /** @param message null: none is needed */
  setFailed(message: string | null): void;
  /** @param endedAt milliseconds since the epoch; now when not given */
  end(endedAt?: number): void;
}

/** The parts that all spans of a tracer have in common. */
export interface SpanOrigin {
  readonly resource: Resource;
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
  readonly onEnd: (span: ReadableSpan) => void;
}

export interface SpanFacts {
  readonly name: string;
  readonly kind: SpanKind;
  readonly context: SpanContext;
  readonly parent: SpanContext | null;
  readonly attributes: Attributes;
  readonly links: Link[];
  /** Milliseconds since the epoch; null: now. */
  readonly startedAt: number | null;
}

const NO_EVENTS: ReadableSpan["events"] = [];
const UNSET = { code: SpanStatusCode.UNSET };

/** A class for its fixed shape: there are three per delivery. */
export class RecordedSpan implements StartedSpan, ReadableSpan {
  readonly isRecorded = true;
  readonly traceId: string;
  readonly spanId: string;
  readonly traceparent: string;
  readonly tracestate: string | null;
  readonly name: string;
  readonly kind: SpanKind;
  readonly parentSpanContext?: SpanContext;
  readonly attributes: Attributes;
  readonly links: Link[];
  readonly events = NO_EVENTS;
  readonly resource: Resource;
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  status: ReadableSpan["status"] = UNSET;
  ended = false;
  private readonly context: SpanContext;
  private readonly onEnd: SpanOrigin["onEnd"];
  private readonly startedAt: number;
  /** By performance.now(). */
  private readonly startedMs: number;
  private endedAt = 0;

  constructor({ resource, instrumentationScope, onEnd }: SpanOrigin, facts: SpanFacts) {
    const { context, parent } = facts;
    this.traceId = context.traceId;
    this.spanId = context.spanId;
    this.traceparent = formatTraceparent(context.traceId, context.spanId, context.traceFlags);
    this.tracestate = context.traceState?.serialize() ?? null;
    this.name = facts.name;
    this.kind = facts.kind;
    if (parent !== null) this.parentSpanContext = parent;
    this.attributes = facts.attributes;
    this.links = facts.links;
    this.resource = resource;
    this.instrumentationScope = instrumentationScope;
    this.context = context;
    this.onEnd = onEnd;
    this.startedAt = facts.startedAt ?? Date.now();
    this.startedMs = performance.now();
  }

  get startTime(): HrTime {
    return toHrTime(this.startedAt);
  }

  get endTime(): HrTime {
    return toHrTime(this.endedAt);
  }

  get duration(): HrTime {
    return toHrTime(this.endedAt - this.startedAt);
  }

  spanContext(): SpanContext {
    return this.context;
  }

  setAttributes(attributes: Attributes): void {
    Object.assign(this.attributes, attributes);
  }

  addLink(context: SpanContext): void {
    this.links.push({ context });
  }

  setFailed(message: string | null): void {
    this.status = { code: SpanStatusCode.ERROR, ...(message === null ? {} : { message }) };
  }

  end(endedAt = this.startedAt + (performance.now() - this.startedMs)): void {
    this.ended = true;
    this.endedAt = Math.max(this.startedAt, endedAt);
    this.onEnd(this);
  }
}

export class UnrecordedSpan implements StartedSpan {
  readonly isRecorded = false;
  readonly traceId: string;
  readonly spanId: string;
  readonly traceparent: string;
  readonly tracestate: string | null;
  private readonly context: SpanContext;

  constructor(context: SpanContext) {
    this.traceId = context.traceId;
    this.spanId = context.spanId;
    this.traceparent = formatTraceparent(context.traceId, context.spanId, context.traceFlags);
    this.tracestate = context.traceState?.serialize() ?? null;
    this.context = context;
  }

  spanContext(): SpanContext {
    return this.context;
  }

  setAttributes(): void {}
  addLink(): void {}
  setFailed(): void {}
  end(): void {}
}

export function failWith(span: StartedSpan, error: unknown): void {
  span.setAttributes({ "error.type": error instanceof AppError ? error.code : "_OTHER" });
  span.setFailed(messageOf(error));
}

function toHrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)];
}

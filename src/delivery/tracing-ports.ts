/** The tracing of the delivery path; telemetry implements it. */
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import type { AttemptRecord, HandledMessage, StoredMessageRef, StreamName } from "./ports.ts";

/** A span, or its identity when no span is recorded. */
export interface TracePosition extends TraceHeaders {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceparent: string;
}

/** The client span of one attempt. */
export interface AttemptSpan extends TracePosition {
  end(attempt: AttemptRecord): void;
}

/** A batch of attempts that was written to Redis slowly, or not at the first try. */
export interface LateBatch {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly tries: number;
  /** Error of the last failed try. */
  readonly error: string | null;
  /** The `traceparent` headers of its attempts. */
  readonly traceparents: readonly string[];
}

/**
 * Spans. Each `work` is called at once, and the span ends when its promise settles. Without the OpenTelemetry SDK no span is
 * recorded, but positions are valid, so that logs, rows and receivers share one trace id.
 */
export interface Tracing {
  /** Consumer span: a message of a stream is handled. It continues the message's trace. */
  process<T>(event: Event, stream: StreamName, message: HandledMessage, work: (span: TracePosition) => Promise<T>): Promise<T>;
  /** Work on an event without a message: a probe, a test call or a replay. */
  start<T>(what: "probe" | "test" | "replay", event: Event, work: (span: TracePosition) => Promise<T>): Promise<T>;
  /** One delivery of the handled message, until it is done or stored in a stream. */
  deliver<T>(parent: TracePosition, delivery: Delivery, work: (span: TracePosition) => Promise<T>): Promise<T>;
  attempt(parent: TracePosition, delivery: Delivery, attempt: number, url: string): AttemptSpan;
  /** Producer span: a delivery is stored in a stream. @param work gets the headers for the message */
  store(
    parent: TraceHeaders,
    stream: StreamName,
    delivery: Delivery,
    detail: string,
    work: (trace: TraceHeaders) => Promise<StoredMessageRef>,
  ): Promise<StoredMessageRef>;
  /** Producer span: an event is stored in fan-out batches. @param work gets the headers for the batches and returns their number */
  fanOut(parent: TraceHeaders, event: Event, work: (trace: TraceHeaders) => Promise<number>): Promise<unknown>;
  /** Producer span: an event that came over HTTP is published. */
  publish<T>(caller: TraceHeaders, subject: string, eventId: string, work: (trace: TraceHeaders) => Promise<T>): Promise<T>;
  /** Many deliveries are replayed at once: a trace of its own, with links to theirs. */
  batch<T>(name: string, work: (batch: TraceBatch) => Promise<T>): Promise<T>;
  lateBatch(batch: LateBatch): void;
}

export interface TraceBatch {
  /** As `Tracing.store`; continues the delivery's own trace. */
  store(stream: StreamName, delivery: Delivery, detail: string, work: (trace: TraceHeaders) => Promise<StoredMessageRef>): Promise<unknown>;
  /** As `Tracing.fanOut`; continues the event's own trace. */
  fanOut(event: Event, work: (trace: TraceHeaders) => Promise<number>): Promise<unknown>;
}

/**
 * Spans by the OpenTelemetry API.
 *
 * TRACE-1  A message's creation context is the parent of its process span and linked from it. A message from a stream is also linked
 *     with the publisher's context. So an event is one trace, over all of its retries, parkings and replays.
 * TRACE-2  The publisher's sampling decision holds: a process span that is not recorded has no recorded children, and the receiver's
 *     traceparent says so.
 */
import { type Context, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { AttemptRecord, StoredMessageRef, StreamName } from "../delivery/ports.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import {
  deliveryAttributes,
  eventAttributes,
  natsServerAttributes,
  processAttributes,
  publishAttributes,
  redisServerAttributes,
  requestAttributes,
  responseAttributes,
} from "./span-attributes.ts";
import { fail, linksTo, positionOf, spanContextOf } from "./spans.ts";
import { recordBatch, recordLateBatch } from "./trace-batch.ts";
import { createTraceIds } from "./trace-ids.ts";
import { silentAttempt } from "./trace-position.ts";

export interface RecordingOptions {
  readonly version: string;
  /** A stream's subjects with placeholders: few enough for span names (jetstream/subjects.ts). */
  readonly subjectTemplate: (stream: StreamName) => string;
  /** `host:port` of the connected server; empty while disconnected. */
  readonly natsServer: () => string;
  /** Null for a cluster, which has many servers. */
  readonly redisUrl: string | null;
}

export function createRecordingTracing({ version, subjectTemplate, natsServer, redisUrl }: RecordingOptions): Tracing {
  const tracer = trace.getTracer("posthorn", version);
  const ids = createTraceIds();
  const nats = natsServerAttributes(natsServer);
  const redis = redisServerAttributes(redisUrl);
  /** Position → its recorded span. */
  const spans = new WeakMap<TraceHeaders, Span>();

  const parentContext = (headers: TraceHeaders): Context => {
    const span = spans.get(headers);
    if (span !== undefined) return trace.setSpan(ROOT_CONTEXT, span);
    const context = spanContextOf(headers);
    return context === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context);
  };

  /** Ends the span when the work is done, with its error if it failed. */
  const within = <T>(span: Span, work: (position: TracePosition) => Promise<T>): Promise<T> => {
    const position = positionOf(span);
    if (span.isRecording()) spans.set(position, span);
    return work(position).then(
      (result) => {
        span.end();
        return result;
      },
      (error: unknown) => {
        fail(span, error);
        span.end();
        throw error;
      },
    );
  };

  const startStore = (parent: TraceHeaders, stream: StreamName, delivery: Delivery, detail: string): Span => {
    const template = subjectTemplate(stream);
    const attributes = {
      ...publishAttributes({ "messaging.destination.template": template }, nats()),
      ...deliveryAttributes(delivery),
      "posthorn.detail": detail,
    };
    return tracer.startSpan(`publish ${template}`, { kind: SpanKind.PRODUCER, attributes }, parentContext(parent));
  };

  const storeWithin = (span: Span, work: (trace: TraceHeaders) => Promise<StoredMessageRef>): Promise<StoredMessageRef> =>
    within(span, async (position) => {
      const receipt = await work(position);
      const { subject, sequence, messageId } = receipt;
      span.setAttributes({ "messaging.destination.name": subject, "messaging.message.id": messageId, "posthorn.sequence": sequence });
      return receipt;
    });

  const startFanOut = (parent: TraceHeaders, event: Event): Span => {
    const destination = subjectTemplate("fan-out");
    const attributes = { ...publishAttributes({ "messaging.destination.name": destination }, nats()), ...eventAttributes(event) };
    return tracer.startSpan(`publish ${destination}`, { kind: SpanKind.PRODUCER, attributes }, parentContext(parent));
  };

  const fanOutWithin = (span: Span, work: (trace: TraceHeaders) => Promise<number>): Promise<void> =>
    within(span, async (position) => {
      span.setAttribute("messaging.batch.message_count", await work(position));
    });

  return {
    process(event, stream, message, work) {
      const template = stream === "events" ? null : subjectTemplate(stream);
      const traceparent = template === null ? undefined : message.header("traceparent");
      const created = traceparent === undefined ? event : { traceparent, tracestate: message.header("tracestate") ?? null };
      const links = linksTo(created.traceparent === event.traceparent ? [created] : [created, event]);
      const attributes = processAttributes(event, template, message, nats());
      const name = `process ${template ?? message.subject}`;
      return within(tracer.startSpan(name, { kind: SpanKind.CONSUMER, attributes, links }, parentContext(created)), work);
    },

    start: (what, event, work) => within(tracer.startSpan(what, { attributes: eventAttributes(event) }, parentContext(event)), work),

    deliver(parent, delivery, work) {
      if (!spans.has(parent)) return work(parent);
      return within(tracer.startSpan("deliver", { attributes: deliveryAttributes(delivery) }, parentContext(parent)), work);
    },

    attempt(parent, delivery, attempt, url) {
      if (!spans.has(parent)) return silentAttempt(parent, ids);
      const attributes = requestAttributes(delivery, attempt, url);
      const span = tracer.startSpan("POST", { kind: SpanKind.CLIENT, attributes }, parentContext(parent));
      return { ...positionOf(span), end: (record) => endAttempt(span, record) };
    },

    store: (parent, stream, delivery, detail, work) => storeWithin(startStore(parent, stream, delivery, detail), work),

    fanOut: (parent, event, work) => fanOutWithin(startFanOut(parent, event), work),

    publish(caller, subject, eventId, work) {
      const attributes = publishAttributes({ "messaging.destination.name": subject, "messaging.message.id": eventId }, nats());
      return within(tracer.startSpan(`publish ${subject}`, { kind: SpanKind.PRODUCER, attributes }, parentContext(caller)), work);
    },

    batch: (name, work) => recordBatch(name, work, { tracer, startStore, storeWithin, startFanOut, fanOutWithin }),

    lateBatch: (batch) => recordLateBatch(tracer, batch, redis),
  };
}

function endAttempt(span: Span, record: AttemptRecord): void {
  span.setAttributes(responseAttributes(record));
  if (record.outcome !== "delivered") {
    // A status code needs no message; without one the error explains the failure.
    const message = record.responseCode === 0 ? record.error : null;
    span.setStatus({ code: SpanStatusCode.ERROR, ...(message === null ? {} : { message }) });
  }
  span.end();
}

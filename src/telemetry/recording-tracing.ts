/**
 * Spans by the OpenTelemetry API.
 *
 * T1  A message's creation context is the parent of its process span and linked from it; what was stored in a stream is linked
 *     with the publisher's context, too. So an event is one trace, over all of its retries, parkings and replays.
 * T2  The publisher's sampling decision holds: below a process span that is not recorded nothing is, and the receiver's
 *     traceparent says so.
 * T3  Work that belongs to many traces at once (a replay, a batch written to Redis) has a trace of its own with links. It
 *     begins with the first of them that is sampled, so that the sampler knows, and only what is sampled is linked.
 */
import {
  type Context,
  createTraceState,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import type { AttemptRecord, StoredMessageRef, StreamName } from "../delivery/ports.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { formatTraceparent, parseTraceparent, type TraceHeaders } from "../model/trace-context.ts";
import {
  deliveryAttributes,
  destinationTemplate,
  eventAttributes,
  lateBatchAttributes,
  natsServerAttributes,
  processAttributes,
  publishAttributes,
  redisServerAttributes,
  requestAttributes,
  responseAttributes,
} from "./span-attributes.ts";
import { createTraceIds } from "./trace-ids.ts";
import { isSampled, silentAttempt } from "./trace-position.ts";

export interface RecordingOptions {
  readonly version: string;
  /** POSTHORN_SUBJECT_PREFIX. */
  readonly prefix: string;
  /** `host:port` of the server that the connection is on; empty while there is none. */
  readonly natsServer: () => string;
  /** Null: a cluster. */
  readonly redisUrl: string | null;
}

/** OpenTelemetry's limit on the links of a span. */
const MOST_LINKS = 128;

export function createRecordingTracing({ version, prefix, natsServer, redisUrl }: RecordingOptions): Tracing {
  const tracer = trace.getTracer("posthorn", version);
  const ids = createTraceIds();
  const nats = natsServerAttributes(natsServer);
  const redis = redisServerAttributes(redisUrl);
  /** The recorded spans behind positions. */
  const spans = new WeakMap<TraceHeaders, Span>();

  const parentContext = (headers: TraceHeaders): Context => {
    const span = spans.get(headers);
    if (span !== undefined) return trace.setSpan(ROOT_CONTEXT, span);
    const context = spanContextOf(headers);
    return context === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, context);
  };

  /** Ends the span when the work is done, with its fault if it had one. */
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
    const template = destinationTemplate(prefix, stream);
    const attributes = {
      ...publishAttributes({ "messaging.destination.template": template }, nats()),
      ...deliveryAttributes(delivery),
      "posthorn.detail": detail,
    };
    return tracer.startSpan(`publish ${template}`, { kind: SpanKind.PRODUCER, attributes }, parentContext(parent));
  };

  const storeWithin = (span: Span, work: (trace: TraceHeaders) => Promise<StoredMessageRef>): Promise<void> =>
    within(span, async (position) => {
      const { subject, sequence, messageId } = await work(position);
      span.setAttribute("messaging.destination.name", subject);
      span.setAttribute("messaging.message.id", messageId);
      span.setAttribute("posthorn.sequence", sequence);
    });

  const startFanOut = (parent: TraceHeaders, event: Event): Span => {
    const destination = destinationTemplate(prefix, "fan-out");
    const attributes = { ...publishAttributes({ "messaging.destination.name": destination }, nats()), ...eventAttributes(event) };
    return tracer.startSpan(`publish ${destination}`, { kind: SpanKind.PRODUCER, attributes }, parentContext(parent));
  };

  const fanOutWithin = (span: Span, work: (trace: TraceHeaders) => Promise<number>): Promise<void> =>
    within(span, async (position) => {
      span.setAttribute("messaging.batch.message_count", await work(position));
    });

  return {
    process(event, stream, message, work) {
      const template = stream === "events" ? null : destinationTemplate(prefix, stream);
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

    async batch(name, work) {
      const startTime = Date.now();
      let span: Span | undefined;
      let linked = 0;
      let stored = 0;
      /** T3: both ways. */
      const link = (part: Span): void => {
        const context = part.spanContext();
        if (!isSampled(context)) return;
        if (span === undefined) span = tracer.startSpan(name, { root: true, startTime, links: [{ context }] });
        else if (linked < MOST_LINKS) span.addLink({ context });
        linked++;
        if (isSampled(span.spanContext())) part.addLink({ context: span.spanContext() });
      };
      try {
        return await work({
          async store(stream, delivery, detail, store) {
            const part = startStore(delivery.event, stream, delivery, detail);
            link(part);
            await storeWithin(part, store);
            stored++;
            span?.setAttribute("posthorn.deliveries", stored);
          },
          async fanOut(event, store) {
            const parts = startFanOut(event, event);
            link(parts);
            await fanOutWithin(parts, store);
          },
        });
      } catch (error) {
        if (span !== undefined) fail(span, error);
        throw error;
      } finally {
        span?.end();
      }
    },

    lateBatch(batch) {
      const links = linksTo(batch.traceparents.map((traceparent) => ({ traceparent, tracestate: null }))).filter(({ context }) =>
        isSampled(context),
      );
      if (links.length === 0) return;
      const attributes = lateBatchAttributes(batch, redis);
      const options = { kind: SpanKind.CLIENT, attributes, links: links.slice(0, MOST_LINKS), startTime: batch.startedAt, root: true };
      tracer.startSpan("EVALSHA write-batch", options).end(batch.endedAt);
    },
  };
}

function endAttempt(span: Span, record: AttemptRecord): void {
  span.setAttributes(responseAttributes(record));
  if (record.outcome !== "delivered") {
    // A status code says it all; without one the error is the only word about it.
    const message = record.responseCode === 0 ? record.error : null;
    span.setStatus({ code: SpanStatusCode.ERROR, ...(message === null ? {} : { message }) });
  }
  span.end();
}

function fail(span: Span, error: unknown): void {
  span.setAttribute("error.type", error instanceof AppError ? error.code : "_OTHER");
  span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
}

function positionOf(span: Span): TracePosition {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  return { traceId, spanId, traceparent: formatTraceparent(traceId, spanId, traceFlags), tracestate: traceState?.serialize() ?? null };
}

/** Null: there is none, or it is not one. */
function spanContextOf({ traceparent, tracestate }: TraceHeaders): SpanContext | null {
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

function linksTo(all: readonly TraceHeaders[]): Link[] {
  return all.map(spanContextOf).flatMap((context) => (context === null ? [] : [{ context }]));
}

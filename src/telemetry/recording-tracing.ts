/**
 * Spans of the delivery path, in the words of OpenTelemetry.
 *
 * TRACE-1  A message's creation context is the parent of its process span and linked from it. A message from a stream is also linked
 *     with the publisher's context. So an event is one trace, over all of its retries, parkings and replays.
 * TRACE-2  The publisher's sampling decision holds: a process span that is not recorded has no recorded children, and the receiver's
 *     traceparent says so.
 */
import { SpanKind } from "@opentelemetry/api";
import type { AttemptRecord, StoredMessageRef, StreamName } from "../delivery/ports.ts";
import type { TracePosition, Tracing } from "../delivery/tracing-ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import { failWith, RecordedSpan, type StartedSpan } from "./recorded-span.ts";
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
import { linksTo } from "./spans.ts";
import { recordBatch, recordLateBatch } from "./trace-batch.ts";
import { createTraceIds } from "./trace-ids.ts";
import { silentAttempt } from "./trace-position.ts";
import type { Tracer } from "./tracer.ts";

export interface RecordingOptions {
  readonly tracer: Tracer;
  /** A stream's subjects with placeholders: few enough for span names (jetstream/subjects.ts). */
  readonly subjectTemplate: (stream: StreamName) => string;
  /** `host:port` of the connected server; empty while disconnected. */
  readonly natsServer: () => string;
  /** Null for a cluster, which has many servers. */
  readonly redisUrl: string | null;
}

export function createRecordingTracing({ tracer, subjectTemplate, natsServer, redisUrl }: RecordingOptions): Tracing {
  const ids = createTraceIds();
  const nats = natsServerAttributes(natsServer);
  const redis = redisServerAttributes(redisUrl);

  /** Ends the span when the work is done, with its error if it failed. */
  const within = <T>(span: StartedSpan, work: (position: TracePosition) => Promise<T>): Promise<T> =>
    work(span).then(
      (result) => {
        span.end();
        return result;
      },
      (error: unknown) => {
        failWith(span, error);
        span.end();
        throw error;
      },
    );

  const startStore = (parent: TraceHeaders, stream: StreamName, delivery: Delivery, detail: string): StartedSpan => {
    const template = subjectTemplate(stream);
    const attributes = {
      ...publishAttributes({ "messaging.destination.template": template }, nats()),
      ...deliveryAttributes(delivery),
      "posthorn.detail": detail,
    };
    return tracer.start(`publish ${template}`, parent, { kind: SpanKind.PRODUCER, attributes });
  };

  const storeWithin = (span: StartedSpan, work: (trace: TraceHeaders) => Promise<StoredMessageRef>): Promise<StoredMessageRef> =>
    within(span, async (position) => {
      const receipt = await work(position);
      const { subject, sequence, messageId } = receipt;
      span.setAttributes({ "messaging.destination.name": subject, "messaging.message.id": messageId, "posthorn.sequence": sequence });
      return receipt;
    });

  const startFanOut = (parent: TraceHeaders, event: Event): StartedSpan => {
    const destination = subjectTemplate("fan-out");
    const attributes = { ...publishAttributes({ "messaging.destination.name": destination }, nats()), ...eventAttributes(event) };
    return tracer.start(`publish ${destination}`, parent, { kind: SpanKind.PRODUCER, attributes });
  };

  const fanOutWithin = (span: StartedSpan, work: (trace: TraceHeaders) => Promise<number>): Promise<void> =>
    within(span, async (position) => {
      span.setAttributes({ "messaging.batch.message_count": await work(position) });
    });

  return {
    process(event, stream, message, work) {
      const template = stream === "events" ? null : subjectTemplate(stream);
      const traceparent = template === null ? undefined : message.header("traceparent");
      const created = traceparent === undefined ? event : { traceparent, tracestate: message.header("tracestate") ?? null };
      const links = linksTo(created.traceparent === event.traceparent ? [created] : [created, event]);
      const attributes = processAttributes(event, template, message, nats());
      const name = `process ${template ?? message.subject}`;
      return within(tracer.start(name, created, { kind: SpanKind.CONSUMER, attributes, links }), work);
    },

    start: (what, event, work) => within(tracer.start(what, event, { attributes: eventAttributes(event) }), work),

    deliver(parent, delivery, work) {
      if (!isRecorded(parent)) return work(parent);
      return within(tracer.start("deliver", parent, { attributes: deliveryAttributes(delivery) }), work);
    },

    attempt(parent, delivery, attempt, url) {
      if (!isRecorded(parent)) return silentAttempt(parent, ids);
      const span = tracer.start("POST", parent, { kind: SpanKind.CLIENT, attributes: requestAttributes(delivery, attempt, url) });
      const { traceId, spanId, traceparent, tracestate } = span;
      return { traceId, spanId, traceparent, tracestate, end: (record) => endAttempt(span, record) };
    },

    store: (parent, stream, delivery, detail, work) => storeWithin(startStore(parent, stream, delivery, detail), work),

    fanOut: (parent, event, work) => fanOutWithin(startFanOut(parent, event), work),

    publish(caller, subject, eventId, work) {
      const attributes = publishAttributes({ "messaging.destination.name": subject, "messaging.message.id": eventId }, nats());
      return within(tracer.start(`publish ${subject}`, caller, { kind: SpanKind.PRODUCER, attributes }), work);
    },

    batch: (name, work) => recordBatch(name, work, { tracer, startStore, storeWithin, startFanOut, fanOutWithin }),

    lateBatch: (batch) => recordLateBatch(tracer, batch, redis),
  };
}

function isRecorded(position: TracePosition): boolean {
  return position instanceof RecordedSpan;
}

function endAttempt(span: StartedSpan, record: AttemptRecord): void {
  span.setAttributes(responseAttributes(record));
  // A status code needs no message; without one the error explains the failure.
  if (record.outcome !== "delivered") span.setFailed(record.responseCode === 0 ? record.error : null);
  span.end();
}

/**
 * One trace from publisher to receiver. Without the SDK no span is recorded, but every position is still valid, so that
 * the log line, the row in the request log and the receiver's traceparent carry the publisher's trace id. With it, each
 * message is a consumer span and each attempt a client span, after OpenTelemetry's conventions for messaging and HTTP.
 */
import {
  type Context,
  context,
  createTraceState,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import type { AttemptRecord, AttemptSpan, ProcessSpan, TracePosition, Tracing } from "../delivery/ports.ts";
import type { Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import { withoutQuery } from "./delivery-observer.ts";
import { createTraceIds } from "./trace-ids.ts";

/** @param isRecording whether an SDK was started. */
export function createTracing(isRecording: boolean, version: string): Tracing {
  return isRecording ? createRecordingTracing(version) : createSilentTracing();
}

function createSilentTracing(): Tracing {
  const ids = createTraceIds();
  const doNothing = (): void => {};

  return {
    process({ traceparent, tracestate }) {
      if (traceparent !== null) {
        // The publisher's own position: nothing was recorded in between.
        return { traceId: traceparent.slice(3, 35), spanId: traceparent.slice(36, 52), traceparent, tracestate, end: doNothing };
      }
      const traceId = ids.traceId();
      const spanId = ids.spanId();
      return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-00`, tracestate: null, end: doNothing };
    },
    attempt({ traceId, traceparent, tracestate }) {
      const spanId = ids.spanId();
      return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${traceparent.slice(53, 55)}`, tracestate, end: doNothing };
    },
  };
}

function createRecordingTracing(version: string): Tracing {
  const tracer = trace.getTracer("posthorn", version);
  const contexts = new WeakMap<TracePosition, Context>();

  return {
    process(event, lane) {
      const span = tracer.startSpan(
        `process ${lane}`,
        {
          kind: SpanKind.CONSUMER,
          attributes: {
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": lane,
            "messaging.message.id": event.id,
            "posthorn.event.type": event.type,
            "posthorn.organization.id": event.organizationId,
          },
        },
        publisherContext(event),
      );
      const position = positionOf(span);
      const processSpan: ProcessSpan = {
        ...position,
        end(error) {
          if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
          span.end();
        },
      };
      contexts.set(processSpan, trace.setSpan(ROOT_CONTEXT, span));
      return processSpan;
    },

    attempt(parent, delivery, attempt, url) {
      const span = tracer.startSpan(
        "POST",
        { kind: SpanKind.CLIENT, attributes: requestAttributes(delivery, attempt, url) },
        contexts.get(parent) ?? context.active(),
      );
      const attemptSpan: AttemptSpan = {
        ...positionOf(span),
        end(record) {
          endAttempt(span, record);
        },
      };
      return attemptSpan;
    },
  };
}

function publisherContext({ traceparent, tracestate }: Event): Context {
  if (traceparent === null) return ROOT_CONTEXT;
  const spanContext = {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: Number.parseInt(traceparent.slice(53, 55), 16) & TraceFlags.SAMPLED,
    isRemote: true,
    ...(tracestate === null ? {} : { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT;
}

function positionOf(span: Span): TracePosition {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const flags = (traceFlags & 0xff).toString(16).padStart(2, "0");
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: traceState?.serialize() ?? null };
}

function requestAttributes(delivery: Delivery, attempt: number, url: string): Record<string, string | number> {
  const { protocol, hostname, port } = new URL(url);
  return {
    "http.request.method": "POST",
    "url.full": withoutQuery(url),
    "server.address": hostname,
    "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port),
    ...(attempt > 1 ? { "http.request.resend_count": attempt - 1 } : {}),
    "posthorn.app": delivery.app,
    "posthorn.installation.uuid": delivery.installationUuid,
    "posthorn.delivery.id": delivery.id,
    "posthorn.attempt": attempt,
  };
}

function endAttempt(span: Span, { outcome, responseCode, error, responseBody }: AttemptRecord): void {
  span.setAttribute("posthorn.outcome", outcome);
  if (responseCode !== 0) span.setAttribute("http.response.status_code", responseCode);
  if (responseBody !== null) span.setAttribute("http.response.body.size", responseBody.byteLength);
  if (outcome !== "delivered") {
    span.setAttribute("error.type", responseCode === 0 ? outcome : String(responseCode));
    span.setStatus(error === null ? { code: SpanStatusCode.ERROR } : { code: SpanStatusCode.ERROR, message: error });
  }
  span.end();
}

/** Publishes events: validated before they leave, deduplicated by type and id, acknowledged by JetStream. */
import {
  type Context,
  context,
  createTraceState,
  isSpanContextValid,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import { headers, type MsgHdrs, NatsError, ErrorCode as NatsErrorCode } from "nats";
import { createSubjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { serverOf } from "../model/nats-url.ts";
import { formatTraceparent, parseTraceparent } from "../model/trace-context.ts";
import { DEFAULT_PREFIX, type NatsSource, openConnection } from "./connection.ts";
import { checkSubjectPrefix, type EventInput, prepareEvent } from "./prepare-event.ts";

export interface PublisherOptions {
  readonly nats: NatsSource;
  /** POSTHORN_SUBJECT_PREFIX of the delivering Posthorn. */
  readonly subjectPrefix?: string;
  /** Its POSTHORN_MAX_ID_LENGTH; 256 by default. */
  readonly maxIdLength?: number;
  /** How long each of two tries waits for the acknowledgement. */
  readonly timeoutMs?: number;
}

export interface PublishedEvent {
  readonly id: string;
  readonly stream: string;
  readonly sequence: number;
  /** An event of this type and id exists already; this one was not stored. */
  readonly duplicate: boolean;
  /** The event's trace; null if it has none and Posthorn starts one. */
  readonly traceId: string | null;
}

export interface Publisher {
  /** @throws AppError PUBLISH_INVALID naming the member, PUBLISH_FAILED when JetStream did not acknowledge. */
  publish(event: EventInput): Promise<PublishedEvent>;
  close(): Promise<void>;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** @throws AppError NATS_UNREACHABLE, PUBLISH_INVALID for an invalid subject prefix */
export async function createPublisher({
  nats,
  subjectPrefix = DEFAULT_PREFIX,
  maxIdLength,
  timeoutMs = DEFAULT_TIMEOUT_MS,
}: PublisherOptions): Promise<Publisher> {
  checkSubjectPrefix(subjectPrefix);
  const { connection, close } = await openConnection(nats);
  const subjects = createSubjects(subjectPrefix);
  const jetStream = connection.jetstream();
  const tracer = trace.getTracer("posthorn/client");

  const store = async (
    subject: string,
    body: string,
    { id, messageId }: { readonly id: string; readonly messageId: string },
    messageHeaders: MsgHdrs,
  ): Promise<Omit<PublishedEvent, "id" | "traceId">> => {
    for (let tries = 1; ; tries++) {
      try {
        const { stream, seq, duplicate } = await jetStream.publish(subject, body, {
          msgID: messageId,
          headers: messageHeaders,
          timeout: timeoutMs,
        });
        return { stream, sequence: seq, duplicate };
      } catch (error) {
        const code = error instanceof NatsError ? error.code : undefined;
        // It may have been stored; repeating the same message id is harmless.
        if (code === NatsErrorCode.Timeout && tries === 1) continue;
        const why =
          code === NatsErrorCode.NoResponders
            ? `no stream has the subject ${subject}: was Posthorn, which creates ${subjects.streams.events}, started with the prefix ${JSON.stringify(subjectPrefix)}?`
            : messageOf(error);
        throw new AppError("PUBLISH_FAILED", `event ${id} was not stored: ${why}`, { retryable: true, cause: error });
      }
    }
  };

  return {
    async publish(event) {
      const { id, subject, messageId, body } = prepareEvent(event, { subjects, ...(maxIdLength === undefined ? {} : { maxIdLength }) });
      const server = serverOf(connection.getServer());
      const span = tracer.startSpan(
        `publish ${subject}`,
        {
          kind: SpanKind.PRODUCER,
          attributes: {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": subject,
            "messaging.message.id": id,
            ...(server === null ? {} : { "server.address": server.host, "server.port": server.port }),
          },
        },
        parentOf(event),
      );
      const { messageHeaders, traceId } = traceHeaders(span);
      try {
        return { id, ...(await store(subject, body, { id, messageId }, messageHeaders)), traceId };
      } catch (error) {
        span.setAttribute("error.type", error instanceof AppError ? error.code : "_OTHER");
        span.setStatus({ code: SpanStatusCode.ERROR, message: messageOf(error) });
        throw error;
      } finally {
        span.end();
      }
    },
    close,
  };
}

/** The parent of the event's span: the caller's trace context, or the active span. */
function parentOf({ traceparent, tracestate }: EventInput): Context {
  const parent = parseTraceparent(traceparent);
  if (parent === null) return context.active();
  return trace.setSpanContext(context.active(), {
    traceId: parent.traceId,
    spanId: parent.spanId,
    traceFlags: parent.isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
    ...(tracestate === undefined ? {} : { traceState: createTraceState(tracestate) }),
  });
}

/** Baggage is left out: every receiver would get it. */
function traceHeaders(span: Span): { messageHeaders: MsgHdrs; traceId: string | null } {
  const messageHeaders = headers();
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  if (!isSpanContextValid(span.spanContext())) return { messageHeaders, traceId: null };
  messageHeaders.set("traceparent", formatTraceparent(traceId, spanId, traceFlags));
  const tracestate = traceState?.serialize();
  if (tracestate) messageHeaders.set("tracestate", tracestate);
  return { messageHeaders, traceId };
}

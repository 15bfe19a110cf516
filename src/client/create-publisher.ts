/** Publishes events: validated before they leave, deduplicated by type and id, acknowledged by JetStream. */
import { randomUUID } from "node:crypto";
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
import { createSubjects, type Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { eventMessageId } from "../model/event-key.ts";
import { type EventLimits, readEvent } from "../model/event-reader.ts";
import { serverOf } from "../model/nats-url.ts";
import { formatTraceparent, parseTraceparent } from "../model/trace-context.ts";
import { DEFAULT_PREFIX, type NatsSource, openConnection } from "./connection.ts";

export interface PublisherOptions {
  readonly nats: NatsSource;
  /** POSTHORN_SUBJECT_PREFIX of the delivering Posthorn. */
  readonly subjectPrefix?: string;
  /** Its POSTHORN_MAX_ID_LENGTH; 256 by default. */
  readonly maxIdLength?: number;
  /** How long each of two tries waits for the acknowledgement. */
  readonly timeoutMs?: number;
}

export interface EventInput {
  /** `<resource>.<action>`, e.g. `issue.created`. */
  readonly type: string;
  readonly organizationId: string | number;
  /** A JSON object. `dataJson` is its text instead, which is sent unchanged. */
  readonly data?: object;
  readonly dataJson?: string;
  /** Unique among events of a type; the same type and id are stored once within ten minutes. A UUID by default. */
  readonly id?: string;
  readonly installationUuid?: string;
  readonly app?: string;
  readonly projectId?: string | number;
  readonly actor?: object;
  readonly occurredAt?: Date | string;
  /**
   * W3C trace context to continue; by default that of the active OpenTelemetry span. With an SDK the event carries its own span,
   * a child of that context.
   */
  readonly traceparent?: string;
  readonly tracestate?: string;
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
/** Default of POSTHORN_MAX_ID_LENGTH. */
const DEFAULT_MAX_ID_LENGTH = 256;
/** The other limits are settings of the service, which checks them. */
const UNLIMITED: EventLimits = {
  maxBytes: Number.POSITIVE_INFINITY,
  maxHeaders: Number.POSITIVE_INFINITY,
  maxDepth: Number.POSITIVE_INFINITY,
  maxKeys: Number.POSITIVE_INFINITY,
  maxIdLength: Number.POSITIVE_INFINITY,
};

/** @throws AppError NATS_UNREACHABLE */
export async function createPublisher({
  nats,
  subjectPrefix = DEFAULT_PREFIX,
  maxIdLength = DEFAULT_MAX_ID_LENGTH,
  timeoutMs = DEFAULT_TIMEOUT_MS,
}: PublisherOptions): Promise<Publisher> {
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
      const id = event?.id ?? randomUUID();
      const body = checkedBody(event, id);
      const { subject, messageId } = checked(subjects, event, body, id, maxIdLength);
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

function checkedBody(event: EventInput, id: string): string {
  if (typeof event !== "object" || event === null) throw new AppError("PUBLISH_INVALID", "event: wanted an object");
  try {
    return bodyOf(event, id);
  } catch (error) {
    // JSON.stringify refuses a BigInt and a circular structure.
    if (error instanceof AppError) throw error;
    throw new AppError("PUBLISH_INVALID", `event: ${messageOf(error)}`, { cause: error });
  }
}

function bodyOf(event: EventInput, id: string): string {
  const head = JSON.stringify({
    id,
    organization_id: event.organizationId,
    installation_uuid: event.installationUuid,
    app: event.app,
    project_id: event.projectId,
    actor: event.actor,
    occurred_at: timeOf(event.occurredAt),
  });
  const data = event.dataJson ?? (event.data === undefined ? undefined : JSON.stringify(event.data));
  return data === undefined ? head : `${head.slice(0, -1)},"data":${data}}`;
}

function timeOf(time: Date | string | undefined): string {
  if (time === undefined) return toRfc3339(Date.now());
  if (typeof time === "string") return time;
  if (Number.isNaN(time.getTime())) throw new AppError("PUBLISH_INVALID", "occurredAt: found an invalid Date");
  return toRfc3339(time.getTime());
}

/** Checks the event with the service's own reader, so that every published event is readable. */
function checked(
  subjects: Subjects,
  { type }: EventInput,
  body: string,
  id: string,
  maxIdLength: number,
): { readonly subject: string; readonly messageId: string } {
  const [resource = "", action = "", more] = type.split(".");
  if (more !== undefined) throw new AppError("PUBLISH_INVALID", `type: found ${JSON.stringify(type)}, wanted <resource>.<action>`);
  const raw = { resource, action, body: Buffer.from(body), header: () => undefined, fallbackId: id, storedAt: Date.now() };
  const read = readEvent(raw, { ...UNLIMITED, maxIdLength });
  if (!read.ok) throw new AppError("PUBLISH_INVALID", read.problem.replace(" in the subject", " in type"));
  return { subject: subjects.event(resource, action), messageId: eventMessageId(read.event) };
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

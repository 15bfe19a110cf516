/** Turns an event into its message on the bus, or names the member that is wrong. Tested with clients/vectors. */
import { randomUUID } from "node:crypto";
import { createSubjects, type Subjects } from "../jetstream/subjects.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { toRfc3339 } from "../model/clock.ts";
import { eventMessageId } from "../model/event-key.ts";
import { type EventLimits, readEvent } from "../model/event-reader.ts";
import { SUBJECT_PREFIX, SUBJECT_PREFIX_FORM } from "../model/subject-prefix.ts";
import { DEFAULT_PREFIX } from "./connection.ts";

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

export interface PreparedEvent {
  readonly id: string;
  readonly subject: string;
  /** The value of the header Nats-Msg-Id. */
  readonly messageId: string;
  readonly body: string;
}

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

/** @throws AppError PUBLISH_INVALID naming the member */
export function prepareEvent(
  event: EventInput,
  {
    subjects = createSubjects(DEFAULT_PREFIX),
    maxIdLength = DEFAULT_MAX_ID_LENGTH,
  }: { readonly subjects?: Subjects; readonly maxIdLength?: number } = {},
): PreparedEvent {
  if (typeof event !== "object" || event === null) throw invalid("event: wanted an object");
  const id = event.id ?? randomUUID();
  const [resource = "", action = "", more] = String(event.type ?? "").split(".");
  if (more !== undefined) throw invalid(`type: found ${JSON.stringify(event.type)}, wanted <resource>.<action>`);
  const body = bodyOf(event, id);
  // Checked with the service's own reader, so that every published event is readable.
  const raw = { resource, action, body: Buffer.from(body), header: () => undefined, fallbackId: id, storedAt: Date.now() };
  const read = readEvent(raw, { ...UNLIMITED, maxIdLength });
  if (!read.ok) throw invalid(read.problem.replace(" in the subject", " in type"));
  return { id, subject: subjects.event(resource, action), messageId: eventMessageId(read.event), body };
}

/** @throws AppError PUBLISH_INVALID */
export function checkSubjectPrefix(subjectPrefix: string): void {
  if (!SUBJECT_PREFIX.test(subjectPrefix))
    throw invalid(`subjectPrefix: found ${JSON.stringify(subjectPrefix)}, wanted ${SUBJECT_PREFIX_FORM}, as POSTHORN_SUBJECT_PREFIX`);
}

function bodyOf(event: EventInput, id: string): string {
  try {
    const head = JSON.stringify({
      id,
      organization_id: event.organizationId,
      installation_uuid: event.installationUuid,
      app: event.app,
      project_id: event.projectId,
      actor: event.actor,
      occurred_at: timeOf(event.occurredAt),
    });
    const data = dataOf(event);
    return data === undefined ? head : `${head.slice(0, -1)},"data":${data}}`;
  } catch (error) {
    // JSON.stringify refuses a BigInt and a circular structure.
    throw error instanceof AppError ? error : invalid(`event: ${messageOf(error)}`, error);
  }
}

function dataOf({ data, dataJson }: EventInput): string | undefined {
  if (dataJson === undefined) return data === undefined ? undefined : JSON.stringify(data);
  if (data !== undefined) throw invalid("data: found beside dataJson, wanted one of them");
  try {
    // Parsed separately: text after the object would become members of the event.
    JSON.parse(dataJson);
  } catch (error) {
    throw invalid(`data: not valid JSON (${messageOf(error)}), wanted an object`, error);
  }
  return dataJson.trim();
}

function timeOf(time: Date | string | undefined): string {
  if (time === undefined) return toRfc3339(Date.now());
  if (typeof time === "string") return time;
  if (Number.isNaN(time.getTime())) throw invalid("occurredAt: found an invalid Date");
  return toRfc3339(time.getTime());
}

function invalid(message: string, cause?: unknown): AppError {
  return new AppError("PUBLISH_INVALID", message, { cause });
}

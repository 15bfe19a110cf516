/** POST /v1/events: publishes an event like a service on the bus. `data` stays the caller's JSON text. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { PublishEvent } from "../../jetstream/event-publisher.ts";
import { APP_SLUG, INSTALLATION_UUID } from "../../model/app.ts";
import { AppError } from "../../model/app-error.ts";
import { unsupportedContentType } from "../../model/event-formats.ts";
import { eventMessageId } from "../../model/event-key.ts";
import { type EventLimits, readEvent } from "../../model/event-reader.ts";
import { RecordInvalid } from "../../registry/records.ts";
import { answer, type Route, route } from "../http/route.ts";
import { storedEvent } from "../schemas/events.ts";
import { DATE_TIME_PATTERN, EVENT_TYPE } from "../schemas/parameters.ts";

/** For the reference page only: model/event-reader.ts reads the body, like that of every event. */
const eventBody = z
  .looseObject({
    type: z.string().regex(EVENT_TYPE).meta({ description: "<resource>.<action>", example: "issue.created" }),
    id: z
      .union([z.string().min(1), z.int()])
      .nullish()
      .meta({ description: "Unique among events of its type, or of its source for a CloudEvent; generated when absent." }),
    organization_id: z.union([z.string().min(1), z.int()]),
    installation_uuid: z.string().regex(INSTALLATION_UUID).nullish(),
    app: z.string().regex(APP_SLUG).nullish(),
    project_id: z.union([z.string().min(1), z.int()]).nullish(),
    actor: z.looseObject({}).nullish(),
    occurred_at: z.string().meta({ pattern: DATE_TIME_PATTERN }).nullish(),
    data: z.looseObject({}),
  })
  .meta({ id: "EventBody" });

/** Binary CloudEvents are accepted on the bus only. */
const READ_HEADERS: ReadonlySet<string> = new Set(["content-type", "traceparent", "tracestate"]);
const cloudEventBody = z
  .looseObject({
    specversion: z.literal("1.0"),
    id: z.string().min(1),
    source: z.string().min(1),
    type: z.string().regex(EVENT_TYPE),
    organizationid: z.string().min(1),
    time: z.string().meta({ pattern: DATE_TIME_PATTERN }).optional(),
    data: z.looseObject({}),
  })
  .meta({
    id: "CloudEventBody",
    example: {
      ...{ specversion: "1.0", id: "A234", source: "/shop", type: "issue.created", organizationid: "42" },
      ...{ time: "2026-01-05T10:11:12Z", data: { issue: { id: "1" } } },
    },
  });

export function eventRoutes(publish: PublishEvent, limits: EventLimits): Route[] {
  return [
    route({
      operationId: "publishEvent",
      method: "POST",
      url: "/v1/events",
      access: "admin",
      summary: "Publishes one event, plain or as a structured CloudEvent (application/cloudevents+json).",
      body: eventBody,
      otherBodies: { "application/cloudevents+json": cloudEventBody },
      rawBody: true,
      answers: { 202: answer("stored in the events stream", storedEvent) },
      example: { type: "issue.created", organization_id: "42", data: { issue: { id: "1" } } },
      async handle({ body, headers }) {
        const text = (body as unknown as string | undefined) ?? "";
        const bytes = Buffer.from(text);
        if (bytes.length > limits.maxBytes) {
          const wanted = `wanted at most ${limits.maxBytes} (POSTHORN_MAX_EVENT_SIZE, or what the NATS server takes)`;
          throw new AppError("TOO_LARGE", `event: found ${bytes.length} bytes, ${wanted}`);
        }
        const unsupported = unsupportedContentType(single(headers["content-type"]) ?? "");
        if (unsupported !== null) throw new RecordInvalid("event", [problemAt(unsupported)]);
        const { resource, action, id } = addressOf(text);
        const raw = {
          resource,
          action,
          body: bytes,
          header: (name: string) => (READ_HEADERS.has(name) ? (single(headers[name]) ?? undefined) : undefined),
          fallbackId: id,
          storedAt: Date.now(),
        };
        const read = readEvent(raw, limits);
        if (!read.ok) throw new RecordInvalid("event", [problemAt(read.problem)]);
        const stored = await publish({
          resource,
          action,
          id: read.event.id,
          // A generated id is the message id, because the event's body has none.
          messageId: read.event.id === id ? id : eventMessageId(read.event),
          body: text,
          contentType: read.event.source === null ? null : "application/cloudevents+json",
          traceparent: read.event.traceparent,
          tracestate: read.event.tracestate,
        });
        return { status: 202, body: { id: read.event.id, type: `${resource}.${action}`, ...stored } };
      },
    }),
  ];
}

function addressOf(text: string): { resource: string; action: string; id: string } {
  let members: Record<string, unknown>;
  try {
    members = JSON.parse(text) as Record<string, unknown>;
  } catch (error) {
    throw new RecordInvalid("event", [{ path: "", message: `not valid JSON (${(error as Error).message}), wanted a JSON object` }]);
  }
  const { type, resource, action } = members ?? {};
  const named = typeof type === "string" ? type.split(".") : [resource, action];
  if (named.length !== 2 || typeof named[0] !== "string" || typeof named[1] !== "string") {
    const found = type === undefined ? "nothing" : JSON.stringify(type);
    throw new RecordInvalid("event", [{ path: "type", message: `found ${found}, wanted <resource>.<action>` }]);
  }
  return { resource: named[0], action: named[1], id: randomUUID() };
}

/** A problem of the reader starts with the member's name. */
function problemAt(problem: string): { path: string; message: string } {
  const colon = problem.indexOf(": ");
  return { path: problem.slice(0, colon), message: problem.slice(colon + 2) };
}

function single(value: string | string[] | undefined): string | null {
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

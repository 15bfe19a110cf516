/** POST /v1/events: publishes an event, or a batch of events, like a service on the bus. */
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { z } from "zod";
import type { PublishEvent, StoredEvent } from "../../jetstream/event-publisher.ts";
import { messageOf } from "../../model/app-error.ts";
import type { EventLimits } from "../../model/event-reader.ts";
import { kindOfValue } from "../../model/json-object.ts";
import { itemsOf, membersOf } from "../../model/json-text.ts";
import { RecordInvalid } from "../../registry/records.ts";
import { problemOf } from "../http/problems.ts";
import { answer, type Route, route } from "../http/route.ts";
import { cloudEventBody, eventBatchResult, eventsBody, MAX_BATCH, storedEvent } from "../schemas/events.ts";
import { invalidHeader } from "../schemas/records.ts";
import { type ReceivedEvent, readOutgoingEvent } from "./read-outgoing-event.ts";

const BATCH_TYPE = /^application\/cloudevents-batch(?:\+json)?\s*(?:;|$)/i;

type JsonText = Pick<ReceivedEvent, "text" | "value">;
type Published = StoredEvent & { readonly id: string; readonly type: string };

export function eventRoutes(publish: PublishEvent, limits: EventLimits): Route[] {
  /** @throws AppError RECORD_INVALID, TOO_LARGE, PUBLISH_FAILED, STORE_FULL */
  const publishOne = async (received: ReceivedEvent): Promise<Published> => {
    const event = readOutgoingEvent(received, limits);
    return { id: event.id, type: `${event.resource}.${event.action}`, ...(await publish(event)) };
  };

  /** All are sent at once: JetStream stores what a connection publishes in its order. */
  const publishBatch = async (events: readonly JsonText[], about: Omit<ReceivedEvent, keyof JsonText>) => {
    const results = await Promise.all(
      events.map(async (event, at) => {
        const id = about.isIdGiven ? `${about.id}:${at}` : randomUUID();
        try {
          return { status: 202, event: await publishOne({ ...about, ...event, id }), problem: null };
        } catch (error) {
          const problem = problemOf(error);
          return { status: problem.status, event: null, problem };
        }
      }),
    );
    const stored = results.filter(({ event }) => event !== null).length;
    return { stored, refused: results.length - stored, results };
  };

  return [
    route({
      operationId: "publishEvent",
      method: "POST",
      url: "/v1/events",
      access: "admin",
      summary:
        'Publishes one event, plain or as a structured CloudEvent (application/cloudevents+json), or up to 1,000 as {"events": […]}, a JSON array or a CloudEvents batch (application/cloudevents-batch+json).',
      headers: z.object({
        "Idempotency-Key": z
          .string()
          .regex(/^[\x21-\x7e]{1,200}$/)
          .optional()
          .meta({
            description:
              "The id of an event that has none, so that the call can be repeated: the event is stored once within the duplicate window (10 minutes). In a batch followed by a colon and the event's position, from 0.",
            example: "order-1234",
          }),
      }),
      body: eventsBody,
      // The batch of CloudEvents is left out, because openapi-python-client can't distinguish an array from other bodies.
      otherBodies: { "application/cloudevents+json": cloudEventBody },
      accepts: ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json"],
      rawBody: true,
      answers: {
        202: answer("the event is stored in the events stream", storedEvent),
        207: answer("what became of each event of the batch", eventBatchResult),
        503: "the events stream did not store it; the call can be repeated",
      },
      example: { type: "issue.created", organization_id: "42", data: { issue: { id: "1" } } },
      async handle({ body, headers }) {
        const text = (body as unknown as string | undefined) ?? "";
        const contentType = single(headers["content-type"]) ?? "";
        const value = jsonIn(text);
        const batch = batchOf({ text, value }, contentType);
        const key = idempotencyKey(headers);
        const about = {
          contentType: contentType.replace(BATCH_TYPE, "application/cloudevents+json;"),
          traceparent: single(headers["traceparent"]),
          tracestate: single(headers["tracestate"]),
          id: key ?? randomUUID(),
          isIdGiven: key !== null,
        };
        if (batch === null) return { status: 202, body: await publishOne({ ...about, text, value }) };
        if (batch.length < 1 || batch.length > MAX_BATCH)
          throw new RecordInvalid("body", [{ path: "events", message: `found ${batch.length}, wanted 1 to ${MAX_BATCH}` }]);
        return { status: 207, body: await publishBatch(batch, about) };
      },
    }),
  ];
}

/** @throws AppError RECORD_INVALID */
function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new RecordInvalid("event", [{ path: "", message: `not valid JSON (${messageOf(error)}), wanted a JSON object` }]);
  }
}

/** The events of a batch; null for the body of one event, or what can't be read as either. */
function batchOf({ text, value }: JsonText, contentType: string): JsonText[] | null {
  if (Array.isArray(value)) return itemsIn(text, value);
  if (BATCH_TYPE.test(contentType))
    throw new RecordInvalid("body", [{ path: "", message: `found ${kindOfValue(value)}, wanted an array of CloudEvents` }]);
  const members = typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  // An event may have members of any name.
  if (!("events" in members) || ["type", "resource", "specversion"].some((name) => name in members)) return null;
  const others = Object.keys(members).filter((name) => name !== "events");
  if (others.length > 0)
    throw new RecordInvalid(
      "body",
      others.map((path) => ({ path, message: "unknown member, wanted events alone" })),
    );
  if (!Array.isArray(members["events"]))
    throw new RecordInvalid("body", [{ path: "events", message: `found ${kindOfValue(members["events"])}, wanted an array of events` }]);
  return itemsIn(membersOf(text).get("events") ?? "[]", members["events"]);
}

function itemsIn(text: string, values: readonly unknown[]): JsonText[] {
  return itemsOf(text).map((item, at) => ({ text: item, value: values[at] }));
}

/** Also takes the quoted form of the IETF draft. @throws AppError RECORD_INVALID */
function idempotencyKey(headers: IncomingHttpHeaders): string | null {
  const given = single(headers["idempotency-key"]);
  if (given === undefined) return null;
  const key = /^"(.*)"$/.exec(given)?.[1] ?? given;
  if (/^[\x21-\x7e]{1,200}$/.test(key)) return key;
  throw invalidHeader("Idempotency-Key", given, "1 to 200 printable ASCII characters without spaces");
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

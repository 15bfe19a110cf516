/** Events that are published over HTTP: the forms of their bodies, for the document only, and of the answers. */
import { z } from "zod";
import { APP_SLUG, INSTALLATION_UUID } from "../../model/app.ts";
import { count, DELIVERY_ID, UUID } from "./common.ts";
import { EVENT_TYPE, inputTime } from "./parameters.ts";
import { problemBody } from "./problem.ts";

export const MAX_BATCH = 1_000;

/** model/event-reader.ts reads the body, like that of every event on the bus. */
const event = z
  .looseObject({
    type: z.string().regex(EVENT_TYPE).meta({ description: "<resource>.<action>", example: "issue.created" }),
    id: z
      .union([z.string().min(1), z.int()])
      .nullish()
      .meta({
        description: "Unique among events of its type, or of its source for a CloudEvent; when absent, Idempotency-Key, or generated.",
      }),
    organization_id: z.union([z.string().min(1), z.int()]),
    installation_uuid: z.string().regex(INSTALLATION_UUID).nullish().meta({ description: "Only for this installation." }),
    app: z.string().regex(APP_SLUG).nullish().meta({ description: "Only for this app." }),
    project_id: z.union([z.string().min(1), z.int()]).nullish(),
    actor: z.looseObject({}).nullish().meta({ description: "The person or service that did it; POSTHORN_DEFAULT_ACTOR when absent." }),
    occurred_at: inputTime.nullish().meta({ description: "Now when absent." }),
    data: z.looseObject({}).meta({ description: "Reaches the receivers as it is: key order and number text are kept." }),
  })
  .meta({ id: "EventBody", description: "An event of the platform." });

const eventBatch = z
  .strictObject({ events: z.array(event).min(1).max(MAX_BATCH) })
  .meta({ id: "EventBatch", description: "Several events, stored in their order." });

/** An event or a batch of events. */
export const eventsBody = z.union([event, eventBatch]).meta({ id: "EventsBody", description: "An event, or several." });

const CLOUD_EVENT = {
  ...{ specversion: "1.0", id: "A234", source: "/shop", type: "issue.created", organizationid: "42" },
  ...{ time: "2026-01-05T10:11:12Z", data: { issue: { id: "1" } } },
};

export const cloudEventBody = z
  .looseObject({
    specversion: z.literal("1.0"),
    id: z.string().min(1),
    source: z.string().min(1),
    type: z.string().regex(EVENT_TYPE),
    organizationid: z.string().min(1),
    time: inputTime.optional(),
    data: z.looseObject({}),
  })
  .meta({ id: "CloudEventBody", description: "A structured CloudEvent (JSON format).", example: CLOUD_EVENT });

const storedMembers = {
  id: z.string(),
  type: z.string(),
  stream: z.string(),
  sequence: count,
  duplicate: z.boolean().meta({ description: "An event with this id is stored already; this one was not stored." }),
};
const STORED = { id: "evt-1", type: "issue.created", stream: "APP_PLATFORM_EVENTS", sequence: 1, duplicate: false };

export const storedEvent = z
  .strictObject(storedMembers)
  .meta({ id: "StoredEvent", description: "Where the event is stored.", example: STORED });

const eventResult = z
  .strictObject({
    status: z.int().meta({ description: "202, or the status that the event alone would have been answered with." }),
    event: storedEvent.nullable().meta({ description: "Null: it was not stored." }),
    problem: problemBody.nullable().meta({ description: "Null: it was stored." }),
  })
  .meta({ id: "EventResult", description: "The result of one event of a batch." });

export const eventBatchResult = z
  .strictObject({
    stored: count.meta({ description: "Events that are stored, duplicates included." }),
    refused: count,
    results: z.array(eventResult).meta({ description: "In the order of the events." }),
  })
  .meta({
    id: "EventBatchResult",
    description: "The results of a batch's events, in their order.",
    example: { stored: 1, refused: 0, results: [{ status: 202, event: STORED, problem: null }] },
  });

export const resent = z
  .strictObject({ delivery_id: z.string(), resend_id: z.string() })
  .meta({ id: "Resent", description: "A delivery that is sent again.", example: { delivery_id: DELIVERY_ID, resend_id: UUID } });

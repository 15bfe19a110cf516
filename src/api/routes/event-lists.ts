/** GET /v1/events and GET /v1/deliveries: what was published, and what became of it, newest first. */
import { z } from "zod";
import { LISTED_STATES, type ListedState, listedDelivery, listedEvent } from "../../explain/answer-schemas.ts";
import type { Explain } from "../../explain/explain.ts";
import { toRfc3339 } from "../../model/clock.ts";
import { stringifyWithRaw } from "../../model/raw-json.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import { answer, jsonText, type Route, route } from "../http/route.ts";
import { boundedPageOf, DELIVERY_ID } from "../schemas/common.ts";
import { createList } from "../schemas/paging.ts";
import { eventType, inOrder, outcome, responseCode, time } from "../schemas/parameters.ts";

const eventList = createList("events");
const deliveryList = createList("deliveries");

const SHORT_PAGES = "A call looks at a bounded part of what is stored: a page may be short, or empty, and still have a next one.";

const eventPage = boundedPageOf(
  listedEvent,
  "EventPage",
  "events.7",
  "When the oldest event in the stream was stored; earlier ones are gone.",
);

const deliveryPage = boundedPageOf(
  listedDelivery,
  "DeliveryPage",
  `deliveries.1767607872345.${DELIVERY_ID}`,
  "Deliveries that are done and were attempted before this time may be missing: the request log keeps the last attempts of each event type.",
);
const deliveryPageWithNotes = deliveryPage
  .extend({ notes: z.array(z.string()).meta({ description: "Limits of this answer, and why." }) })
  .meta({
    id: "DeliveryPage",
    description: "A page of deliveries.",
    example: { ...(deliveryPage.meta()?.["example"] as object), notes: [] },
  });

const states = z
  .string()
  .regex(
    new RegExp(`^(?:${LISTED_STATES.join("|")})(?:,(?:${LISTED_STATES.join("|")}))*$`),
    `wanted one or more of ${LISTED_STATES.join(", ")}, separated by commas`,
  )
  .transform((text) => new Set(text.split(",") as ListedState[]))
  .meta({ description: `One or more of ${LISTED_STATES.join(", ")}, separated by commas.`, example: "retrying,parked,throttled" });

export function eventListRoutes({ explain, maxPageSize }: { explain: Explain; maxPageSize: number }): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/events",
      operationId: "listEvents",
      access: "read",
      forOrganization: "read",
      summary: `Lists the events of the events stream with their data, newest first. ${SHORT_PAGES}`,
      query: inOrder(
        z.object({
          organization_id: z.string().min(1).optional(),
          type: eventType.optional(),
          start: time.optional().meta({ description: "Stored at this time or later." }),
          end: time.optional().meta({ description: "Stored before this time." }),
          ...eventList.query(100, maxPageSize),
        }),
      ),
      answers: { 200: answer("a page of events", eventPage) },
      async handle({ query: { organization_id: named = null, type = null, start = null, end = null, cursor, limit }, caller }) {
        const organizationId = caller.onlyOrganization ?? named;
        const page = await explain.events({ organizationId, type, start, end, before: cursor?.at ?? null, limit });
        return jsonText(
          stringifyWithRaw({ items: page.items, next: eventList.nextInStream(page.next), reaches_back_to: at(page.reachesBackTo) }),
        );
      },
    }),
    route({
      method: "GET",
      url: "/v1/deliveries",
      operationId: "listDeliveries",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: `Lists deliveries, newest first: those that wait, with the reason and the next due time, dead letters, and those that the request log knows. ${SHORT_PAGES}`,
      query: inOrder(
        z.object({
          app: slugParameter.optional(),
          installation_uuid: uuidParameter.optional(),
          organization_id: z.string().min(1).optional(),
          event_id: z.string().min(1).optional(),
          state: states.optional(),
          outcome: outcome.optional().meta({ description: "Of the last attempt." }),
          response_code: responseCode.optional(),
          start: time.optional().meta({ description: "Attempted last, stored to wait, or given up at this time or later." }),
          end: time.optional().meta({ description: "The same before this time." }),
          ...deliveryList.query(100, maxPageSize),
        }),
      ),
      answers: { 200: answer("a page of deliveries", deliveryPageWithNotes), 404: "no such app, and no deliveries of a removed one" },
      async handle({ query, caller }) {
        const { onlyApp, onlyOrganization } = caller;
        const { items, next, reachesBackTo, notes } = await explain.deliveries(
          {
            app: onlyApp ?? query.app ?? null,
            installationUuid: query.installation_uuid ?? null,
            organizationId: onlyOrganization ?? query.organization_id ?? null,
            eventId: query.event_id ?? null,
            states: query.state ?? null,
            outcome: query.outcome ?? null,
            responseCode: query.response_code ?? null,
            start: query.start ?? null,
            end: query.end ?? null,
            cursor: query.cursor ?? null,
            limit: query.limit,
          },
          caller,
        );
        return { status: 200, body: { items, next: deliveryList.next(next), reaches_back_to: at(reachesBackTo), notes } };
      },
    }),
  ];
}

function at(epochMs: number | null): string | null {
  return epochMs === null ? null : toRfc3339(epochMs);
}

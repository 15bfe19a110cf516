/** GET /v1/event-types: what is published at present, for those who choose an app's events. */
import { z } from "zod";
import type { ReadEventTypes } from "../../jetstream/event-types.ts";
import { toRfc3339 } from "../../model/clock.ts";
import { answer, type Route, route } from "../http/route.ts";
import { count, time } from "../schemas/common.ts";
import { MAX_PAGE } from "../schemas/paging.ts";

const eventTypes = z
  .strictObject({
    items: z.array(
      z
        .strictObject({ type: z.string(), events: count.meta({ description: "Events of this type in the events stream." }) })
        .meta({ id: "EventTypeCount", description: "An event type and how often it was published." }),
    ),
    total: count.meta({ description: `Event types in the stream; the answer has the ${MAX_PAGE} most frequent.` }),
    reaches_back_to: time.nullable().meta({ description: "When the oldest event in the stream was stored. Null: the stream is empty." }),
  })
  .meta({
    id: "EventTypes",
    description: "The event types in the events stream, the most frequent first.",
    example: { items: [{ type: "issue.created", events: 1_203 }], total: 1, reaches_back_to: "2026-01-05T10:11:12.345Z" },
  });

export interface EventTypesDependencies {
  readonly readEventTypes: ReadEventTypes;
}

export function eventTypesRoutes({ readEventTypes }: EventTypesDependencies): Route[] {
  return [
    route({
      operationId: "listEventTypes",
      method: "GET",
      url: "/v1/event-types",
      access: "read",
      summary:
        "Lists the event types that were published as long as the events stream keeps them (7 days by default), the most frequent first.",
      answers: { 200: answer("the event types", eventTypes), 503: "NATS did not answer" },
      async handle() {
        const { items, reachesBackTo } = await readEventTypes();
        return {
          status: 200,
          body: {
            items: items.slice(0, MAX_PAGE),
            total: items.length,
            reaches_back_to: reachesBackTo === null ? null : toRfc3339(reachesBackTo),
          },
        };
      },
    }),
  ];
}

/** GET /v1/status-events: past status changes of integrations, circuits, apps and deliveries, newest first. */
import { z } from "zod";
import type { StatusHistory } from "../../jetstream/status-history.ts";
import { AppError } from "../../model/app-error.ts";
import { STATUS_TOPICS, type StatusTopic } from "../../model/status-event.ts";
import { slugParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { answer, type Route, route } from "../http/route.ts";
import { createList } from "../schemas/paging.ts";
import { inOrder, time } from "../schemas/parameters.ts";
import { statusEventPage } from "../schemas/status-events.ts";

const list = createList("status-events");

const topics = z
  .string()
  .regex(
    new RegExp(`^(?:${STATUS_TOPICS.join("|")})(?:,(?:${STATUS_TOPICS.join("|")}))*$`),
    `wanted one or more of ${STATUS_TOPICS.join(", ")}, separated by commas`,
  )
  .transform((text) => text.split(",") as StatusTopic[])
  .meta({
    description:
      "integration (broken, recovered, disabled, enabled), circuit (opened, closed), delivery (exhausted, rejected, suppressed), app (throttled, released, failing, healthy); all when absent.",
    example: "integration,circuit",
  });

export interface StatusEventRoutesDependencies {
  readonly statusHistory: StatusHistory;
  readonly index: RegistryIndex;
}

export function statusEventRoutes({ statusHistory, index }: StatusEventRoutesDependencies): Route[] {
  return [
    route({
      operationId: "listStatusEvents",
      method: "GET",
      url: "/v1/status-events",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Lists the status events of the last 30 days, newest first.",
      query: inOrder(
        z.object({
          app: slugParameter.optional(),
          topics: topics.optional(),
          start: time.optional().meta({ description: "Published at this time or later." }),
          end: time.optional().meta({ description: "Published before this time." }),
          ...list.query(),
        }),
      ),
      answers: {
        200: answer("a page of status events (CloudEvents), each with its sequence in the stream", statusEventPage),
        404: "no such app, and no events of a removed one",
      },
      async handle({ query, caller }) {
        const { onlyApp, onlyOrganization: organizationId } = caller;
        const { end = null, cursor } = query;
        const app = onlyApp ?? query.app ?? null;
        // An earlier app of the slug is another app.
        const since = onlyApp === null ? null : (index.app(onlyApp)?.createdAt ?? null);
        const start = since === null ? (query.start ?? null) : Math.max(since, query.start ?? since);
        const filter = { app, organizationId, topics: [...new Set(query.topics ?? STATUS_TOPICS)], start, end };
        const { items, next } = await statusHistory.list(filter, cursor?.at ?? null, query.limit);
        // A removed app may still have past events.
        if (items.length === 0 && cursor === undefined && app !== null && index.app(app) === undefined)
          throw new AppError("NOT_FOUND", `no app ${app}`);
        return {
          status: 200,
          body: { items: items.map(({ sequence, event }) => ({ sequence, ...event })), next: list.nextInStream(next) },
        };
      },
    }),
  ];
}

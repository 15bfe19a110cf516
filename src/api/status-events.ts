/** GET /v1/status-events: what has happened to integrations, circuits and deliveries, newest first. */
import { z } from "zod";
import { slugParameter } from "../registry/records.ts";
import { statusEventPage } from "./overview-schemas.ts";
import { limit } from "./parameters.ts";
import type { StatusHistory, StatusTopic } from "./ports.ts";
import { answer, type Route, route } from "./route.ts";

const TOPICS: readonly StatusTopic[] = ["integration", "circuit", "delivery"];

const topics = z
  .string()
  .transform((text) => text.split(","))
  .refine((names): names is StatusTopic[] => names.every((name) => (TOPICS as readonly string[]).includes(name)), {
    message: `wanted ${TOPICS.join(", ")}, or some of them separated by commas`,
  })
  .meta({
    description:
      "integration (broken, recovered, disabled, enabled), circuit (opened, closed), delivery (exhausted, rejected); all when not given.",
    example: "integration,circuit",
  });

export function statusEventRoutes({ statusHistory }: { readonly statusHistory: StatusHistory }): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/status-events",
      access: "read",
      summary: "Status events of the last 30 days, newest first.",
      query: z.object({
        app: slugParameter.optional(),
        topics: topics.optional(),
        limit: limit(50, 500),
        after: z.coerce.number().int().min(1).optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: answer("a page of status events (CloudEvents), each with its sequence in the stream", statusEventPage) },
      async handle({ query }) {
        const filter = { app: query.app ?? null, topics: [...new Set(query.topics ?? TOPICS)] };
        const { items, next } = await statusHistory.list(filter, query.after ?? null, query.limit);
        return { status: 200, body: { items: items.map(({ sequence, event }) => ({ sequence, ...event })), next } };
      },
    }),
  ];
}

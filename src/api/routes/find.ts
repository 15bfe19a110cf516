/** GET /v1/find: one search for everything that has an id. */
import { z } from "zod";
import type { Explain } from "../../explain/explain.ts";
import { FOUND_KINDS, type FoundItem } from "../../explain/found-item.ts";
import { answer, type Route, route } from "../http/route.ts";
import { DELIVERY_ID, time } from "../schemas/common.ts";

const foundItem = z
  .strictObject({
    kind: z.enum(FOUND_KINDS),
    id: z.string(),
    detail: z.string().meta({ description: "A description for people." }),
    app: z.string().nullable(),
    organization_id: z.string().nullable(),
    at: time.nullable().meta({ description: "When an event was stored, or a delivery attempted last; null for the other kinds." }),
    api: z.string().meta({ description: "The path of the call that shows it." }),
    page: z.string().meta({ description: "Where the dashboard shows it, relative to the dashboard." }),
  })
  .meta({
    id: "FoundItem",
    description: "A thing that the search has found.",
    example: {
      ...{ kind: "delivery", id: DELIVERY_ID, detail: "retrying, to acme-tracker of issue.created evt-1", app: "acme-tracker" },
      ...{
        organization_id: "42",
        at: "2026-01-05T10:11:12.345Z",
        api: `/v1/deliveries/${DELIVERY_ID}`,
        page: `#/deliveries/${DELIVERY_ID}`,
      },
    },
  });

const found = z
  .strictObject({
    items: z.array(foundItem).meta({ description: "Apps, organizations and installations come before events and deliveries." }),
    notes: z.array(z.string()).meta({ description: "How far the search went, and what was left out." }),
  })
  .meta({ id: "Found", description: "The result of a search.", example: { items: [foundItem.meta()?.["example"]], notes: [] } });

export function findRoutes({ explain }: { explain: Explain }): Route[] {
  return [
    route({
      method: "GET",
      url: "/v1/find",
      operationId: "findAnything",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary:
        "Finds what an id names: an event, a delivery (its webhook-id), a trace, an installation, an organization or an app. Beginnings of ids are found among what is stored now.",
      query: z.object({
        q: z
          .string()
          .max(4_096)
          .regex(/\S/, "wanted an id, or the beginning of one")
          .meta({ description: "An id, or the beginning of one; a traceparent is searched for its trace.", example: "evt-1" }),
      }),
      answers: { 200: answer("what was found; nothing is an empty list", found) },
      async handle({ query: { q }, caller }) {
        const { items, notes } = await explain.find(q, caller);
        return { status: 200, body: { items: items.map(view), notes } };
      },
    }),
  ];
}

function view(item: FoundItem): z.output<typeof foundItem> {
  const { kind, id, detail, app, organizationId, at } = item;
  return { kind, id, detail, app, organization_id: organizationId, at, ...linksTo(item) };
}

function linksTo({ kind, id, event }: FoundItem): { api: string; page: string } {
  const name = encodeURIComponent(id);
  switch (kind) {
    case "app":
      return { api: `/v1/apps/${name}`, page: `#/apps/${name}` };
    case "organization":
      return { api: `/v1/installations?organization_id=${name}`, page: `#/organizations/${name}` };
    case "installation":
      return { api: `/v1/installations/${name}`, page: `#/installations/${name}` };
    case "delivery":
      return { api: `/v1/deliveries/${name}`, page: `#/deliveries/${name}` };
    case "event": {
      const query =
        event === null ? "" : `?${new URLSearchParams({ type: event.type, ...(event.source === null ? {} : { source: event.source }) })}`;
      return { api: `/v1/events/${name}${query}`, page: `#/events/${name}${query}` };
    }
  }
}

/** /v1/overview and what an app's own page begins with: all apps or one at a glance, once or as it changes. */

import { z } from "zod";
import { INSTALLATION_STATUSES } from "../../model/app.ts";
import { AppError } from "../../model/app-error.ts";
import type { LiveOverview } from "../../overview/live-overview.ts";
import { installationsOfApp, liveOverview as liveOverviewForm, overview } from "../../overview/overview-schemas.ts";
import { overviewJson, type ReadOverview, withOwnDeadLetters } from "../../overview/read-overview.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { type Answer, answer, jsonText, type Route, route } from "../http/route.ts";
import type { BrokenOf } from "../ports.ts";
import { limit } from "../schemas/parameters.ts";
import { installationView, viewFor } from "../schemas/records.ts";

const params = z.object({ slug: slugParameter });

export interface OverviewRoutesDependencies {
  readonly index: RegistryIndex;
  readonly brokenOf: BrokenOf;
  readonly readOverview: ReadOverview;
  readonly liveOverview: LiveOverview;
  readonly countOwnDeadLetters: (app: string) => Promise<number>;
}

export function overviewRoutes(dependencies: OverviewRoutesDependencies): Route[] {
  const { index, brokenOf, readOverview, liveOverview, countOwnDeadLetters } = dependencies;
  const known = (slug: string): string => {
    if (index.app(slug) === undefined) throw new AppError("NOT_FOUND", `no app ${slug}`);
    return slug;
  };
  const live = (app: string | null, isOwner: boolean): Answer => ({
    status: 200,
    body: liveOverview.watch(app, isOwner),
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-store",
      // A stop waits for connections that are kept for a next call.
      connection: "close",
      // nginx would collect the answer.
      "x-accel-buffering": "no",
    },
  });

  return [
    route({
      method: "GET",
      url: "/v1/overview",
      access: "read",
      summary: "All apps at a glance: installations, circuit, what is parked and dead, attempts of the last 24 hours.",
      answers: { 200: answer("the overview; what can't be read now is null and named in problems", overview) },
      handle: async () => jsonText(overviewJson(await readOverview(), null)),
    }),
    route({
      method: "GET",
      url: "/v1/overview/live",
      access: "read",
      summary: "The overview as server-sent events: all apps, then those that change, and every status event.",
      answers: { 200: answer("`overview` and `status` events", liveOverviewForm, "text/event-stream") },
      handle: () => live(null, false),
    }),
    route({
      method: "GET",
      url: "/v1/apps/:slug/overview",
      access: "read",
      forApp: true,
      summary: "One app at a glance.",
      params,
      answers: { 200: answer("as /v1/overview, of one app", overview) },
      async handle({ params: { slug }, onlyApp }) {
        const text = overviewJson(await readOverview(), known(slug));
        if (onlyApp === null) return jsonText(text);
        return jsonText(withOwnDeadLetters(text, await countOwnDeadLetters(slug).catch(() => null)));
      },
    }),
    route({
      method: "GET",
      url: "/v1/apps/:slug/overview/live",
      access: "read",
      forApp: true,
      summary: "One app as server-sent events.",
      params,
      answers: { 200: answer("as /v1/overview/live, of one app", liveOverviewForm, "text/event-stream") },
      handle: ({ params: { slug }, onlyApp }) => live(known(slug), onlyApp !== null),
    }),
    route({
      method: "GET",
      url: "/v1/apps/:slug/installations",
      access: "read",
      forApp: true,
      summary: "An app's installations with what is parked for them and why they are broken.",
      params,
      query: z.object({
        status: z.enum(INSTALLATION_STATUSES).optional(),
        organization_id: z.string().min(1).optional(),
        limit: limit(100, 1000),
        after: uuidParameter.optional().meta({ description: "`next` of the page before." }),
      }),
      answers: { 200: answer("a page of installations by uuid", installationsOfApp) },
      async handle({ params: { slug }, query, ...call }) {
        known(slug);
        const view = viewFor(call);
        const { subjectCounts } = await readOverview();
        const wanted = [...index.installations()]
          .filter(({ app, uuid }) => app === slug && uuid > (query.after ?? ""))
          .filter(
            ({ status, organizationId }) =>
              (query.status ?? status) === status && (query.organization_id ?? organizationId) === organizationId,
          )
          .sort((a, b) => (a.uuid < b.uuid ? -1 : 1));
        const items = wanted.slice(0, query.limit).map((installation) => ({
          ...installationView(installation, view),
          parked: subjectCounts && (subjectCounts.parkedOfInstallation.get(installation.uuid) ?? 0),
          broken: brokenOf(installation.uuid),
        }));
        return { status: 200, body: { items, next: wanted.length > query.limit ? wanted[query.limit - 1]?.uuid : null } };
      },
    }),
  ];
}

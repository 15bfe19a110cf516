/** /v1/overview and the overview of one app, as one answer or as a live stream; and the installations of an app. */
import { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import type { LiveOverview } from "../../overview/live-overview.ts";
import { overviewJson, type ReadOverview, withOwnDeadLetters } from "../../overview/read-overview.ts";
import { slugParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { type Answer, answer, jsonText, type Route, route } from "../http/route.ts";
import type { BrokenOf } from "../ports.ts";
import { installationStatus } from "../schemas/common.ts";
import { installationsOfApp, liveOverview as liveOverviewForm, overview } from "../schemas/overview.ts";
import { createList } from "../schemas/paging.ts";
import { installationView, positionOfInstallation, viewFor } from "../schemas/records.ts";

const list = createList("app-installations");

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
      // A stop would wait for a connection that is kept alive for the next call.
      connection: "close",
      // Stops nginx from buffering the stream.
      "x-accel-buffering": "no",
    },
  });

  return [
    route({
      operationId: "getOverview",
      method: "GET",
      url: "/v1/overview",
      access: "read",
      summary: "All apps at a glance: installations, circuit, health, parked deliveries, dead letters, attempts of the last 24 hours.",
      answers: { 200: answer("the overview; members that can't be read now are null and listed in problems", overview) },
      handle: async () => jsonText(overviewJson(await readOverview(), null)),
    }),
    route({
      operationId: "watchOverview",
      method: "GET",
      url: "/v1/overview/live",
      access: "read",
      summary: "The overview as server-sent events: all apps, then each change, and every status event.",
      answers: { 200: answer("`overview` and `status` events", liveOverviewForm, "text/event-stream") },
      handle: () => live(null, false),
    }),
    route({
      operationId: "getAppOverview",
      method: "GET",
      url: "/v1/apps/:slug/overview",
      access: "read",
      forApp: true,
      summary: "One app at a glance.",
      params,
      answers: { 200: answer("as /v1/overview, for one app", overview) },
      async handle({ params: { slug }, onlyApp }) {
        const text = overviewJson(await readOverview(), known(slug));
        if (onlyApp === null) return jsonText(text);
        return jsonText(withOwnDeadLetters(text, await countOwnDeadLetters(slug).catch(() => null)));
      },
    }),
    route({
      operationId: "watchAppOverview",
      method: "GET",
      url: "/v1/apps/:slug/overview/live",
      access: "read",
      forApp: true,
      summary: "One app as server-sent events.",
      params,
      answers: { 200: answer("as /v1/overview/live, for one app", liveOverviewForm, "text/event-stream") },
      handle: ({ params: { slug }, onlyApp }) => live(known(slug), onlyApp !== null),
    }),
    route({
      operationId: "listAppInstallations",
      method: "GET",
      url: "/v1/apps/:slug/installations",
      access: "read",
      forApp: true,
      summary: "An app's installations with their parked deliveries and why they are broken.",
      params,
      query: z.object({
        status: installationStatus.optional(),
        organization_id: z.string().min(1).optional(),
        ...list.query(),
      }),
      answers: { 200: answer("a page of installations, newest first", installationsOfApp) },
      async handle({ params: { slug }, query, ...call }) {
        known(slug);
        const view = viewFor(call);
        const { subjectCounts } = await readOverview();
        const wanted = [...index.installations()].filter(
          ({ app, status, organizationId }) =>
            app === slug && (query.status ?? status) === status && (query.organization_id ?? organizationId) === organizationId,
        );
        const { items: shown, next } = list.page(wanted, positionOfInstallation, query);
        const items = shown.map((installation) => ({
          ...installationView(installation, view),
          parked: subjectCounts && (subjectCounts.parkedOfInstallation.get(installation.uuid) ?? 0),
          broken: brokenOf(installation.uuid),
        }));
        return { status: 200, body: { items, next } };
      },
    }),
  ];
}

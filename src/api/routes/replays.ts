/** /v1/replays: deliveries of a period are sent again, or for the first time. */
import { z } from "zod";
import { AppError } from "../../model/app-error.ts";
import { REPLAY_STATES } from "../../model/replay.ts";
import { RecordInvalid, slugParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import type { Replays } from "../../replays/replays.ts";
import { answer, type Caller, type Route, route } from "../http/route.ts";
import { createList } from "../schemas/paging.ts";
import { replay, replayBody, replayId, replayPage } from "../schemas/replays.ts";

const list = createList("replays");

export interface ReplayRoutesDependencies {
  readonly replays: Replays;
  readonly index: RegistryIndex;
  readonly maxPageSize: number;
}

/** A dry run that takes longer is answered as it is then. */
const DRY_RUN_WITHIN_MS = 5_000;

const CHANGES = [
  { verb: "pause", to: "paused", summary: "Pauses a replay. Deliveries that it has sent keep their retries." },
  { verb: "resume", to: "running", summary: "Resumes a paused replay." },
  { verb: "cancel", to: "cancelled", summary: "Cancels a replay. Deliveries that it has sent keep their retries." },
] as const;

export function replayRoutes({ replays, index, maxPageSize }: ReplayRoutesDependencies): Route[] {
  const params = z.object({ id: replayId });

  return [
    route({
      method: "POST",
      url: "/v1/replays",
      operationId: "createReplay",
      access: "admin",
      forApp: true,
      forOrganization: "act",
      summary:
        "Sends deliveries of a period again: dead letters, those that an installation has missed, or all. Ids stay the same; each webhook has the header webhook-replay.",
      body: replayBody,
      answers: {
        201: answer("created; a dry run has usually ended", replay),
        404: "no such app or installation",
        409: "the app has too many replays that have not ended",
      },
      example: { app: "acme-tracker", from: "2026-01-04T20:00:00Z", to: "2026-01-05T06:00:00Z", what: "missed", dry_run: true },
      async handle({ body, caller }) {
        const app = appFor(body, caller);
        const { installation_uuid, event_types, from, to, what, rate_per_s, dry_run } = body;
        const created = await replays.create({
          app,
          installationUuid: installation_uuid ?? null,
          eventTypes: event_types ?? null,
          from: from ?? null,
          to: to ?? null,
          what,
          ratePerS: rate_per_s,
          dryRun: dry_run,
        });
        const shown = dry_run ? await replays.endOf(created.id, DRY_RUN_WITHIN_MS) : created;
        return { status: 201, body: shown, headers: { location: `/v1/replays/${created.id}` } };
      },
    }),
    route({
      method: "GET",
      url: "/v1/replays",
      operationId: "listReplays",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Lists replays that have not ended, and those that ended in the last 7 days, newest first.",
      query: z.object({
        app: slugParameter.optional(),
        state: z.enum(REPLAY_STATES).optional(),
        ...list.query(100, maxPageSize),
      }),
      answers: { 200: answer("a page of replays", replayPage), 404: "no such app" },
      async handle({ query, caller }) {
        const { app = null, state = null } = query;
        if (app !== null && index.app(app) === undefined) throw new AppError("NOT_FOUND", `no app ${app}`);
        const all = replays.all({ app, state, viewer: caller });
        const { items, next } = list.page(all, ({ created_at, id }) => ({ at: created_at, key: id }), query);
        return { status: 200, body: { items: await Promise.all(items.map(replays.view)), next } };
      },
    }),
    route({
      method: "GET",
      url: "/v1/replays/:id",
      operationId: "getReplay",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows a replay and its progress.",
      params,
      answers: { 200: answer("the replay", replay) },
      handle: async ({ params: { id }, caller }) => ({ status: 200, body: await replays.get(id, caller) }),
    }),
    ...CHANGES.map(({ verb, to, summary }) =>
      route({
        method: "POST",
        url: `/v1/replays/:id/${verb}`,
        operationId: `${verb}Replay`,
        access: "admin",
        forApp: true,
        forOrganization: "act",
        summary,
        params,
        answers: { 200: answer("the replay", replay), 409: "it has ended" },
        handle: async ({ params: { id }, caller }) => ({ status: 200, body: await replays.change(id, to, caller) }),
      }),
    ),
  ];
}

interface Owner {
  readonly app?: string | null | undefined;
  readonly installation_uuid?: string | null | undefined;
}

/** @returns null: the installation's. @throws AppError RECORD_INVALID when there is neither an app nor an installation */
function appFor({ app, installation_uuid: installationUuid }: Owner, { onlyApp, onlyOrganization }: Caller): string | null {
  if (onlyOrganization !== null && installationUuid == null)
    throw new RecordInvalid("body", [{ path: "installation_uuid", message: "missing, wanted an installation of the organization" }]);
  const found = app ?? onlyApp;
  if (found === null && installationUuid == null)
    throw new RecordInvalid("body", [{ path: "app", message: "missing, wanted app or installation_uuid" }]);
  return found;
}

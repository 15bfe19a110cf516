/** Replays of dead letters: one, or all that match a filter. */
import { z } from "zod";
import type { ReplayDeadLetters } from "../../dead-letters/replay.ts";
import { AppError } from "../../model/app-error.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import type { DeadLetterReplay } from "../../replays/dead-letter-replay-record.ts";
import type { DeadLetterReplays } from "../../replays/dead-letter-replays.ts";
import { answer, NOT_STORED, type Route, route } from "../http/route.ts";
import { replayedOne, replay as replayForm } from "../schemas/dead-letters.ts";
import { deadLetterSequence, eventType, inOrder, time } from "../schemas/parameters.ts";
import { createDeadLetterAccess, type DeadLetterAccessDependencies } from "./dead-letter-access.ts";
import { UNKNOWN_OWNER } from "./dead-letters.ts";

export interface DeadLetterReplayRoutesDependencies extends DeadLetterAccessDependencies {
  readonly replayDeadLetters: Pick<ReplayDeadLetters, "one">;
  readonly deadLetterReplays: DeadLetterReplays;
}

/** A replay that takes longer is answered with 202; the caller asks for its progress. */
const ANSWER_WITHIN_MS = 2_000;

const filterBody = inOrder(
  z.strictObject({
    app: slugParameter.nullish().meta({ description: "All apps when absent." }),
    installation_uuid: uuidParameter.nullish().meta({ description: "All installations when absent." }),
    event_type: eventType.nullish(),
    start: time.nullish().meta({ description: "Given up at this time or later." }),
    end: time.nullish().meta({ description: "Given up before this time." }),
    dry_run: z.boolean().default(false).meta({ description: "Only counts." }),
  }),
)
  .meta({ id: "ReplayFilter", description: "Which dead letters are replayed." })
  .default({ dry_run: false });

export function deadLetterReplayRoutes(dependencies: DeadLetterReplayRoutesDependencies): Route[] {
  const { replayDeadLetters, deadLetterReplays, index } = dependencies;
  const access = createDeadLetterAccess(dependencies);

  return [
    route({
      operationId: "replayDeadLetter",
      method: "POST",
      url: "/v1/dead-letters/:sequence/replay",
      access: "admin",
      forApp: true,
      forOrganization: "act",
      summary: "Replays one dead letter.",
      params: z.object({ sequence: deadLetterSequence }),
      answers: {
        202: answer("stored for delivery", replayedOne),
        409: "it holds no delivery, or an event that no installation wants now; it stays",
        503: NOT_STORED,
      },
      async handle({ params: { sequence }, caller }) {
        await access.get(sequence, caller);
        await replayDeadLetters.one(sequence);
        return { status: 202, body: { sequence } };
      },
    }),
    route({
      operationId: "replayDeadLetters",
      method: "POST",
      url: "/v1/dead-letters/replay",
      access: "admin",
      forApp: true,
      forOrganization: "act",
      summary: "Replays all matching dead letters.",
      body: filterBody,
      answers: {
        200: answer("done", replayForm),
        404: UNKNOWN_OWNER,
        202: answer("still running; its progress is at /v1/dead-letters/replays/{id}", replayForm),
      },
      example: { app: "acme-tracker", event_type: "issue.created", dry_run: true },
      async handle({ body, caller }) {
        const filter = await access.filter(body, caller);
        const named = body.installation_uuid == null ? undefined : index.installation(body.installation_uuid);
        const organizationId = caller.onlyOrganization ?? named?.organizationId ?? null;
        const request = { filter, organizationId, dryRun: body.dry_run, withinMs: ANSWER_WITHIN_MS };
        const replay = await deadLetterReplays.start(request);
        if (replay.state === "failed") throw new AppError("STREAM_REFUSED", `replay ${replay.id}: ${replay.error}`, { retryable: true });
        return { status: replay.state === "done" ? 200 : 202, body: replayView(replay) };
      },
    }),
    route({
      operationId: "getDeadLetterReplay",
      method: "GET",
      url: "/v1/dead-letters/replays/:id",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows the progress of a replay.",
      params: z.object({ id: z.uuid().meta({ example: "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f" }) }),
      answers: { 200: answer("the replay, on whichever replica it runs", replayForm) },
      handle: async ({ params: { id }, caller }) => ({ status: 200, body: replayView(await deadLetterReplays.get(id, caller)) }),
    }),
  ];
}

function replayView({ id, state, matched, replayed, skipped, error }: DeadLetterReplay): object {
  return { replay_id: id, state, matched, replayed, skipped, error };
}

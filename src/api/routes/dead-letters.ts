/** /v1/dead-letters: looking at what was given up and sending it again. */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import type { DeadLetterFilter, DeadLetters } from "../../dead-letters/dead-letters.ts";
import type { DeadLetter } from "../../dead-letters/read-dead-letter.ts";
import { AppError, messageOf } from "../../model/app-error.ts";
import type { Replay, ReplayNotes } from "../../model/replay.ts";
import { slugParameter, uuidParameter } from "../../registry/records.ts";
import type { RegistryIndex } from "../../registry/registry-index.ts";
import { answer, jsonText, NOT_STORED, type Route, route } from "../http/route.ts";
import { eventType, inOrder, limit, time, wholeNumber } from "../schemas/parameters.ts";
import { deadLetter, deadLetterPage, replayedOne, replay as replayForm } from "../schemas/schemas.ts";

const sequence = wholeNumber(1).meta({ example: 7 });

/** A replay that takes longer is answered with 202 and its progress is asked for. */
const ANSWER_WITHIN_MS = 2_000;
const MAX_REPLAYS = 100;

/** The other replicas are told how far a replay is. */
const NOTE_EVERY_MS = 1_000;

export interface DeadLetterRoutesDependencies {
  readonly deadLetters: DeadLetters;
  readonly replayNotes: ReplayNotes;
  readonly index: RegistryIndex;
  readonly maxPageSize: number;
}

export function deadLetterRoutes({ deadLetters, replayNotes, index, maxPageSize }: DeadLetterRoutesDependencies): Route[] {
  const replays = new Map<string, Replay>();

  /** @returns the replay as it is at any moment, and its end. */
  const begin = (filter: DeadLetterFilter, dryRun: boolean): { now: () => Replay; ended: Promise<void> } => {
    let replay: Replay = { id: randomUUID(), app: filter.app, state: "running", matched: 0, replayed: 0, skipped: 0, error: null };
    const change = (changes: Partial<Replay>): void => {
      replay = { ...replay, ...changes };
      replays.set(replay.id, replay);
    };
    const note = (): Promise<void> => replayNotes.note(replay);
    change({});
    for (const id of replays.keys()) {
      if (replays.size <= MAX_REPLAYS) break;
      replays.delete(id);
    }
    void note();
    const noting = setInterval(() => void note(), NOTE_EVERY_MS);
    const ended = deadLetters
      .replayAll(filter, dryRun, change)
      .then(
        (progress) => change({ ...progress, state: "done" }),
        (error: unknown) => change({ state: "failed", error: messageOf(error) }),
      )
      .finally(() => {
        clearInterval(noting);
        return note();
      });
    return { now: () => replay, ended };
  };

  /** One that the caller may know of. @throws AppError NOT_FOUND */
  const get = async (sequence: number, onlyApp: string | null): Promise<DeadLetter> => {
    const letter = await deadLetters.get(sequence);
    if (onlyApp !== null && (letter.app !== onlyApp || !deadLetters.isOwn(letter)))
      throw new AppError("NOT_FOUND", `no dead letter ${sequence}`);
    return letter;
  };

  /** What is gone from the registry can still have dead letters. @throws AppError NOT_FOUND */
  const checkKnown = async (filter: DeadLetterFilter): Promise<void> => {
    const { app, installationUuid } = filter;
    const isKnown =
      (app === null || index.app(app) !== undefined) && (installationUuid == null || index.installation(installationUuid) !== undefined);
    if (isKnown || (await deadLetters.list({ ...filter, eventType: null, start: null, end: null }, 0, 1)).items.length > 0) return;
    throw new AppError("NOT_FOUND", app !== null && index.app(app) === undefined ? `no app ${app}` : `no installation ${installationUuid}`);
  };

  const shown = ({ id, state, matched, replayed, skipped, error }: Replay): object => ({
    replay_id: id,
    ...{ state, matched, replayed, skipped, error },
  });

  return [
    route({
      method: "GET",
      url: "/v1/dead-letters",
      access: "read",
      forApp: true,
      summary: "What was given up, with the event, the attempts and the reason.",
      query: inOrder(
        z.object({
          app: slugParameter.optional(),
          installation_uuid: uuidParameter.optional(),
          event_type: eventType.optional(),
          start: time.optional().meta({ description: "Given up at this time or later." }),
          end: time.optional().meta({ description: "Given up before." }),
          limit: limit(100, maxPageSize),
          order: z.enum(["oldest", "newest"]).default("oldest").meta({ description: "What comes first." }),
          after: wholeNumber(0).default(0).meta({ description: "`next` of the page before." }),
        }),
      ),
      answers: {
        200: answer("a page of dead letters", deadLetterPage),
        404: "no such app or installation, and no dead letters of one that was",
      },
      async handle({ query, onlyApp }) {
        const filter = filterOf(query, onlyApp);
        await checkKnown(filter);
        const { items, next } =
          query.order === "newest"
            ? await deadLetters.listNewest(filter, query.after || null, query.limit)
            : await deadLetters.list(filter, query.after, query.limit);
        // Their text is passed on as it is stored: numbers in an event's data are not rounded on the way.
        return jsonText(`{"items":[${items.map(withSequence).join(",")}],"next":${next}}`);
      },
    }),
    route({
      method: "GET",
      url: "/v1/dead-letters/:sequence",
      access: "read",
      forApp: true,
      summary: "One dead letter.",
      params: z.object({ sequence }),
      answers: { 200: answer("the dead letter", deadLetter) },
      handle: async ({ params, onlyApp }) => jsonText(withSequence(await get(params.sequence, onlyApp))),
    }),
    route({
      method: "DELETE",
      url: "/v1/dead-letters/:sequence",
      access: "admin",
      summary: "Removes one dead letter for good.",
      params: z.object({ sequence }),
      answers: { 204: "removed" },
      async handle({ params }) {
        await deadLetters.delete(params.sequence);
        return { status: 204 };
      },
    }),
    route({
      method: "POST",
      url: "/v1/dead-letters/:sequence/replay",
      access: "admin",
      forApp: true,
      summary: "Sends one dead letter on its way again.",
      params: z.object({ sequence }),
      answers: {
        202: answer("on its way", replayedOne),
        409: "it holds no delivery, or an event that nobody wants now; it stays",
        503: NOT_STORED,
      },
      async handle({ params, onlyApp }) {
        await get(params.sequence, onlyApp);
        await deadLetters.replayOne(params.sequence);
        return { status: 202, body: { sequence: params.sequence } };
      },
    }),
    route({
      method: "POST",
      url: "/v1/dead-letters/replay",
      access: "admin",
      forApp: true,
      summary: "Sends all dead letters that match on their way again.",
      body: inOrder(
        z.strictObject({
          app: slugParameter.nullish().meta({ description: "All apps when not given." }),
          installation_uuid: uuidParameter.nullish().meta({ description: "All installations when not given." }),
          event_type: eventType.nullish(),
          start: time.nullish().meta({ description: "Given up at this time or later." }),
          end: time.nullish().meta({ description: "Given up before." }),
          dry_run: z.boolean().default(false).meta({ description: "Only counts." }),
        }),
      ).default({ dry_run: false }),
      answers: {
        200: answer("done", replayForm),
        404: "no such app or installation, and no dead letters of one that was",
        202: answer("still running; its progress is at /v1/dead-letters/replays/{id}", replayForm),
      },
      example: { app: "acme-tracker", event_type: "issue.created", dry_run: true },
      async handle({ body, onlyApp }) {
        const filter = filterOf(body, onlyApp);
        await checkKnown(filter);
        const { now, ended } = begin(filter, body.dry_run);
        await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, ANSWER_WITHIN_MS).unref())]);
        const replay = now();
        if (replay.state === "failed") throw new AppError("STREAM_REFUSED", `replay ${replay.id}: ${replay.error}`, { retryable: true });
        return { status: replay.state === "done" ? 200 : 202, body: shown(replay) };
      },
    }),
    route({
      method: "GET",
      url: "/v1/dead-letters/replays/:id",
      access: "read",
      forApp: true,
      summary: "How far a replay is.",
      params: z.object({ id: z.uuid().meta({ example: "0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f" }) }),
      answers: { 200: answer("the replay, whichever replica does it", replayForm) },
      async handle({ params: { id }, onlyApp }) {
        const replay = replays.get(id) ?? (await replayNotes.find(id));
        if (replay === null || (onlyApp !== null && replay.app !== onlyApp))
          throw new AppError("NOT_FOUND", `no replay ${id} of the last day`);
        return { status: 200, body: shown(replay) };
      },
    }),
  ];
}

interface FilterInput {
  readonly app?: string | null | undefined;
  readonly installation_uuid?: string | null | undefined;
  readonly event_type?: string | null | undefined;
  readonly start?: number | null | undefined;
  readonly end?: number | null | undefined;
}

/** @throws AppError FORBIDDEN */
function filterOf({ app, installation_uuid, event_type, start, end }: FilterInput, onlyApp: string | null): DeadLetterFilter {
  if (onlyApp !== null && app != null && app !== onlyApp)
    throw new AppError("FORBIDDEN", `the token of app ${onlyApp} covers no other app`);
  return {
    app: onlyApp ?? app ?? null,
    ownOnly: onlyApp !== null,
    installationUuid: installation_uuid ?? null,
    eventType: event_type ?? null,
    start: start ?? null,
    end: end ?? null,
  };
}

function withSequence({ sequence: number, json }: DeadLetter): string {
  return `{"sequence":${number},${json.slice(1)}`;
}

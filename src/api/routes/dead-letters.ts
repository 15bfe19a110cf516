/** /v1/dead-letters: deliveries that were given up. */
import { z } from "zod";
import type { DeadLetters } from "../../dead-letters/dead-letters.ts";
import type { DeleteDeadLetters } from "../../dead-letters/delete-dead-letters.ts";
import type { DeadLetter } from "../../dead-letters/read-dead-letter.ts";
import { RecordInvalid, slugParameter, uuidParameter } from "../../registry/records.ts";
import { answer, jsonText, type Route, route } from "../http/route.ts";
import { deadLetter, deadLetterPage, deletedDeadLetters } from "../schemas/dead-letters.ts";
import { createList } from "../schemas/paging.ts";
import { deadLetterSequence, eventType, flag, inOrder, time } from "../schemas/parameters.ts";
import { createDeadLetterAccess, type DeadLetterAccessDependencies } from "./dead-letter-access.ts";

const list = createList("dead-letters");

export const UNKNOWN_OWNER = "no such app or installation, and no dead letters of a removed one";

/** A caller waits for the answer. */
const DELETE_WITHIN_MS = 20_000;

export interface DeadLetterRoutesDependencies extends DeadLetterAccessDependencies {
  readonly deadLetters: DeadLetters;
  readonly deleteDeadLetters: DeleteDeadLetters;
  readonly maxPageSize: number;
}

const filters = {
  app: slugParameter.optional(),
  installation_uuid: uuidParameter.optional(),
  event_type: eventType.optional(),
  start: time.optional().meta({ description: "Given up at this time or later." }),
  end: time.optional().meta({ description: "Given up before this time." }),
};

export function deadLetterRoutes(dependencies: DeadLetterRoutesDependencies): Route[] {
  const { deadLetters, deleteDeadLetters, maxPageSize } = dependencies;
  const access = createDeadLetterAccess(dependencies);
  const params = z.object({ sequence: deadLetterSequence });

  return [
    route({
      operationId: "listDeadLetters",
      method: "GET",
      url: "/v1/dead-letters",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Lists dead letters: deliveries that were given up, with the event, the attempts and the reason.",
      query: inOrder(
        z.object({
          ...filters,
          order: z.enum(["newest", "oldest"]).default("newest").meta({ description: "Which dead letters come first." }),
          ...list.query(100, maxPageSize),
        }),
      ),
      answers: { 200: answer("a page of dead letters", deadLetterPage), 404: UNKNOWN_OWNER },
      async handle({ query, caller }) {
        const filter = await access.filter(query, caller);
        const { items, next } =
          query.order === "newest"
            ? await deadLetters.listNewest(filter, query.cursor?.at ?? null, query.limit)
            : await deadLetters.list(filter, query.cursor?.at ?? 0, query.limit);
        // Passed on as stored text, so that numbers in an event's data are not rounded.
        return jsonText(`{"items":[${items.map(withSequence).join(",")}],"next":${JSON.stringify(list.nextInStream(next))}}`);
      },
    }),
    route({
      operationId: "deleteDeadLetters",
      method: "DELETE",
      url: "/v1/dead-letters",
      access: "admin",
      summary: "Removes all matching dead letters for good. A call needs a filter, or all=true.",
      query: inOrder(
        z.object({
          ...filters,
          all: flag.optional().meta({ description: "All of them, when there is no filter." }),
          dry_run: flag.optional().meta({ description: "Only counts." }),
        }),
      ),
      answers: { 200: answer("how many were removed", deletedDeadLetters), 404: UNKNOWN_OWNER },
      async handle({ query: { all = false, dry_run: dryRun = false, ...query }, caller }) {
        if (!all && Object.keys(query).length === 0)
          throw new RecordInvalid("query", [
            { path: "all", message: "found no filter, wanted app, installation_uuid, event_type, start or end; or all=true" },
          ]);
        const filter = await access.filter(query, caller);
        const { count, isComplete } = await deleteDeadLetters(filter, { dryRun, withinMs: DELETE_WITHIN_MS });
        return { status: 200, body: { deleted: count, complete: isComplete, dry_run: dryRun } };
      },
    }),
    route({
      operationId: "getDeadLetter",
      method: "GET",
      url: "/v1/dead-letters/:sequence",
      access: "read",
      forApp: true,
      forOrganization: "read",
      summary: "Shows one dead letter.",
      params,
      answers: { 200: answer("the dead letter", deadLetter) },
      handle: async ({ params: { sequence }, caller }) => jsonText(withSequence(await access.get(sequence, caller))),
    }),
    route({
      operationId: "deleteDeadLetter",
      method: "DELETE",
      url: "/v1/dead-letters/:sequence",
      access: "admin",
      summary: "Removes one dead letter for good.",
      params,
      answers: { 204: "removed" },
      async handle({ params: { sequence } }) {
        await deadLetters.delete(sequence);
        return { status: 204 };
      },
    }),
  ];
}

function withSequence({ sequence, json }: DeadLetter): string {
  return `{"sequence":${sequence},${json.slice(1)}`;
}

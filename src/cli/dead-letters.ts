/** posthorn dead-letters …: deliveries that were given up. */
import type { DeadLetter } from "../client/api-types.generated.ts";
import type { ApiClient } from "../client/create-api-client.ts";
import { type Command, command, flag, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { counted, milliseconds, outcomeStyle, responseCode } from "./format.ts";
import type { Output } from "./output.ts";
import { installationUuid } from "./short-ids.ts";
import { PAGE, take } from "./take.ts";
import { pastTime, positive } from "./values.ts";

/** The options that select dead letters, here and for a replay. */
export const deadLetterFilter = {
  app: value("slug", "Only of this app."),
  installation: value("uuid", "Only of this installation."),
  type: value("type", "Only of this event type."),
  since: value("time", "Given up at this time or later: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime),
  until: value("time", "Given up before this time.", pastTime),
} as const;

export function sequenceOf(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new UsageError(`found ${JSON.stringify(text)}, wanted the number of a dead letter`);
  return Number(text);
}

function eventType({ event }: DeadLetter): string {
  return event === undefined ? "–" : `${event.resource}.${event.action}`;
}

function show(output: Output, deadLetter: DeadLetter): void {
  output.facts([
    ["dead letter", String(deadLetter.sequence)],
    ["given up", output.time(deadLetter.dead_lettered_at)],
    ["reason", output.paint("red", deadLetter.reason)],
    ["error", deadLetter.error],
    ["app", deadLetter.app],
    ["event", deadLetter.event && `${eventType(deadLetter)} ${deadLetter.event.id}`],
    ["organization", deadLetter.event?.organization_id],
    ["installation", deadLetter.installation_uuid],
    ["delivery", deadLetter.delivery_id],
    ["data", deadLetter.event && JSON.stringify(deadLetter.event.data)],
    ["body", deadLetter.body],
    ["body (base64)", deadLetter.body_base64],
  ]);
  if (!deadLetter.attempts?.length) return;
  output.line("");
  output.table(
    [
      { title: "ATTEMPT", cell: ({ attempt }) => String(attempt) },
      { title: "TIME", cell: ({ at }) => at, isTime: true },
      { title: "OUTCOME", cell: ({ outcome }) => outcome, style: ({ outcome }) => outcomeStyle(outcome) },
      { title: "CODE", cell: ({ response_code: code }) => responseCode(code) },
      { title: "TOOK", cell: ({ duration_ms: ms }) => milliseconds(ms) },
      { title: "ERROR", cell: ({ error }) => error, isDetail: true },
    ],
    deadLetter.attempts,
    "",
  );
}

/** Repeats the call until no dead letter matches any more: one call ends after some time. */
async function deleteMatching({
  api,
  output,
  query,
  yes,
}: {
  api: ApiClient;
  output: Output;
  query: object;
  yes: boolean;
}): Promise<undefined> {
  const call = (more: object) => api.call("DELETE /v1/dead-letters", { query: { ...query, ...more } });
  if (!yes) {
    const { body } = await call({ dry_run: true });
    const atLeast = body.complete ? "" : "at least ";
    throw new UsageError(`dead-letters delete: this removes ${atLeast}${counted(body.deleted, "dead letter")}; confirm with --yes`);
  }
  let deleted = 0;
  for (let isComplete = false; !isComplete; ) {
    const { body } = await call({});
    deleted += body.deleted;
    isComplete = body.complete;
  }
  output.result({ deleted }, () => output.line(`Removed ${counted(deleted, "dead letter")}.`));
}

export const deadLetterCommands: readonly Command[] = [
  command({
    name: "dead-letters list",
    summary: "Lists dead letters, newest first.",
    options: { ...deadLetterFilter, limit: value("number", "At most this many; 50 by default.", positive) },
    examples: ["dead-letters --app acme-tracker", "dead-letters list --since 1d --json"],
    async run({ api, output, options: { app, installation, type, since, until, limit = 50 } }) {
      const uuid = await installationUuid(api, installation);
      const query = { app, installation_uuid: uuid, event_type: type, start: since, end: until, limit: Math.min(limit, PAGE) };
      const { rows, more } = await take(api().items("GET /v1/dead-letters", { query }), limit);
      output.table(
        [
          { title: "NUMBER", cell: ({ sequence }) => String(sequence), style: () => "bold" },
          { title: "TIME", cell: ({ dead_lettered_at: at }) => at, isTime: true },
          { title: "REASON", cell: ({ reason }) => reason, style: () => "red" },
          { title: "APP", cell: ({ app: slug }) => slug ?? "–" },
          { title: "EVENT", cell: eventType },
          { title: "TRIES", cell: ({ attempts_made: made }) => String(made ?? 0), isSpare: true },
          { title: "DELIVERY", cell: ({ delivery_id: id }) => id ?? null, isId: true },
          { title: "ERROR", cell: ({ error }) => error, isDetail: true },
        ],
        rows,
        "No dead letters.",
      );
      if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
    },
  }),
  command({
    name: "dead-letters get",
    summary: "Shows one dead letter with its event and attempts.",
    operands: ["<number>"],
    examples: ["dead-letters get 7"],
    async run({ api, output, operands: [number = ""] }) {
      const { body } = await api().call("GET /v1/dead-letters/{sequence}", { path: { sequence: sequenceOf(number) } });
      output.result(body, () => show(output, body));
    },
  }),
  command({
    name: "dead-letters delete",
    summary: "Removes one dead letter for good, or all that match; they can't be replayed afterwards.",
    operands: ["[number]"],
    options: { ...deadLetterFilter, all: flag("All of them."), yes: flag("Skip the confirmation.") },
    examples: ["dead-letters delete 7 --yes", "dead-letters delete --app acme-tracker --until 7d --yes"],
    async run({ api, output, options, operands: [number] }) {
      const { app, installation, type, since, until, all, yes } = options;
      const uuid = await installationUuid(api, installation);
      const query = { app, installation_uuid: uuid, event_type: type, start: since, end: until, ...(all ? { all } : {}) };
      const isFiltered = Object.values(query).some((given) => given !== undefined);
      if (number === undefined) {
        if (!isFiltered) throw new UsageError("dead-letters delete: wanted a number, a filter such as --app, or --all");
        return deleteMatching({ api: api(), output, query, yes });
      }
      if (isFiltered) throw new UsageError("dead-letters delete: wanted a number or a filter, found both");
      const path = { sequence: sequenceOf(number) };
      const { body } = await api().call("GET /v1/dead-letters/{sequence}", { path });
      const what = `dead letter ${number} (${body.reason})`;
      if (!options.yes) throw new UsageError(`dead-letters delete: this removes ${what}; confirm with --yes`);
      await api().call("DELETE /v1/dead-letters/{sequence}", { path });
      output.result({ sequence: path.sequence, deleted: true }, () => output.line(`Removed ${what}.`));
    },
  }),
];

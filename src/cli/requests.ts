/** posthorn requests: the request log of an app. */
import type { WebhookRequest } from "../client/api-types.generated.ts";
import { parseInteger } from "../config/values.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { choice, command, flag, value } from "./command.ts";
import { milliseconds, outcomeStyle, responseCode } from "./format.ts";
import type { Output } from "./output.ts";
import { deliveryId, installationUuid, withEventId } from "./short-ids.ts";
import type { Column } from "./table.ts";
import { PAGE, take } from "./take.ts";
import { pastTime, positive } from "./values.ts";

export const requestColumns: ReadonlyArray<Column<WebhookRequest>> = [
  { title: "TIME", cell: ({ date }) => date, isTime: true },
  { title: "EVENT", cell: ({ event_type: type }) => type, style: () => "bold" },
  { title: "OUTCOME", cell: ({ outcome }) => outcome, style: ({ outcome }) => outcomeStyle(outcome) },
  { title: "CODE", cell: ({ response_code: code }) => responseCode(code) },
  { title: "TOOK", cell: ({ duration_ms: ms }) => milliseconds(ms), isSpare: true },
  { title: "TRY", cell: ({ attempt }) => String(attempt) },
  { title: "DELIVERY", cell: ({ delivery_id: id }) => id, isId: true },
  { title: "ERROR", cell: ({ error }) => error ?? "", isDetail: true },
];

function showWhole(output: Output, row: WebhookRequest): void {
  output.facts([
    ["time", output.time(row.date)],
    ["event", `${row.event_type} ${row.event_id}`],
    ["outcome", output.paint(outcomeStyle(row.outcome), row.outcome)],
    ["response", responseCode(row.response_code)],
    ["took", milliseconds(row.duration_ms)],
    ["attempt", String(row.attempt)],
    ["delivery", row.delivery_id],
    ["installation", row.installation_uuid],
    ["organization", row.organization_id],
    ["webhook", row.webhook_url],
    ["trace", row.trace_id],
    ["their error", row.error_id === undefined ? null : `${row.error_id} in project ${row.project_id ?? "?"}`],
    ["error", row.error],
    ...Object.entries(row.request_headers ?? {}).map(([name, text]) => [`> ${name}`, text] as const),
    ["request body", row.request_body],
    ...Object.entries(row.response_headers ?? {}).map(([name, text]) => [`< ${name}`, text] as const),
    ["response body", row.response_body],
  ]);
  output.line("");
}

export const requestsCommand = command({
  name: "requests",
  summary: "Shows the last webhook requests of an app, newest first.",
  operands: ["<app>"],
  options: {
    errors: flag("Only attempts that did not deliver."),
    type: value("type", "Only of this event type."),
    organization: value("id", "Only of this organization."),
    installation: value("uuid", "Only of this installation."),
    event: value("id", "Only of events with this id."),
    delivery: value("id", "Only of this delivery."),
    outcome: choice(OUTCOMES, "Only with this outcome."),
    code: value("status", "Only with this response code; 0: no response.", parseInteger),
    since: value("time", "From this time on: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime),
    until: value("time", "Before this time.", pastTime),
    limit: value("number", "At most this many; 50 by default.", positive),
    full: flag("With the headers and bodies that the log has."),
  },
  examples: ["requests acme-tracker --errors --since 2h", "requests acme-tracker --event evt-1 --full"],
  async run({ api, output, options, operands: [slug = ""] }) {
    const { errors, type, organization, installation, event, delivery, outcome, code, since, until, limit = 50, full } = options;
    const query = {
      ...{ errors_only: errors, event_type: type, organization_id: organization, outcome, response_code: code, start: since, end: until },
      ...{ installation_uuid: await installationUuid(api, installation), delivery_id: await deliveryId(api, delivery) },
      limit: Math.min(limit, PAGE),
    };
    const { rows, more } = await withEventId({ api, output }, event, (id) =>
      take(api().items("GET /v1/apps/{slug}/webhook-requests", { path: { slug }, query: { ...query, event_id: id } }), limit),
    );
    if (full && !output.json) for (const row of rows) showWhole(output, row);
    else output.table(requestColumns, rows, "No matching requests.");
    if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
  },
});

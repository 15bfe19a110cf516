/** posthorn explain: what happened to an event or a delivery, and why. */
import type { EventOfSameId, ExplainedAttempt, ExplainedDelivery, ExplainedEvent } from "../client/api-types.generated.ts";
import { command, value } from "./command.ts";
import { milliseconds, outcomeStyle, responseCode, stateStyle } from "./format.ts";
import type { Output } from "./output.ts";
import { deliveryId, withFoundEvent } from "./short-ids.ts";
import type { Column } from "./table.ts";
import { pastTime } from "./values.ts";

const ATTEMPT_COLUMNS: ReadonlyArray<Column<ExplainedAttempt>> = [
  { title: "  ATTEMPT", cell: ({ attempt }) => `  ${attempt}` },
  { title: "TIME", cell: ({ at }) => at, isTime: true },
  { title: "OUTCOME", cell: ({ outcome }) => outcome, style: ({ outcome }) => outcomeStyle(outcome) },
  { title: "CODE", cell: ({ response_code: code }) => responseCode(code) },
  { title: "TOOK", cell: ({ duration_ms: ms }) => milliseconds(ms) },
  { title: "ERROR", cell: ({ error, response_body: body }) => [error, body].filter((part) => part !== null).join(": "), isDetail: true },
];

function showEvent(output: Output, event: ExplainedEvent): void {
  output.facts([
    ["event", `${output.paint("bold", event.type ?? "?")} ${event.id}`],
    ["source", event.source],
    ["organization", event.organization_id],
    ["project", event.project_id],
    ["occurred", output.time(event.occurred_at)],
    ["stored", event.sequence === null ? "not in the events stream" : `${event.stream} ${event.sequence}`],
    ["stage", event.stage],
    ["trace", event.trace_id],
    ["data", event.data && JSON.stringify(event.data)],
  ]);
}

/** @param traceId of the event, which is not repeated */
function showDelivery(output: Output, delivery: ExplainedDelivery, traceId: string | null): void {
  output.line("");
  const head = [output.paint("bold", delivery.app), output.paint(stateStyle(delivery.state), delivery.state), output.text(delivery.detail)];
  output.line(head.join("  "));
  output.line(
    output.paint("dim", `  ${delivery.delivery_id}  installation ${delivery.installation_uuid} (${delivery.installation_status})`),
  );
  if (delivery.trace_id !== null && delivery.trace_id !== traceId) output.line(output.paint("dim", `  trace ${delivery.trace_id}`));
  if (delivery.attempts.length > 0) output.table(ATTEMPT_COLUMNS, delivery.attempts, "");
  // Attempts are in the table above.
  for (const { at, kind, detail } of delivery.timeline)
    if (kind !== "attempt" && kind !== "event") output.line(`  ${output.time(at)}  ${output.text(detail)}`);
}

function showEventOfId(output: Output, { event, deliveries, not_wanted: notWanted }: EventOfSameId): void {
  showEvent(output, event);
  for (const delivery of deliveries) showDelivery(output, delivery, event.trace_id);
  if (deliveries.length === 0) output.line("\nNo installation of the organization is known to have wanted the event.");
  if (notWanted.length > 0) output.line("");
  for (const { app, detail } of notWanted) output.line(`${output.paint("dim", "not for")} ${app}: ${output.text(detail)}`);
}

export const explainCommand = command({
  name: "explain",
  summary: "Explains what happened to an event or a delivery, and why.",
  operands: ["<event id or delivery id, or its beginning>"],
  options: {
    since: value("time", "Search from this time on for an event that nobody wanted: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime),
    type: value("resource.action", "Only the event of this type, when several have the id.", String),
    app: value("slug", "Only about this app: its deliveries, or why it has none."),
    source: value("source", "Only the CloudEvent of this source, when several have the id.", String),
  },
  details: "A delivery id (dlv_…) is the webhook-id header of the webhook.",
  examples: ["explain evt-1", "explain evt-1 --app acme-tracker", "explain dlv_5f2b6c0a9e134d7788aa10c3d4e5f607"],
  async run({ api, output, options, operands: [given = ""] }) {
    if (/^dlv_[0-9a-f]{4,32}$/.test(given)) {
      const { body } = await api().call("GET /v1/deliveries/{id}", { path: { id: await deliveryId(api, given) } });
      output.result(body, () => {
        if (body.event !== null) showEvent(output, body.event);
        showDelivery(output, body.delivery, body.event?.trace_id ?? null);
        for (const note of body.notes) output.line(`\n${output.text(note)}`);
      });
      return;
    }
    const query = { since: options.since, type: options.type, source: options.source, app: options.app };
    const { body } = await withFoundEvent(api, given, (id) => api().call("GET /v1/events/{id}", { path: { id }, query }));
    output.result(body, () => {
      showEventOfId(output, body);
      for (const other of body.others) {
        output.line("\nAnother event has the same id:\n");
        showEventOfId(output, other);
      }
      for (const note of body.notes) output.line(`\n${output.text(note)}`);
    });
  },
});

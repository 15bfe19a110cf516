/** posthorn events, posthorn deliveries: what was published, and what became of it. */
import type { ListedDelivery, ListedEvent } from "../client/api-types.generated.ts";
import { parseInteger } from "../config/values.ts";
import { OUTCOMES } from "../model/outcome.ts";
import { choice, command, value } from "./command.ts";
import { responseCode, stateStyle } from "./format.ts";
import { installationUuid, withEventId } from "./short-ids.ts";
import type { Column } from "./table.ts";
import { PAGE, take } from "./take.ts";
import { pastTime, positive } from "./values.ts";

const deliveryColumns: ReadonlyArray<Column<ListedDelivery>> = [
  { title: "TIME", cell: ({ at }) => at, isTime: true },
  { title: "STATE", cell: ({ state }) => state, style: ({ state }) => stateStyle(state) },
  { title: "APP", cell: ({ app }) => app },
  { title: "EVENT", cell: ({ event_type: type }) => type, style: () => "bold" },
  { title: "CODE", cell: ({ last_attempt: last }) => (last === null ? "" : responseCode(last.response_code)) },
  { title: "NEXT", cell: ({ next_attempt_at: next }) => next, isTime: true, isSpare: true },
  { title: "DELIVERY", cell: ({ delivery_id: id }) => id, isId: true },
  { title: "DETAIL", cell: ({ detail }) => detail, isText: true, isDetail: true },
];

const eventColumns: ReadonlyArray<Column<ListedEvent>> = [
  { title: "TIME", cell: ({ stored_at: at }) => at, isTime: true },
  { title: "EVENT", cell: ({ type }) => type ?? "unreadable", style: () => "bold" },
  { title: "ORGANIZATION", cell: ({ organization_id: id }) => id ?? "" },
  { title: "ID", cell: ({ id }) => id, isId: true },
  { title: "DATA", cell: ({ data, problem }) => problem ?? JSON.stringify(data), isDetail: true },
];

const since = value("time", "From this time on: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime);
const until = value("time", "Before this time.", pastTime);
const limitOption = value("number", "At most this many; 50 by default.", positive);

export const deliveriesCommand = command({
  name: "deliveries",
  summary: "Lists deliveries, newest first: those that wait, dead letters, and those that the request log knows.",
  options: {
    app: value("slug", "Only of this app."),
    installation: value("uuid", "Only of this installation."),
    organization: value("id", "Only of events of this organization."),
    event: value("id", "Only of the events with this id."),
    state: value("states", "Only in these states, such as retrying,parked,throttled for all that waits."),
    outcome: choice(OUTCOMES, "Only with this outcome of the last attempt."),
    code: value("status", "Only with this response code of the last attempt; 0: no response.", parseInteger),
    since,
    until,
    limit: limitOption,
  },
  examples: ["deliveries --state retrying,parked,throttled", "deliveries --app acme-tracker --code 503 --since 2h"],
  async run({
    api,
    output,
    options: { app, installation, organization, event, state, outcome, code, since: start, until: end, limit = 50 },
  }) {
    const uuid = await installationUuid(api, installation);
    const query = {
      app,
      installation_uuid: uuid,
      organization_id: organization,
      state,
      outcome,
      response_code: code,
      start,
      end,
      limit: Math.min(limit, PAGE),
    };
    const { rows, more } = await withEventId({ api, output }, event, (id) =>
      take(api().items("GET /v1/deliveries", { query: { ...query, event_id: id } }), limit),
    );
    output.table(deliveryColumns, rows, "No matching deliveries.");
    if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
  },
});

export const eventsCommand = command({
  name: "events",
  summary: "Lists the events of the events stream with their data, newest first.",
  options: {
    organization: value("id", "Only of this organization."),
    type: value("type", "Only of this event type."),
    since,
    until,
    limit: limitOption,
  },
  examples: ["events --organization 42 --since 1h", "events --type issue.created --limit 5 --json"],
  async run({ api, output, options: { organization, type, since: start, until: end, limit = 50 } }) {
    const query = { organization_id: organization, type, start, end, limit: Math.min(limit, PAGE) };
    const { rows, more } = await take(api().items("GET /v1/events", { query }), limit);
    output.table(eventColumns, rows, "No matching events.");
    if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
  },
});

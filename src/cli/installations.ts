/** posthorn installations …: manages where apps are installed. */
import type { Installation, IntegrationHealth } from "../client/api-types.generated.ts";
import { INSTALLATION_STATUSES } from "../model/app.ts";
import { type Command, type CommandCall, choice, command, flag, list, type Options, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { statusStyle } from "./format.ts";
import type { Output } from "./output.ts";
import { installationUuid } from "./short-ids.ts";
import { take } from "./take.ts";

const members = {
  organization: value("id", "The organization."),
  project: list("id", "Only events of this project; all projects by default."),
  webhook: value("url", "A webhook URL that replaces the app's."),
} as const;

function show(
  output: Output,
  { uuid, app, organization_id: organization, project_ids: projects, status, webhook_url: url, ...record }: Installation,
): void {
  output.facts([
    ["uuid", uuid],
    ["app", app],
    ["organization", organization],
    ["projects", projects.join(", ") || "all"],
    ["status", output.paint(statusStyle(status), status)],
    ["webhook", url],
    ["created", output.time(record.created_at)],
    ["updated", output.time(record.updated_at)],
    ["invalid", record.invalid],
  ]);
}

function showHealth(output: Output, { status, broken, days, parked, recovered }: IntegrationHealth): void {
  const { reason } = broken ?? {};
  output.facts([
    ["status", output.paint(statusStyle(status), status)],
    ["broken", output.time(broken?.at)],
    [
      "rule",
      reason && `${reason.rule}: ${reason.success} successful, ${reason.error} errors, ${reason.timeout} timeouts, ${reason.fatal} fatal`,
    ],
    ["last error", reason?.last_error],
    ["next probe", output.time(broken?.next_probe_at)],
    ["parked", `${parked.deliveries}${parked.oldest_at === null ? "" : `, the oldest since ${output.time(parked.oldest_at)}`}`],
    ["recovered", output.time(recovered?.at)],
  ]);
  output.line("");
  output.table(
    [
      { title: "DAY (UTC)", cell: ({ day }) => day },
      { title: "SUCCESSES", cell: ({ success }) => String(success) },
      { title: "ERRORS", cell: ({ error }) => String(error) },
      { title: "TIMEOUTS", cell: ({ timeout }) => String(timeout) },
      { title: "FATAL", cell: ({ fatal }) => String(fatal) },
    ],
    days ?? [],
    "The counters are unknown: Redis is unreachable.",
  );
}

/** A command that changes the status of an installation and shows the installation. */
function change(verb: "enable" | "disable", summary: string): Command {
  return command({
    name: `installations ${verb}`,
    summary,
    operands: ["<uuid>"],
    examples: [`installations ${verb} 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f`],
    async run({ api, output, operands: [uuid = ""] }: CommandCall<Options>) {
      const { body } = await api().call(`POST /v1/installations/{uuid}/${verb}`, { path: { uuid: await installationUuid(api, uuid) } });
      output.result(body, () => show(output, body));
    },
  });
}

export const installationCommands: readonly Command[] = [
  command({
    name: "installations list",
    summary: "Lists installations.",
    options: {
      app: value("slug", "Only of this app."),
      organization: value("id", "Only in this organization."),
      status: choice(INSTALLATION_STATUSES, "Only with this status."),
    },
    examples: ["installations", "installations list --app acme-tracker --json"],
    async run({ api, output, options }) {
      const query = { app: options.app, organization_id: options.organization, status: options.status };
      const { rows } = await take(api().items("GET /v1/installations", { query }));
      output.table(
        [
          { title: "UUID", cell: ({ uuid }) => uuid, isId: true },
          { title: "APP", cell: ({ app }) => app, style: () => "bold" },
          { title: "ORGANIZATION", cell: ({ organization_id: id }) => id },
          { title: "STATUS", cell: ({ status }) => status, style: ({ status }) => statusStyle(status) },
          { title: "PROJECTS", cell: ({ project_ids: ids }) => ids.join(",") || "all" },
        ],
        rows,
        Object.values(query).some((filter) => filter !== undefined)
          ? "No matching installations."
          : "No installations yet: posthorn installations add",
      );
    },
  }),
  command({
    name: "installations get",
    summary: "Shows one installation.",
    operands: ["<uuid>"],
    examples: ["installations get 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f"],
    async run({ api, output, operands: [uuid = ""] }) {
      const { body } = await api().call("GET /v1/installations/{uuid}", { path: { uuid: await installationUuid(api, uuid) } });
      output.result(body, () => show(output, body));
    },
  }),
  command({
    name: "installations add",
    summary: "Installs an app in an organization.",
    operands: ["<app>"],
    options: {
      ...members,
      uuid: value("uuid", "The installation's uuid; a generated one by default."),
      "allow-duplicate": flag("Install the app again in an organization that has it; both installations then get every event."),
    },
    examples: ["installations add acme-tracker --organization 42"],
    async run({ api, output, options, operands: [app = ""] }) {
      const { organization, project, webhook, uuid } = options;
      if (organization === undefined) throw new UsageError("installations add: --organization is missing");
      const made = {
        app,
        organization_id: organization,
        project_ids: project,
        webhook_url: webhook,
        allow_duplicate: options["allow-duplicate"],
      };
      const { body } =
        uuid === undefined
          ? await api().call("POST /v1/installations", { body: made })
          : await api().call("PUT /v1/installations/{uuid}", { path: { uuid }, body: made, headers: { "if-none-match": "*" } });
      output.result(body, () => show(output, body));
    },
  }),
  command({
    name: "installations set",
    summary: "Changes the given settings of an installation and keeps the others.",
    operands: ["<uuid>"],
    options: { ...members, "all-projects": flag("Events of all projects again."), "app-webhook": flag("The app's webhook URL again.") },
    examples: ["installations set 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f --project 7 --project 8"],
    async run({ api, output, options, operands: [uuid = ""] }) {
      const { organization, project, webhook, "all-projects": allProjects, "app-webhook": appWebhook } = options;
      const given = {
        ...(organization === undefined ? {} : { organization_id: organization }),
        ...(project.length > 0 || allProjects ? { project_ids: project } : {}),
        ...(webhook !== undefined || appWebhook ? { webhook_url: webhook ?? null } : {}),
      };
      if (Object.keys(given).length === 0) throw new UsageError("installations set: nothing to change was given");
      const { body } = await api().call("PATCH /v1/installations/{uuid}", {
        path: { uuid: await installationUuid(api, uuid) },
        body: given,
      });
      output.result(body, () => show(output, body));
    },
  }),
  command({
    name: "installations health",
    summary: "Shows why an installation has its status, its counters, and its backlog.",
    operands: ["<uuid>"],
    examples: ["installations health 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f"],
    async run({ api, output, operands: [uuid = ""] }) {
      const { body } = await api().call("GET /v1/installations/{uuid}/health", { path: { uuid: await installationUuid(api, uuid) } });
      output.result(body, () => showHealth(output, body));
    },
  }),
  change("enable", "Activates a disabled or broken installation and delivers its backlog."),
  change("disable", "Stops deliveries to an installation; they are parked until it is enabled."),
  command({
    name: "installations discard",
    summary: "Sends the backlog of a broken or disabled installation to dead letters.",
    operands: ["<uuid>"],
    examples: ["installations discard 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f"],
    async run({ api, output, operands: [uuid = ""] }) {
      const { body } = await api().call("POST /v1/installations/{uuid}/discard", { path: { uuid: await installationUuid(api, uuid) } });
      output.result(body, () => {
        output.line(`${body.discarded} went to dead letters; posthorn replay replays them.`);
        if (body.in_flight !== undefined) output.line(`${body.in_flight} are still being attempted.`);
      });
    },
  }),
  command({
    name: "installations delete",
    summary: "Removes an installation; waiting deliveries go to dead letters.",
    operands: ["<uuid>"],
    options: { yes: flag("Skip the confirmation.") },
    examples: ["installations delete 0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f --yes"],
    async run({ api, output, options, operands: [given = ""] }) {
      const uuid = await installationUuid(api, given);
      const { body, etag } = await api().call("GET /v1/installations/{uuid}", { path: { uuid } });
      const what = `the installation of ${body.app} in organization ${body.organization_id}`;
      if (!options.yes) throw new UsageError(`installations delete: this removes ${what}; confirm with --yes`);
      await api().call("DELETE /v1/installations/{uuid}", { path: { uuid }, headers: { "if-match": etag ?? "*" } });
      output.result({ uuid, deleted: true }, () => output.line(`Removed ${what}.`));
    },
  }),
];

/** posthorn audit: who changed what. */
import type { AuditEntry } from "../client/api-types.generated.ts";
import { command, value } from "./command.ts";
import { installationUuid } from "./short-ids.ts";
import { PAGE, take } from "./take.ts";
import { pastTime, positive } from "./values.ts";

export const auditCommand = command({
  name: "audit",
  summary: "Lists changes, newest first: who made them, and what they changed.",
  options: {
    app: value("slug", "Only of this app."),
    installation: value("uuid", "Only of this installation."),
    who: value("name", "Only with the token of this name."),
    action: value("operation", "Only this operation, such as updateApp."),
    since: value("time", "From this time on: 2h (ago), 10:05, or 2026-01-05T10:11:12Z.", pastTime),
    until: value("time", "Before this time.", pastTime),
    limit: value("number", "At most this many; 50 by default.", positive),
  },
  examples: ["audit --since 1h", "audit --app acme-tracker --who robin --json"],
  async run({ api, output, options: { app, installation, who, action, since, until, limit = 50 } }) {
    const query = {
      app,
      installation_uuid: await installationUuid(api, installation),
      who,
      action,
      start: since,
      end: until,
      limit: Math.min(limit, PAGE),
    };
    const { rows, more } = await take(api().items("GET /v1/audit", { query }), limit);
    output.table(
      [
        { title: "TIME", cell: ({ at }) => at, isTime: true },
        { title: "WHO", cell: ({ who: name }) => name, style: () => "bold" },
        { title: "ACTION", cell: ({ action: operation }) => operation },
        { title: "APP", cell: ({ app: slug }) => slug },
        { title: "INSTALLATION", cell: ({ installation_uuid: uuid }) => uuid, isId: true },
        { title: "TARGET", cell: ({ target }) => target, isSpare: true },
        { title: "CHANGE", cell: changeOf, isDetail: true },
      ],
      rows,
      "No changes.",
    );
    if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
  },
});

/** `events: ["*"] → ["issue"]`; a record that was made or removed, whole. */
function changeOf({ before, after }: AuditEntry): string {
  const [was, is] = [before, after] as ReadonlyArray<Readonly<Record<string, unknown>> | null>;
  if (!was || !is) return [was && `removed ${JSON.stringify(was)}`, is && `made ${JSON.stringify(is)}`].filter(Boolean).join("; ");
  const names = Object.keys({ ...was, ...is });
  return names.map((name) => `${name}: ${JSON.stringify(was[name] ?? null)} → ${JSON.stringify(is[name] ?? null)}`).join(", ");
}

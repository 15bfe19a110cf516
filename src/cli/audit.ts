/** posthorn audit: who changed what. */
import { command, value } from "./command.ts";
import { time } from "./format.ts";
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
    since: value("time", "From this time on: 2h ago, or 2026-01-05T10:11:12Z.", (text) => pastTime(text)),
    until: value("time", "Before this time.", (text) => pastTime(text)),
    limit: value("number", "At most this many; 50 by default.", positive),
  },
  examples: ["audit --since 1h", "audit --app acme-tracker --who robin --json"],
  async run({ api, output, options: { app, installation, who, action, since, until, limit = 50 } }) {
    const query = { app, installation_uuid: installation, who, action, start: since, end: until, limit: Math.min(limit, PAGE) };
    const { rows, more } = await take(api().items("GET /v1/audit", { query }), limit);
    output.table(
      [
        { title: "TIME", cell: ({ at }) => time(at) },
        { title: "WHO", cell: ({ who: name }) => name, style: () => "bold" },
        { title: "ACTION", cell: ({ action: operation }) => operation },
        { title: "TARGET", cell: ({ target }) => target },
        { title: "BEFORE", cell: ({ before }) => (before === null ? "" : JSON.stringify(before)) },
        { title: "AFTER", cell: ({ after }) => (after === null ? "" : JSON.stringify(after)) },
      ],
      rows,
      "No changes.",
    );
    if (more) output.note(`There are more: --limit ${limit * 10} shows them`);
  },
});

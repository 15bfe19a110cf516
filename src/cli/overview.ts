/** posthorn overview: how everything is, and which apps need somebody. */
import type { AppAtAGlance, Overview, System } from "../client/api-types.generated.ts";
import { APP_CONDITIONS, conditionOf, deadLettersOf, kindOf, sum, total } from "../client/app-condition.ts";
import { memory } from "../model/bytes.ts";
import { command, value } from "./command.ts";
import { CONDITION_STYLES, conditionColumns } from "./condition-columns.ts";
import { counted } from "./format.ts";
import type { Output } from "./output.ts";
import { positive } from "./values.ts";

const DEFAULT_LIMIT = 20;

const sumOf = (hours: readonly number[] | null): number | null => hours && sum(hours);
const attemptsOf = ({ attempts }: AppAtAGlance): number | null => sumOf(attempts);

/** The apps in trouble first, then the busiest ones. */
function inOrder(apps: readonly AppAtAGlance[]): AppAtAGlance[] {
  return apps.toSorted(
    (one, other) => conditionOf(one).rank - conditionOf(other).rank || (attemptsOf(other) ?? 0) - (attemptsOf(one) ?? 0),
  );
}

function share(part: number | null, whole: number | null): string {
  return part === null || whole === null || whole === 0 ? "–" : `${Math.floor((part / whole) * 1000) / 10} %`;
}

function summarize(output: Output, overview: Overview, { checks, servers }: System): void {
  const { items } = overview;
  const names = items.map((app) => conditionOf(app).name);
  const conditions = APP_CONDITIONS.filter((name) => name !== "healthy" && names.includes(name)).map(
    (name) => `${names.filter((one) => one === name).length} ${output.paint(CONDITION_STYLES[kindOf(name)], name)}`,
  );
  const installed = (status: "active" | "broken" | "disabled"): string => `${sum(items.map((app) => app.installations[status]))} ${status}`;
  const attempts = total(items, attemptsOf);
  const delivered = total(items, ({ delivered: hours }) => sumOf(hours));
  const known = (count: number | null): string => (count === null ? "unknown" : String(count));
  const problems = Object.entries(checks).filter(([, { ok }]) => !ok);
  const isReady = problems.every(([, { required }]) => !required);
  output.facts([
    ["posthorn", isReady ? "ready" : output.paint("red", "not ready")],
    ...problems.map(([name, { detail }]) => [name, output.paint("red", output.text(detail))] as const),
    ...servers.map((server) => [server.kind, serverText(server, output)] as const),
    ["apps", [String(items.length), ...conditions].join(", ")],
    ["installations", (["active", "broken", "disabled"] as const).map(installed).join(", ")],
    ["attempts in 24 h", `${known(attempts)}, ${share(delivered, attempts)} delivered`],
    ["parked", known(total(items, ({ parked }) => parked))],
    ["dead letters", known(deadLettersOf(overview))],
  ]);
}

function serverText(server: System["servers"][number], output: Output): string {
  const { address, version, connected_since: since, used_memory_bytes: used, max_memory_bytes: max } = server;
  const connection = since === null ? output.paint("red", "not connected") : `connected since ${output.time(since)}`;
  const parts = [version ?? "version unknown", `at ${address}`, connection];
  return [...parts, ...(server.kind === "redis" ? [`memory ${memory(used, max)}`] : [])].join(", ");
}

export const overviewCommand = command({
  name: "overview",
  summary: "Shows the state of everything: NATS and Redis, apps that fail, are throttled or wait, the last 24 hours, dead letters.",
  options: { limit: value("number", `At most this many apps; ${DEFAULT_LIMIT} by default. Those in trouble come first.`, positive) },
  examples: ["overview", "overview --json | jq .items[].health.state"],
  async run({ api, output, options: { limit = DEFAULT_LIMIT } }) {
    const [{ body }, { body: system }] = await Promise.all([api().call("GET /v1/overview"), api().call("GET /v1/system")]);
    output.result({ ...body, checks: system.checks, servers: system.servers }, () => {
      summarize(output, body, system);
      output.line("");
      const { state, why } = conditionColumns<AppAtAGlance>((app) => app, output);
      output.table(
        [
          { title: "APP", cell: ({ slug }) => slug, style: () => "bold" },
          state,
          { title: "ATTEMPTS", cell: (app) => String(attemptsOf(app) ?? "–") },
          { title: "DELIVERED", cell: (app) => share(sumOf(app.delivered), attemptsOf(app)), isSpare: true },
          { title: "DEAD LETTERS", cell: ({ dead_letters: count }) => String(count ?? "–"), isSpare: true },
          why,
        ],
        inOrder(body.items).slice(0, limit),
        "No apps yet: posthorn apps add",
      );
      for (const { detail } of body.problems) output.note(output.text(detail));
    });
    const more = body.items.length - limit;
    if (more > 0 && !output.json) output.note(`${counted(more, "more app")}: --limit ${body.items.length} shows them`);
  },
});

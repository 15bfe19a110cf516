/** posthorn overview: how everything is, and which apps need somebody. */
import type { AppAtAGlance, Overview } from "../client/api-types.generated.ts";
import { type ApiClient, ApiError } from "../client/create-api-client.ts";
import { APP_STATES, reasonsOf, STATE_STYLES, stateOf } from "./app-state.ts";
import { command, value } from "./command.ts";
import { counted } from "./format.ts";
import type { Output } from "./output.ts";
import { positive } from "./values.ts";

const DEFAULT_LIMIT = 20;

const attemptsOf = ({ attempts }: AppAtAGlance): number | null => sum([attempts]);

/** The apps in trouble first, then the busiest ones. */
function inOrder(apps: readonly AppAtAGlance[]): AppAtAGlance[] {
  const severity = (app: AppAtAGlance): number => APP_STATES.indexOf(stateOf(app));
  return apps.toSorted((one, other) => severity(one) - severity(other) || (attemptsOf(other) ?? 0) - (attemptsOf(one) ?? 0));
}

/** Null: at least one is unknown. */
function sum(lists: ReadonlyArray<readonly number[] | number | null>): number | null {
  if (lists.some((list) => list === null)) return null;
  return lists.flat().reduce<number>((total, count) => total + (count ?? 0), 0);
}

function share(part: number | null, whole: number | null): string {
  return part === null || whole === null || whole === 0 ? "–" : `${Math.floor((part / whole) * 1000) / 10} %`;
}

function summarize(output: Output, { items, unreadable }: Overview, isReady: boolean): void {
  const states = Map.groupBy(items, stateOf);
  const inState = APP_STATES.filter((state) => state !== "healthy" && states.has(state)).map(
    (state) => `${states.get(state)?.length} ${output.paint(STATE_STYLES[state], state)}`,
  );
  const total = (name: "active" | "broken" | "disabled"): number =>
    items.reduce((count, { installations }) => count + installations[name], 0);
  const attempts = sum(items.map(({ attempts: hours }) => hours));
  const delivered = sum(items.map(({ delivered: hours }) => hours));
  const known = (count: number | null): string => (count === null ? "unknown" : String(count));
  output.facts([
    ["posthorn", isReady ? "ready" : output.paint("red", "not ready; GET /readyz says why")],
    ["apps", [String(items.length), ...inState].join(", ")],
    ["installations", `${total("active")} active, ${total("broken")} broken, ${total("disabled")} disabled`],
    ["attempts in 24 h", `${known(attempts)}, ${share(delivered, attempts)} delivered`],
    ["parked", known(sum(items.map(({ parked }) => parked)))],
    ["dead letters", known(sum([unreadable ?? 0, ...items.map(({ dead_letters: count }) => count)]))],
  ]);
}

async function readiness(api: ApiClient): Promise<boolean> {
  try {
    return (await api.call("GET /readyz")).body.status === "ready";
  } catch (error) {
    if (error instanceof ApiError && error.problem?.status === 503) return false;
    throw error;
  }
}

export const overviewCommand = command({
  name: "overview",
  summary: "Shows how everything is: apps that fail, are throttled or wait, the last 24 hours, dead letters.",
  options: { limit: value("number", `At most this many apps; ${DEFAULT_LIMIT} by default. Those in trouble come first.`, positive) },
  examples: ["overview", "overview --json | jq .items[].health.state"],
  async run({ api, output, options: { limit = DEFAULT_LIMIT } }) {
    const [{ body }, isReady] = await Promise.all([api().call("GET /v1/overview"), readiness(api())]);
    output.result(body, () => {
      summarize(output, body, isReady);
      output.line("");
      output.table(
        [
          { title: "APP", cell: ({ slug }) => slug, style: () => "bold" },
          { title: "STATE", cell: stateOf, style: (app) => STATE_STYLES[stateOf(app)] },
          { title: "ATTEMPTS", cell: (app) => String(attemptsOf(app) ?? "–") },
          { title: "DELIVERED", cell: (app) => share(sum([app.delivered]), attemptsOf(app)), isSpare: true },
          { title: "DEAD LETTERS", cell: ({ dead_letters: count }) => String(count ?? "–"), isSpare: true },
          { title: "WHY", cell: (app) => reasonsOf(app, output.time), isDetail: true },
        ],
        inOrder(body.items).slice(0, limit),
        "No apps yet: posthorn apps add",
      );
      for (const { detail } of body.problems) output.note(detail);
    });
    const more = body.items.length - limit;
    if (more > 0 && !output.json) output.note(`${counted(more, "more app")}: --limit ${body.items.length} shows them`);
  },
});

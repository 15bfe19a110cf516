/**
 * `npm run chaos [-- --seed N] [--only name,name] [--intensity 0.1] [--write docs/reliability.md]`: breaks everything and counts what
 * arrives. Prints a table, or writes it into the document, and ends with 1 when something is lost, or delivered more often than the
 * faults explain.
 */
import { parseArgs } from "node:util";
import { orUsage } from "../../bench/support/options.ts";
import { type ReportRow, writeReport } from "./report.ts";
import { complaints, runScenarios, type Scenario, shownBoundOf, timesOf as timesAt } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";

const OPTIONS = {
  seed: { type: "string", default: "1" },
  only: { type: "string" },
  intensity: { type: "string", default: "1" },
  write: { type: "string" },
} as const;
const NAMES = SCENARIOS.map(({ name }) => name);
const USAGE = `npm run chaos -- [--seed <whole number>] [--intensity <above 0>] [--only ${NAMES.join(",")} | --write <document>]`;
const { values } = orUsage(USAGE, () => parseArgs({ options: OPTIONS }));
const seed = Number(values.seed);
const intensity = Number(values.intensity);
const only = values.only?.split(",") ?? NAMES;
const unknown = only.filter((name) => !NAMES.includes(name));
const chosen = SCENARIOS.filter(({ name }) => only.includes(name));
const isPartial = chosen.length < SCENARIOS.length;
if (!Number.isInteger(seed) || !(intensity > 0) || unknown.length > 0 || (isPartial && values.write !== undefined)) {
  if (unknown.length > 0) console.error(`--only: found ${unknown.join(",")}, wanted names of faults`);
  console.error(`usage: ${USAGE}`);
  process.exit(64);
}

const EVENTS_PER_SECOND = 100;
const UNWRITTEN_MS = 50;
const MOST_REPLICAS = 3;

const COLUMNS = [10, 9, 11, 9, 5, 11, 10, 9, 14, 8];
const print = (...cells: ReadonlyArray<string | number>): void =>
  console.log(
    cells.map((cell, at) => (at === 0 ? String(cell).padEnd(COLUMNS[at] ?? 0) : String(cell).padStart(COLUMNS[at] ?? 0))).join(" "),
  );

const timesOf = (scenario: Scenario): number => timesAt(scenario, intensity);

console.log(`seed ${seed}, intensity ${intensity}`);
print("scenario", "events", "deliveries", "requests", "lost", "duplicated", "bound", "too late", "longest delay", "took");
const begunAt = performance.now();
const rows: ReportRow[] = [];
let failed = false;
for (const scenario of chosen) {
  const startedAt = performance.now();
  try {
    const load = { eventsPerSecond: EVENTS_PER_SECOND, unwrittenMs: UNWRITTEN_MS, mostReplicas: MOST_REPLICAS };
    const disposition = await runScenarios([scenario], seed, intensity, load);
    const { events, deliveries, requests, lost, duplicated, tooLate, bound, longestDelayMs } = disposition;
    rows.push({ scenario, times: timesOf(scenario), disposition });
    const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
    print(
      scenario.name,
      events,
      deliveries,
      requests,
      lost,
      duplicated,
      shownBoundOf(scenario, bound),
      tooLate,
      seconds(longestDelayMs),
      seconds(performance.now() - startedAt),
    );
    if (disposition.lostByServer > 0)
      console.log(`  JetStream acknowledged ${disposition.lostByServer} events that are not in the stream: not counted as lost`);
    for (const complaint of complaints(scenario, disposition)) {
      failed = true;
      console.log(`  FAILED: ${complaint}`);
    }
  } catch (error) {
    failed = true;
    print(scenario.name);
    console.log(`  FAILED: ${error instanceof Error ? error.stack : String(error)}`);
  }
}
for (const scenario of chosen) console.log(`${scenario.name}: ${scenario.faults}, ${timesOf(scenario)} times`);
if (values.write !== undefined && rows.length === SCENARIOS.length) {
  writeReport(values.write, rows, { seed, intensity, eventsPerSecond: EVENTS_PER_SECOND, tookMs: performance.now() - begunAt });
}
process.exit(failed ? 1 : 0);

/** The table of docs/reliability.md, from one run of the whole suite. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { findBinary } from "../../scripts/servers.mjs";
import { type Scenario, shownBoundOf } from "./scenario.ts";
import type { Disposition } from "./world.ts";

export interface ReportRow {
  readonly scenario: Scenario;
  readonly times: number;
  readonly disposition: Disposition;
}

export interface ReportFacts {
  readonly seed: number;
  readonly intensity: number;
  readonly eventsPerSecond: number;
  readonly tookMs: number;
}

const BEGIN = "<!-- chaos: begin (written by `npm run chaos -- --write docs/reliability.md`) -->";
const END = "<!-- chaos: end -->";
/** The receivers of all events, and that of the ordered app. */
const APPS = 4;

/** Replaces what the last run has written into the document. */
export function writeReport(file: string, rows: readonly ReportRow[], facts: ReportFacts): void {
  const text = readFileSync(file, "utf8");
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from === -1 || to === -1) throw new Error(`${file}: wanted the lines ${BEGIN} and ${END}`);
  writeFileSync(file, `${text.slice(0, from)}${BEGIN}\n${markdownOf(rows, facts)}${text.slice(to)}`);
}

function markdownOf(rows: readonly ReportRow[], { seed, intensity, eventsPerSecond, tookMs }: ReportFacts): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  const lines = rows.map(({ scenario, times, disposition }) => {
    const { deliveries, lost, lostByServer, duplicated, bound, longestDelayMs } = disposition;
    const lostText = lostByServer === 0 ? lost : `${lost} (and ${number(lostByServer)} events by JetStream)`;
    const cells = [scenario.faults, times, number(deliveries), lostText, duplicated, shownBoundOf(scenario, bound)];
    return `| ${[...cells, `${(longestDelayMs / 1000).toFixed(1)} s`].join(" | ")} |`;
  });
  const share = intensity === 1 ? "" : ` --intensity ${intensity}`;
  return [
    `Measured with \`npm run chaos -- --seed ${seed}${share}\`, ${versionOf("nats-server")}, ${versionOf("redis-server")}, two or three`,
    `replicas, ${eventsPerSecond} events a second for ${APPS} apps, of which one is ordered, on ${cpus().length} cores, in ${Math.round(tookMs / 60_000)} minutes:`,
    "",
    "| fault | times | deliveries | lost | delivered twice | may be twice | longest delay |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...lines,
    "",
  ].join("\n");
}

function versionOf(server: "nats-server" | "redis-server"): string {
  const binary = (server === "nats-server" ? process.env["TEST_NATS_SERVER"] : undefined) ?? findBinary(server) ?? server;
  const printed = execFileSync(binary, ["--version"], { encoding: "utf8" });
  return `${server} ${/\d+\.\d+\.\d+/.exec(printed)?.[0] ?? "(unknown version)"}`;
}

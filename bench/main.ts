/**
 * `npm run bench [-- --quick] [--rounds 3] [--only floor,posthorn] [--cases 0,2] [--build before=/path/dist/main.js] [--write]`: Posthorn
 * beside the least that does the same I/O, on private servers, in turns. --write puts the results into bench/results.md; those of one run
 * are for comparing with each other. --build adds another build of Posthorn, as a contender of that name.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { baseline, type Contender, floor, posthorn } from "./support/contenders.ts";
import { type Measured, measure } from "./support/measure.ts";
import { orUsage } from "./support/options.ts";
import { type Result, report } from "./support/report.ts";
import { createWorld, type Workload, type World } from "./support/world.ts";

const OPTIONS = {
  quick: { type: "boolean", default: false },
  rounds: { type: "string" },
  only: { type: "string" },
  cases: { type: "string" },
  build: { type: "string", multiple: true, default: [] as string[] },
  deliveries: { type: "string" },
  "delay-seconds": { type: "string" },
  write: { type: "boolean", default: false },
} as const;
const USAGE =
  "npm run bench -- [--quick] [--rounds N] [--deliveries N] [--delay-seconds N] [--build <name>=<main.js>] [--write] [--only <name>,<name>] [--cases N,N]";
const { values } = orUsage(USAGE, () => parseArgs({ options: OPTIONS }));
const quick = values.quick;
const rounds = Number(values.rounds ?? (quick ? 1 : 3));
const deliveries = Number(values.deliveries ?? (quick ? 6_000 : 20_000));
const warmUp = quick ? 3_000 : 6_000;
const secondsOfDelays = Number(values["delay-seconds"] ?? (quick ? 2 : 5));

const builds = values.build.map((given) => [given.slice(0, given.indexOf("=")), given.slice(given.indexOf("=") + 1)] as const);

const CONTENDERS: Readonly<Record<string, (world: World) => Contender>> = {
  floor: () => floor,
  posthorn: () => posthorn(1),
  traced: ({ receiver }) => posthorn(1, { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: receiver.tracesUrl, OTEL_TRACES_SAMPLER: "always_on" }),
  "two processes": () => posthorn(2),
  bullmq: () => baseline,
  ...Object.fromEntries(builds.map(([name, main]) => [name, () => posthorn(1, {}, main)])),
};
const [, openFiles = "Infinity"] = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
/** Posthorn keeps connections open for half of the files that a process may have (POSTHORN_TARGET_MAX_IDLE_CONNECTIONS). */
const MOST_DESTINATIONS = Math.min(20_000, Math.floor(Number(openFiles) * 0.45));

/** Of the events with a fan-out of one the delay of each is measured, too. */
const CASES: readonly Workload[] = [
  { destinations: 1, bodyBytes: 1_000, fanOut: 1 },
  { destinations: 100, bodyBytes: 1_000, fanOut: 1 },
  { destinations: 1, bodyBytes: 10_000, fanOut: 1 },
  { destinations: 100, bodyBytes: 10_000, fanOut: 1 },
  { destinations: 100, bodyBytes: 1_000, fanOut: 10 },
  { destinations: 100, bodyBytes: 1_000, fanOut: 1_000 },
  { destinations: 4_000, bodyBytes: 1_000, fanOut: 1 },
  { destinations: MOST_DESTINATIONS, bodyBytes: 1_000, fanOut: 1 },
];

const names = values.only?.split(",") ?? Object.keys(CONTENDERS);
const cases = (values.cases?.split(",").map(Number) ?? (quick ? [1] : [...CASES.keys()])).map((at) => CASES[at]);
if (names.some((name) => !(name in CONTENDERS)) || cases.includes(undefined) || !(rounds >= 1) || !(deliveries >= 1)) {
  console.error(`usage: ${USAGE}\nnames: ${Object.keys(CONTENDERS).join(", ")}; cases: ${[...CASES.keys()].join(", ")}`);
  process.exit(64);
}

const RESULTS = fileURLToPath(new URL("./results.md", import.meta.url));
const results: Result[] = [];
const [loadBefore = 0] = loadavg();
for (const workload of cases as Workload[]) {
  const world = await createWorld(workload.destinations);
  const measured = new Map<string, Measured[]>(names.map((name) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const delaySeconds = workload.fanOut === 1 && name !== "bullmq" ? secondsOfDelays : 0;
      const contender = CONTENDERS[name]?.(world);
      if (contender === undefined) continue;
      const one = await measure(world, contender, workload, {
        // Every destination has its connection.
        warmUp: Math.max(warmUp, workload.destinations * 2),
        ...{ deliveries, delaySeconds },
      });
      measured.get(name)?.push(one);
      console.log(
        `${JSON.stringify(workload)} ${name} ${round}/${rounds}: ${Math.round(one.perSecond)}/s, ` +
          `worker ${one.workerUs.toFixed(0)} µs, NATS ${one.natsUs.toFixed(0)} µs, Redis ${one.redisUs.toFixed(0)} µs` +
          (one.delays === null ? "" : `, p50 ${one.delays.p50.toFixed(1)} p99 ${one.delays.p99.toFixed(1)} ms`),
      );
    }
  }
  results.push({ workload, measured });
  await world.stop();
  // After each case, so that a run that is cut short leaves what it has.
  if (values.write) writeFileSync(RESULTS, textOf(results) + otherResults());
}
console.log(`\n${textOf(results)}`);
process.exit(0);

/** The results of other benchmarks, which follow those of this one. */
function otherResults(): string {
  const before = readFileSync(RESULTS, "utf8");
  const at = before.indexOf("\n# Other benchmarks\n");
  return at === -1 ? "" : before.slice(at);
}

function textOf(all: readonly Result[]): string {
  return report(all, { command: ["npm run bench --", ...process.argv.slice(2)].join(" "), rounds, deliveries, loadBefore });
}

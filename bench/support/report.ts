/** The results of a run as Markdown. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { findBinary } from "../../scripts/servers.mjs";
import type { Measured } from "./measure.ts";
import { machine, median } from "./usage.ts";
import type { Workload } from "./world.ts";

export interface Result {
  readonly workload: Workload;
  /** By contender, one per round. */
  readonly measured: ReadonlyMap<string, readonly Measured[]>;
}

export interface RunFacts {
  readonly command: string;
  readonly rounds: number;
  readonly deliveries: number;
  /** The machine's load (1 minute) before the first measurement; others' work makes everything cost more. */
  readonly loadBefore: number;
}

export function report(results: readonly Result[], { command, rounds, deliveries, loadBefore }: RunFacts): string {
  return `# Results

Made by \`${command}\` on ${new Date().toISOString().slice(0, 10)}; ${rounds} rounds in turns, ${deliveries} deliveries each; medians, and in
brackets the smallest and the largest. Machine: ${machine()}, load ${loadBefore.toFixed(1)} before the run. Versions: ${versions()}.

Receiver, NATS, Redis, publisher and workers share the machine. Worker, NATS and Redis are microseconds of CPU per delivery;
"× floor" is the worker's against the bare loop's (bench/floor/loop.ts). Delays are from publish to receipt at half of the
contender's own rate.

${results.map(section).join("\n")}`;
}

function section({ workload: { destinations, bodyBytes, fanOut }, measured }: Result): string {
  const workerUs = (of: readonly Measured[] | undefined): number => median((of ?? []).map((one) => one.workerUs));
  const floorUs = workerUs(measured.get("floor"));
  const rows = [...measured].map(([name, all]) => {
    const spread = (of: (one: Measured) => number): string => spreadOf(all.map(of));
    const delays = all.flatMap((one) => (one.delays === null ? [] : [one.delays]));
    const cells = [
      ...[name, spread((one) => one.perSecond), spread((one) => one.workerUs), floorUs > 0 ? (workerUs(all) / floorUs).toFixed(2) : ""],
      ...[spread((one) => one.natsUs), spread((one) => one.redisUs), spread((one) => one.residentMb)],
      delays.length === 0
        ? ""
        : (["p50", "p99", "p999"] as const)
            .map((of) =>
              spreadOf(
                delays.map((one) => one[of]),
                1,
              ),
            )
            .join(" · "),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return `## ${destinations} ${destinations === 1 ? "destination" : "destinations"}, ${bodyBytes / 1000} KB, fan-out ${fanOut}

| | deliveries/s | worker µs | × floor | NATS µs | Redis µs | RSS MB | p50 · p99 · p99.9 ms |
| --- | --- | --- | --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** The median, and in brackets the smallest and the largest. */
export function spreadOf(values: readonly number[], digits = 0): string {
  const shown = median(values).toFixed(digits);
  return values.length === 1 ? shown : `${shown} (${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)})`;
}

function versions(): string {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const packages = ["nats", "undici", "ioredis", "bullmq"].map((name) => `${name} ${dependencies[name] ?? devDependencies[name]}`);
  const redis = /v=([\d.]+)/.exec(versionOf("redis-server"))?.[1];
  const nats = /v([\d.]+)/.exec(versionOf(process.env["TEST_NATS_SERVER"] ?? "nats-server"))?.[1];
  return [`Node ${process.versions.node}`, `nats-server ${nats}`, `redis-server ${redis}`, ...packages].join(", ");
}

function versionOf(binary: string): string {
  return execFileSync(binary.includes("/") ? binary : (findBinary(binary) ?? binary), ["--version"], { encoding: "utf8" });
}

/**
 * The short form of `npm run chaos`: every fault once. Faults that allow as many duplicates share a world, one after the other: starts,
 * and waits for what is handed out again, are what it takes.
 */
import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { findBinary } from "../../scripts/servers.mjs";
import { complaints, runScenarios, type Scenario } from "../chaos/scenario.ts";
import { SCENARIOS } from "../chaos/scenarios.ts";

const SEED = 7;
/** Share of the whole suite's faults; each fault happens at least once. */
const SHARE = 0;
/** Every fault meets deliveries, few or many. */
const EVENTS_PER_SECOND = 4;
/** Two replicas show what three do, if not as often. */
const MOST_REPLICAS = 2;
/** Other tests want the same processors; `npm run chaos` by itself holds it to 50 ms. */
const UNWRITTEN_MS = 1_000;

/** The longest first. The owner is the first to die: the next one takes over while others do. */
const WORLDS: ReadonlyArray<readonly string[]> = [
  ["terminate", "rolling", "redis", "receivers", "store-full", "half-open", "slow", "flapping", "clocks"],
  ["owner", "kill", "refusals", "throttles", "failing"],
  ["nats", "consumers", "away", "everything", "pause"],
  ["cluster", "split"],
];
/** They don't depend on the nats-server: a run on another one leaves them out. */
const ON_ANY_SERVER: ReadonlySet<string> = new Set([
  ...["terminate", "rolling", "refusals", "throttles", "failing", "redis", "receivers", "slow", "flapping", "clocks"],
]);
const isOtherServer = process.env["TEST_NATS_SERVER"] !== undefined;
/** A cluster of servers before 2.10 loses messages that it has acknowledged (docs/reliability.md). */
const OF_WHOLE_CLUSTERS: ReadonlySet<string> = new Set(["cluster", "split"]);
const server = process.env["TEST_NATS_SERVER"] ?? findBinary("nats-server") ?? "";
const isClusterSafe = !/v2\.\d\./.test(execFileSync(server, ["--version"], { encoding: "utf8" }));

function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`there is no scenario ${name}`);
  return found;
}

const isRun = (name: string): boolean => !(isOtherServer && ON_ANY_SERVER.has(name)) && (isClusterSafe || !OF_WHOLE_CLUSTERS.has(name));
const worlds = WORLDS.map((names) => names.filter(isRun).map(scenarioOf)).filter((world) => world.length > 0);

test("every fault has its world", () => {
  expect(WORLDS.flat().toSorted()).toEqual(SCENARIOS.map(({ name }) => name).toSorted());
});

describe.concurrent("nothing is lost, and nothing comes twice that the faults do not explain", () => {
  test.each(worlds.map((world) => [world.map(({ name }) => name).join(", "), world] as const))("%s", async (_names, world) => {
    const load = { eventsPerSecond: EVENTS_PER_SECOND, unwrittenMs: UNWRITTEN_MS, mostReplicas: MOST_REPLICAS };
    const disposition = await runScenarios(world, SEED, SHARE, load);
    for (const scenario of world) expect(complaints(scenario, disposition)).toEqual([]);
  });
});

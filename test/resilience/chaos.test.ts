/** The short form of `npm run chaos`: every fault at least once. */
import { describe, expect, test } from "vitest";
import { complaints, SCENARIOS, type Scenario } from "../chaos/scenarios.ts";

const SEED = 7;
/** Of the whole suite's faults. */
const SHARE = 0.05;
const EVENTS_PER_SECOND = 20;
/** Other tests want the same processors; `npm run chaos` by itself holds it to 50 ms. */
const UNWRITTEN_MS = 1_000;

/** They don't depend on the nats-server: a run on another one leaves them out. */
const ON_ANY_SERVER: ReadonlySet<string> = new Set([
  "terminate",
  "rolling",
  "refusals",
  "throttles",
  "redis",
  "receivers",
  "slow",
  "flapping",
  "clocks",
]);
/** Newer servers behind proxies don't always find each other, and then have no leader to be cut off. */
const ON_OLDEST_SERVER: ReadonlySet<string> = new Set(["split"]);
const isOtherServer = process.env["TEST_NATS_SERVER"] !== undefined;
const scenarios = SCENARIOS.filter(({ name }) => !isOtherServer || !(ON_ANY_SERVER.has(name) || ON_OLDEST_SERVER.has(name)));

const extentOf = ({ times }: Scenario) => ({
  times: Math.ceil(times * SHARE),
  eventsPerSecond: EVENTS_PER_SECOND,
  unwrittenMs: UNWRITTEN_MS,
});

describe("nothing is lost, and nothing comes twice that the fault does not explain", () => {
  test.each(scenarios.map((scenario) => [scenario.faults, scenario] as const))("%s", async (_faults, scenario) => {
    expect(complaints(scenario, await scenario.run(SEED, extentOf(scenario)))).toEqual([]);
  });
});

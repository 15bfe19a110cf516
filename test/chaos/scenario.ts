/** A scenario is a fault, on the servers and replicas that it needs; several can run in one world, one after the other. */
import { eventually } from "../support/eventually.ts";
import { type Stage, type StageName, startStage } from "./stages.ts";
import { type Disposition, runWorld, type World } from "./world.ts";

export interface Scenario {
  readonly name: string;
  readonly faults: string;
  /** How often, in the whole suite; the short form of `npm test` takes fewer. */
  readonly times: number;
  /** Duplicates allowed: none, or at most the deliveries in flight at the faults and those they left unmarked. */
  readonly duplicates: "none" | "bounded";
  /** One server of each kind when absent. */
  readonly on?: StageName;
  /** Connections go through proxies. */
  readonly hasProxies?: boolean;
  /** Two when absent. */
  readonly replicas?: number;
  inject(world: World, times: number, stage: Stage): Promise<void>;
}

export interface Load {
  /** Three times as many deliveries. */
  readonly eventsPerSecond: number;
  /** Marks are written within this time: 50 ms where nothing else keeps the processors busy. */
  readonly unwrittenMs: number;
  /** For scenarios that would have more. */
  readonly mostReplicas: number;
}

const REPLICAS = 2;

/** How often a scenario's faults happen when all of them are multiplied by `share`. */
export function timesOf({ times }: Scenario, share: number): number {
  return Math.max(1, Math.round(times * share));
}

/**
 * Runs scenarios on the same servers, one after the other. Those that allow no duplicates begin when everything published before has
 * arrived, so that none is explained by the faults of another one.
 */
export async function runScenarios(scenarios: readonly Scenario[], seed: number, share: number, load: Load): Promise<Disposition> {
  const [first] = scenarios;
  if (first === undefined) throw new Error("no scenario");
  const { duplicates } = first;
  const { on = "servers" } = scenarios.find((one) => one.on !== undefined) ?? first;
  // A small store is large enough for the events of other scenarios.
  const fits = (one: Scenario): boolean => one.on === on || (one.on === undefined && on !== "cluster");
  const other = scenarios.find((one) => !fits(one) || one.duplicates !== duplicates);
  if (other !== undefined) throw new Error(`${first.name} and ${other.name} can't run in one world`);
  const stage = await startStage(
    on,
    scenarios.some(({ hasProxies = false }) => hasProxies),
  );
  try {
    const { natsUrl, redisUrl, settings } = stage;
    const replicas = Math.min(load.mostReplicas, Math.max(...scenarios.map((one) => one.replicas ?? REPLICAS)));
    return await runWorld({ seed, natsUrl, redisUrl, settings, replicas, ...load }, async (world) => {
      for (const scenario of scenarios) {
        if (scenario !== first && duplicates === "none") await world.arrived();
        for (const receiver of world.receivers) await receiver.feel("well");
        await untilDelivering(world);
        await scenario.inject(world, timesOf(scenario, share), stage);
      }
    });
  } finally {
    await stage.stop();
  }
}

/** Faults that meet no delivery show nothing, and a busy machine may need a while to recover from the scenario before. */
async function untilDelivering({ counts }: World): Promise<void> {
  const before = counts();
  await eventually(() => counts().events > before.events && counts().requests > before.requests);
}

/** How many deliveries may come twice. */
export function shownBoundOf({ duplicates }: Pick<Scenario, "duplicates">, bound: number): number {
  return duplicates === "none" ? 0 : bound;
}

/** The faults of a disposition; empty when there are none. */
export function complaints(
  scenario: Pick<Scenario, "duplicates">,
  { lost, traces, duplicated, bound, deadLetters, events, inversions, stuck }: Disposition,
): string[] {
  const wrong: string[] = [];
  if (events === 0) wrong.push("no event was published");
  if (lost > 0) wrong.push(`${lost} deliveries are lost: ${traces.join("\n")}`);
  if (inversions > 0) wrong.push(`${inversions} deliveries of the ordered app came after a later one`);
  if (deadLetters > 0) wrong.push(`${deadLetters} deliveries were given up`);
  for (const state of stuck) wrong.push(`an app did not fail once and work again: ${state}`);
  const most = shownBoundOf(scenario, bound);
  if (duplicated > most) wrong.push(`${duplicated} duplicates, wanted at most ${most}`);
  return wrong;
}

/**
 * One round of one peer: a saturated phase, single events at half of that rate, a kill of the product, and an endpoint that hangs.
 * A client publishes the events, with a fixed number of calls under way, and the receiver counts what arrives.
 */
import type { Receiver } from "../support/start-receiver.ts";
import { monotonicUs, percentile } from "../support/usage.ts";
import type { Product } from "./peer.ts";
import { useOf } from "./processes.ts";
import type { Site } from "./site.ts";
import { sleep } from "./sleep.ts";

export interface MeasureOptions {
  readonly endpoints: number;
  /** Endpoints of one event. */
  readonly fanOut: number;
  readonly bodyBytes: number;
  /** Each phase takes so long. */
  readonly seconds: number;
  /** How long a product has to recover in the phases with faults; 0 leaves these phases out. */
  readonly recoverySeconds: number;
}

export interface Measured {
  readonly perSecond: number;
  /** Microseconds of CPU for each delivery. */
  readonly productUs: number;
  readonly storesUs: number;
  /** Resident, before the first event and at the end of the saturated phase. */
  readonly productMb: { readonly atRest: number; readonly loaded: number };
  /** Proportional, at that end. */
  readonly storesMb: number;
  /** In ms, at half of the rate. */
  readonly p50: number;
  readonly p99: number;
  readonly crash: Crash | null;
  readonly beside: Beside | null;
}

export interface Crash {
  readonly accepted: number;
  /** Accepted, and not delivered within the time. */
  readonly lost: number;
  readonly twice: number;
  /** Publish calls that failed while the product was down. */
  readonly refused: number;
}

export interface Beside {
  /** The delay of the healthy endpoints' events, in ms; infinite if fewer than 99 % had been delivered at the end. */
  readonly p99: number;
  readonly delivered: number;
  readonly sent: number;
}

export interface World {
  readonly product: Product;
  readonly site: Site;
  readonly receiver: Receiver;
}

const CALLS = 256;
/** Accepted events that are not delivered yet: a product that accepts faster than it delivers is not given more. */
const MAX_AHEAD = 2_000;
const WARM_UP_SECONDS = 3;
const LOOK_MS = 100;
const SETTLE_MS = 1_000;
const STUCK_MS = 60_000;
const MAX_RATE = 300;
const BACKLOG_OF_HANGING = 1_000;
/** One event for the hanging endpoint goes with so many others. */
const HANGING_EVERY = 20;
const HANGS = "hangs";

export async function measure(world: World, options: MeasureOptions): Promise<Measured> {
  const groups = await addEndpoints(world, options);
  const driver = createDriver(world, options, groups);
  const atRest = useOf(world.product.processes()).residentMb;
  const saturated = await saturate(world, options, driver);
  const delays = await measureDelays(world, options, driver, saturated.perSecond / options.fanOut / 2);
  const rate = Math.min(MAX_RATE, saturated.perSecond / options.fanOut / 2);
  const withFaults = options.recoverySeconds > 0;
  return {
    ...{ perSecond: saturated.perSecond, productUs: saturated.productUs, storesUs: saturated.storesUs },
    productMb: { atRest, loaded: saturated.productMb },
    storesMb: saturated.storesMb,
    ...delays,
    crash: withFaults ? await crash(world, options, driver, rate) : null,
    beside: withFaults ? await measureBesideHanging(world, options, driver, rate) : null,
  };
}

/** The last destination of the receiver has a group of its own, for the endpoint that hangs. */
async function addEndpoints({ product, receiver }: World, { endpoints, fanOut }: MeasureOptions): Promise<readonly string[]> {
  const groups = Array.from({ length: Math.floor(endpoints / fanOut) }, (_, group) => `group-${group}`);
  for (const [at, group] of groups.entries()) {
    for (const url of receiver.urls.slice(at * fanOut, (at + 1) * fanOut)) await product.addEndpoint(group, url);
  }
  await product.addEndpoint(HANGS, receiver.urls[endpoints] ?? "");
  return groups;
}

interface Driver {
  /** Publishes the next event, in the next group. @param members of its data, as JSON with a comma after each */
  publish(members?: string): Promise<void>;
  publishToHanging(): Promise<void>;
  /** Publishes at a steady rate, however many calls are under way. @returns when all calls have been answered */
  pace(eventsPerSecond: number, seconds: number, publish: (at: number) => Promise<void>): Promise<void>;
}

function createDriver({ product }: World, { bodyBytes }: MeasureOptions, groups: readonly string[]): Driver {
  const dataOf = (members: string): string => `{${members}"text":"${"x".repeat(Math.max(1, bodyBytes - members.length - 11))}"}`;
  let published = 0;
  return {
    publish: (members = "") => product.publish(groups[published++ % groups.length] ?? "", dataOf(members)),
    publishToHanging: () => product.publish(HANGS, dataOf("")),
    async pace(eventsPerSecond, seconds, publish) {
      const total = Math.floor(eventsPerSecond * seconds);
      const calls: Promise<void>[] = [];
      const startedAt = performance.now();
      while (calls.length < total) {
        const due = Math.min(total, ((performance.now() - startedAt) / 1000) * eventsPerSecond);
        while (calls.length < due) calls.push(publish(calls.length));
        await sleep(2);
      }
      await Promise.all(calls);
    },
  };
}

async function saturate({ product, site, receiver }: World, { fanOut, seconds }: MeasureOptions, driver: Driver) {
  void receiver.expect(Number.MAX_SAFE_INTEGER);
  let delivered = 0;
  let accepted = 0;
  let isOver = false;
  const look = async (): Promise<void> => {
    ({ total: delivered } = await receiver.report());
  };
  const caller = async (): Promise<void> => {
    while (!isOver) {
      if (accepted * fanOut - delivered > MAX_AHEAD) await sleep(5);
      else {
        accepted++;
        await driver.publish();
      }
    }
  };
  const callers = Promise.all(Array.from({ length: CALLS }, caller));
  const watchFor = async (watchSeconds: number): Promise<void> => {
    const until = performance.now() + watchSeconds * 1000;
    while (performance.now() < until) await Promise.race([Promise.all([look(), sleep(LOOK_MS)]), callers]);
  };
  const now = async () => {
    await look();
    return { delivered, atUs: monotonicUs(), product: useOf(product.processes()), stores: useOf(site.stores()) };
  };
  await watchFor(WARM_UP_SECONDS);
  const before = await now();
  await watchFor(seconds);
  const after = await now();
  isOver = true;
  await callers;
  await until(async () => {
    await look();
    return delivered >= accepted * fanOut;
  }, STUCK_MS);
  const count = after.delivered - before.delivered;
  return {
    perSecond: count / ((after.atUs - before.atUs) / 1e6),
    productUs: (after.product.cpuUs - before.product.cpuUs) / count,
    storesUs: (after.stores.cpuUs - before.stores.cpuUs) / count,
    productMb: after.product.residentMb,
    storesMb: after.stores.proportionalMb,
  };
}

async function measureDelays({ receiver }: World, { fanOut, seconds }: MeasureOptions, driver: Driver, rate: number) {
  await sleep(SETTLE_MS);
  void receiver.expect(Number.MAX_SAFE_INTEGER);
  const total = Math.floor(rate * seconds) * fanOut;
  await driver.pace(rate, seconds, () => driver.publish(`"sent_at":${monotonicUs()},`));
  const sorted = await arrived(receiver, total, STUCK_MS);
  return { p50: shareOf(sorted, total, 0.5), p99: shareOf(sorted, total, 0.99) };
}

async function crash({ product, receiver }: World, { fanOut, seconds, recoverySeconds }: MeasureOptions, driver: Driver, rate: number) {
  void receiver.expect(Number.MAX_SAFE_INTEGER);
  const accepted: number[] = [];
  let refused = 0;
  const paced = driver.pace(rate, seconds, async (at) => {
    await driver.publish(`"number":${at},`).then(
      () => accepted.push(at),
      () => refused++,
    );
  });
  await sleep((seconds * 1000) / 2);
  await Promise.all([product.crash(), paced]);
  // Deliveries that were under way at the kill may come again as late as the stores hand them out.
  await sleep(recoverySeconds * 1000);
  const { numbers } = await receiver.report();
  return { accepted: accepted.length, ...lostAndTwice(accepted, numbers, fanOut), refused };
}

/** @param numbers of the events of the requests that came. An event that was not accepted may come, too. */
export function lostAndTwice(accepted: readonly number[], numbers: readonly number[], fanOut: number): { lost: number; twice: number } {
  const times = new Map<number, number>();
  for (const number of numbers) times.set(number, (times.get(number) ?? 0) + 1);
  const lost = accepted.reduce((sum, number) => sum + Math.max(0, fanOut - (times.get(number) ?? 0)), 0);
  const twice = [...times.values()].reduce((sum, count) => sum + Math.max(0, count - fanOut), 0);
  return { lost, twice };
}

async function measureBesideHanging(
  { receiver }: World,
  { endpoints, fanOut, seconds, recoverySeconds }: MeasureOptions,
  driver: Driver,
  rate: number,
): Promise<Beside> {
  receiver.behave([endpoints], "hangs");
  for (let at = 0; at < BACKLOG_OF_HANGING; at += CALLS) await Promise.all(Array.from({ length: CALLS }, driver.publishToHanging));
  void receiver.expect(Number.MAX_SAFE_INTEGER);
  const sent = Math.floor(rate * seconds) * fanOut;
  await driver.pace(rate, seconds, async (at) => {
    if (at % HANGING_EVERY === 0) void driver.publishToHanging().catch(() => {});
    await driver.publish(`"sent_at":${monotonicUs()},`);
  });
  const sorted = await arrived(receiver, sent, recoverySeconds * 1000);
  return { p99: shareOf(sorted, sent, 0.99), delivered: sorted.length, sent };
}

/** @returns the delays of what has arrived, in ms, the smallest first */
async function arrived(receiver: Receiver, total: number, withinMs: number): Promise<readonly number[]> {
  let latenciesUs: readonly number[] = [];
  await until(async () => {
    ({ latenciesUs } = await receiver.report());
    return latenciesUs.length >= total;
  }, withinMs);
  return latenciesUs.map((us) => us / 1000).toSorted((a, b) => a - b);
}

/** A percentile of all; those that have not arrived count as later than any that has. */
export function shareOf(sorted: readonly number[], total: number, share: number): number {
  return sorted.length <= Math.floor(total * share) ? Number.POSITIVE_INFINITY : percentile(sorted, (share * total) / sorted.length);
}

async function until(is: () => Promise<boolean>, withinMs: number): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await is()) && performance.now() < end) await sleep(LOOK_MS);
}

/**
 * `npm run bench:order [-- --events 20000] [--keys 10000] [--rounds 3]`: what an order by key costs. The same events go, in turns, to an
 * app without an order in a Posthorn that has no ordered app, to one beside an ordered app, and to the ordered app. Then a thousand events
 * of one key of that app are refused, while its other keys flow.
 */
import type { ChildProcess } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ended, startPosthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import { cpuUs, machine, median, monotonicUs, percentile } from "./support/usage.ts";
import { bodyOf, createWorld, uuidOf } from "./support/world.ts";

/** `rate` is events a second while one key is refused. */
const defaults = { events: 20_000, keys: 10_000, rounds: 3, rate: 500, seconds: 10 };
const { events, keys, rounds, rate, seconds } = readOptions("order", defaults, { events: 1_000 });

const BODY_BYTES = 1_000;
const REFUSED_EVENTS = 1_000;
/** Deliveries that wait are stored by then. */
const SETTLED_MS = 5_000;
const WITHIN_MS = 60_000;

interface Way {
  readonly name: string;
  readonly posthorn: ChildProcess;
  readonly prefix: string;
  /** Its app's number, destination and organization. */
  readonly app: number;
}

interface Result {
  readonly perSecond: number;
  readonly posthornUs: number;
  readonly natsUs: number;
  readonly inversions: number;
}

const APPS = [{}, {}, { order_by: "/key" }] as const;
const world = await createWorld(APPS.length);

async function start(apps: readonly number[]): Promise<Pick<Way, "posthorn" | "prefix">> {
  const { prefix } = world.nextStream();
  const appsFile = join(world.folder, `${prefix}.json`);
  const content = {
    apps: apps.map((app) => ({ slug: `app-${app}`, webhook_url: world.receiver.urls[app], events: ["issue"], ...APPS[app] })),
    installations: apps.map((app) => ({ uuid: uuidOf(app), app: `app-${app}`, organization_id: String(app) })),
  };
  writeFileSync(appsFile, JSON.stringify(content));
  return { prefix, posthorn: await startPosthorn(world, prefix, { POSTHORN_APPS_FILE: appsFile }) };
}

const [without, beside] = [await start([0]), await start([1, 2])];
const ordered: Way = { name: "ordered by key", app: 2, ...beside };
const ways: readonly Way[] = [
  { name: "no order, no ordered app", app: 0, ...without },
  { name: "no order, beside an ordered app", app: 1, ...beside },
  ordered,
];

const bodyFor = (app: number) => (): string =>
  bodyOf(BODY_BYTES, String(app), monotonicUs(), `"key":"${Math.floor(Math.random() * keys)}",`);
const refusedBody = (): string => bodyOf(BODY_BYTES, String(ordered.app), monotonicUs(), `"key":"refused","refuse":true,`);

async function measure({ posthorn, prefix, app }: Way, count: number): Promise<Result> {
  const used = (): number[] => [posthorn.pid ?? 0, world.nats.pid()].map(cpuUs);
  const received = world.receiver.expect(count);
  const [startedAt, before] = [monotonicUs(), used()];
  await world.publish(bodyFor(app), count, prefix);
  const perSecond = count / (((await received) - startedAt) / 1e6);
  const [posthornUs = 0, natsUs = 0] = used().map((us, at) => (us - (before[at] ?? 0)) / count);
  return { perSecond, posthornUs, natsUs, inversions: (await world.receiver.report()).inversions };
}

/** @returns medians; all inversions */
function show(name: string, all: readonly Result[]): Result {
  const medianOf = (of: keyof Result): number => median(all.map((result) => result[of]));
  const [perSecond, posthornUs, natsUs] = [medianOf("perSecond"), medianOf("posthornUs"), medianOf("natsUs")];
  const inversions = all.reduce((sum, one) => sum + one.inversions, 0);
  const rates = all.map((one) => one.perSecond.toFixed(0)).join(", ");
  const used = `${posthornUs.toFixed(0)} µs of Posthorn's CPU, ${natsUs.toFixed(0)} µs of NATS'`;
  console.log(`${name}: ${perSecond.toFixed(0)}/s (${rates}), ${used}, ${inversions} inversions`);
  return { perSecond, posthornUs, natsUs, inversions };
}

/** How long the ordered app's deliveries take at a steady rate. */
async function feel(name: string): Promise<void> {
  void world.receiver.expect(Number.MAX_SAFE_INTEGER);
  const sent = await world.publishAtRate(bodyFor(ordered.app), rate, seconds, ordered.prefix);
  const until = performance.now() + WITHIN_MS;
  let report = await world.receiver.report();
  while (report.total < sent && performance.now() < until) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    report = await world.receiver.report();
  }
  const sorted = report.latenciesUs.map((us) => us / 1000).sort((a, b) => a - b);
  const [p50, p99, longest] = [0.5, 0.99, 1].map((share) => percentile(sorted, share).toFixed(1));
  console.log(
    `${name}: ${report.total} of ${sent} delivered, p50 ${p50} ms, p99 ${p99} ms, longest ${longest} ms, ${report.inversions} inversions`,
  );
}

console.log(`${events} events of ${BODY_BYTES} bytes, ${keys} keys, ${rounds} rounds in turns, on ${machine()}`);
const results = new Map<string, Result[]>(ways.map(({ name }) => [name, []]));
for (let round = 0; round <= rounds; round++) {
  for (const way of ways) {
    const result = await measure(way, round === 0 ? 1_000 : events);
    if (round > 0) results.get(way.name)?.push(result);
  }
}
const shown = new Map([...results].map(([name, all]) => [name, show(name, all)]));
const compare = (one: string, other: string): void => {
  const ratioOf = (of: keyof Result): string => ((shown.get(one)?.[of] ?? Number.NaN) / (shown.get(other)?.[of] ?? Number.NaN)).toFixed(2);
  console.log(`${one} / ${other}: throughput ${ratioOf("perSecond")}, CPU ${ratioOf("posthornUs")}, NATS' CPU ${ratioOf("natsUs")}`);
};
for (const { name } of ways.slice(0, -1)) compare(ordered.name, name);

await feel("ordered by key, at a steady rate");
await world.publish(refusedBody, REFUSED_EVENTS, ordered.prefix);
await feel(`other keys, from the moment that ${REFUSED_EVENTS} events of one key are refused`);
await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
await feel("other keys, while those wait, at a steady rate");
const whileOneWaits: Result[] = [];
for (let round = 1; round <= rounds; round++) whileOneWaits.push(await measure(ordered, events));
const otherKeys = "other keys, while those wait";
shown.set(otherKeys, show(otherKeys, whileOneWaits));
compare(otherKeys, ordered.name);
const { refused, refusedEvents } = await world.receiver.report();
console.log(`the refused key: ${refused} attempts, of ${refusedEvents} of its ${REFUSED_EVENTS} events`);
await Promise.all([ended(without.posthorn), ended(beside.posthorn)]);
await world.stop();
process.exit(0);

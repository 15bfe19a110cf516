/**
 * `npm run bench:fairness [-- --backlog 100000] [--rate 500] [--seconds 10] [--only throttled]`: 50 healthy apps at a steady rate, alone and beside
 * a throttled one, then beside one app that never answers and has a backlog, one that answers after 5 s, and one that resets every
 * connection. What the
 * healthy ones feel of it, and how long it takes to drain when the others have recovered.
 */
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { ended, startPosthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import { spreadOf } from "./support/report.ts";
import { cpuUs, median, percentile } from "./support/usage.ts";
import { createWorld, uuidOf, type Workload } from "./support/world.ts";

/** `only`: `throttled` is nothing but the throttled app. */
const defaults = { backlog: 100_000, rate: 500, seconds: 10, rounds: 3, only: "" };
const { backlog, rate, seconds, rounds, only } = readOptions("fairness", defaults);

const HEALTHY = 50;
const HANGS = HEALTHY;
const SLOW = HEALTHY + 1;
const RESETS = HEALTHY + 2;
/** Answers 429 with Retry-After: 5. */
const THROTTLES = HEALTHY + 3;
const THROTTLED_RATE = 200;
/** Until the first pause is known. */
const SETTLED_MS = 1_000;
/** Events a second for each of the three. */
const BAD_RATE = 20;
const RECOVERED_WITHIN_MS = 600_000;

const world = await createWorld(HEALTHY + 4);
const { prefix } = world.nextStream();
const appsFile = join(world.folder, "apps.json");
const everybody = Array.from({ length: HEALTHY + 4 }, (_, app) => app);
writeFileSync(
  appsFile,
  JSON.stringify({
    apps: everybody.map((app) => ({ slug: `app-${app}`, webhook_url: world.receiver.urls[app], events: ["issue"] })),
    installations: everybody.map((app) => ({ uuid: uuidOf(app), app: `app-${app}`, organization_id: String(app) })),
  }),
);
const posthorn = await startPosthorn(world, prefix, { POSTHORN_APPS_FILE: appsFile });

const healthy: Workload = { destinations: HEALTHY, bodyBytes: 1_000, fanOut: 1 };
const publishFor = (app: number): void =>
  world.connection.publish(
    `${prefix}.events.issue.created`,
    JSON.stringify({ organization_id: String(app), data: { text: "x".repeat(900) } }),
  );
const messagesOf = async (stream: string): Promise<number> => {
  const { state } = await world.manager.streams.info(`${prefix.toUpperCase().replaceAll("-", "_")}_${stream}`);
  return state.messages;
};
const unhandled = async (): Promise<number> => {
  const [consumer] = await world.manager.consumers.list(`${prefix.toUpperCase().replaceAll("-", "_")}_EVENTS`).next();
  return (consumer?.num_pending ?? 0) + (consumer?.num_ack_pending ?? 0);
};
const until = async (is: () => Promise<boolean>, withinMs: number): Promise<number> => {
  const startedAt = performance.now();
  while (!(await is())) {
    if (performance.now() - startedAt > withinMs) return Number.NaN;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return (performance.now() - startedAt) / 1000;
};

const usedMs = (): readonly number[] => [posthorn.pid ?? 0, world.nats.pid(), world.redis.pid()].map((pid) => cpuUs(pid) / 1_000);

/** @returns the 99th percentile of the delays of the healthy apps' events over so many seconds, in ms */
async function feel(name: string): Promise<number> {
  const before = usedMs();
  void world.receiver.expect(Number.MAX_SAFE_INTEGER);
  const sent = await world.publishAtRate(healthy, rate, seconds);
  let latenciesUs: readonly number[] = [];
  await until(async () => {
    ({ latenciesUs } = await world.receiver.report());
    return latenciesUs.length >= sent;
  }, 60_000);
  const sorted = latenciesUs.map((us) => us / 1000).sort((a, b) => a - b);
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) => percentile(sorted, share).toFixed(1));
  const [worker, nats, redis] = usedMs().map((ms, at) => (ms - (before[at] ?? 0)).toFixed(0));
  console.log(
    `${name}: ${sorted.length} of ${sent} delivered, p50 ${p50} ms, p99 ${p99} ms, p99.9 ${p999} ms; ` +
      `CPU of worker ${worker}, NATS ${nats} and Redis ${redis} ms`,
  );
  return percentile(sorted, 0.99);
}

const alone: number[] = [];
const besideThrottled: number[] = [];

async function feelAlone(round: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  alone.push(await feel(`alone ${round}`));
}

async function feelBesideThrottled(round: number): Promise<void> {
  world.receiver.behave([THROTTLES], "throttles");
  const throttled = setInterval(() => publishFor(THROTTLES), 1_000 / THROTTLED_RATE);
  await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  besideThrottled.push(await feel(`beside a throttled app ${round}`));
  clearInterval(throttled);
  world.receiver.behave([THROTTLES], "answers");
  await until(async () => (await messagesOf("PARKED")) === 0, RECOVERED_WITHIN_MS);
}

await feel("warm-up");
// Alternately, and each first equally often, so that both see the same load and the same warm-up.
for (let round = 1; round <= rounds; round++) {
  const [first, second] = round % 2 === 1 ? [feelAlone, feelBesideThrottled] : [feelBesideThrottled, feelAlone];
  await first(round);
  await second(round);
}
const ratios = besideThrottled.map((ms, round) => ms / (alone[round] ?? Number.NaN));
console.log(`healthy p99: ${spreadOf(alone, 1)} ms alone, ${spreadOf(besideThrottled, 1)} ms beside it`);
console.log(
  `${(median(besideThrottled) / median(alone)).toFixed(2)} × of the medians; in a round ${spreadOf(ratios, 2)} ×; load ${loadavg()[0]?.toFixed(1)}`,
);
if (only === "throttled") {
  await ended(posthorn);
  await world.stop();
  process.exit(0);
}

world.receiver.behave([HANGS], "hangs");
world.receiver.behave([SLOW], "slow");
world.receiver.behave([RESETS], "resets");
for (let at = 0; at < backlog; at++) {
  publishFor(HANGS);
  if (at % 1_000 === 0) await world.connection.flush();
}
await world.connection.flush();
await feel("while the backlog is taken in, behind it in the same stream");
console.log(`backlog stored in the parked stream: ${(await until(async () => (await unhandled()) < 100, 300_000)).toFixed(1)} s more`);

const bad = setInterval(() => [HANGS, SLOW, RESETS].forEach(publishFor), 1_000 / BAD_RATE);
const beside: number[] = [];
for (let round = 1; round <= rounds; round++) beside.push(await feel(`beside them ${round}`));
clearInterval(bad);
const [before, after] = [median(alone), median(beside)];
console.log(`healthy p99: ${before.toFixed(1)} ms alone, ${after.toFixed(1)} ms beside them (${(after / before).toFixed(2)} ×)`);

const waiting = (await messagesOf("PARKED")) + (await messagesOf("RETRIES"));
world.receiver.behave([HANGS, SLOW, RESETS], "answers");
const isDrained = async (): Promise<boolean> => (await messagesOf("PARKED")) + (await messagesOf("RETRIES")) === 0;
const drainSeconds = await until(isDrained, RECOVERED_WITHIN_MS);
console.log(`${waiting} deliveries waited; all of them were delivered ${drainSeconds.toFixed(1)} s after the receivers had recovered`);
console.log(`dead letters: ${await messagesOf("DEAD_LETTERS")}`);
await ended(posthorn);
await world.stop();
process.exit(0);

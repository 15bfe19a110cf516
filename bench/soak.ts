/**
 * `npm run bench:soak [-- --deliveries 1000000] [--apps 10000] [--installations 10] [--processes 1] [--backlog]`: very many
 * deliveries to very many apps, and what grows meanwhile: memory of Posthorn and Redis, keys, consumers. With --backlog all
 * events are stored before Posthorn starts, else a few thousand ahead of it.
 */
import { Redis } from "ioredis";
import type { KV } from "nats";
import { ended, startPosthorn } from "./support/contenders.ts";
import { readOptions } from "./support/options.ts";
import { cpuUs, residentMb } from "./support/usage.ts";
import { createWorld, uuidOf, type Workload } from "./support/world.ts";

const defaults = { deliveries: 1_000_000, apps: 10_000, installations: 10, processes: 1, backlog: false };
const { deliveries, apps, installations: perApp, processes, backlog: startsBehind } = readOptions("soak", defaults);

const DESTINATIONS = 100;
const AHEAD = 5_000;
const REPORTS = 10;
const PUT_AT_ONCE = 1_000;

const world = await createWorld(DESTINATIONS);
const { prefix } = world.nextStream();
const redis = new Redis(world.redis.url);
/** One organization has one installation; `destinations` of a workload is how many organizations take turns. */
const workload: Workload = { destinations: apps * perApp, bodyBytes: 1_000, fanOut: 1 };

const first = await startPosthorn(world, prefix, {});
await fill(await world.connection.jetstream().views.kv(`${prefix}-registry`));
// With a backlog Posthorn starts on a full registry and a full stream.
if (startsBehind) {
  await ended(first);
  await world.publish(workload, deliveries);
}
const reached = world.receiver.expect(deliveries);
const startedAt = performance.now();
const posthorns = startsBehind ? [] : [first];
while (posthorns.length < processes) posthorns.push(await startPosthorn(world, prefix, {}));
if (startsBehind) console.log(`started with ${deliveries} events waiting and ${apps * perApp} installations: ${since(startedAt)} s`);
await print("at start");

let published = startsBehind ? deliveries : 0;
const step = Math.ceil(deliveries / REPORTS);
for (let goal = step, total = 0; total < deliveries; ) {
  if (published < deliveries && published - total < AHEAD) {
    const size = Math.min(1_000, deliveries - published);
    await world.publish(workload, size);
    published += size;
  } else await new Promise((resolve) => setTimeout(resolve, 20));
  ({ total } = await world.receiver.report());
  if (total < goal && total < deliveries) continue;
  await print(`${total} requests after ${since(startedAt)} s`);
  goal += step;
}
await reached;
const seconds = (performance.now() - startedAt) / 1000;
await new Promise((resolve) => setTimeout(resolve, 1_000));
const workerUs = posthorns.reduce((sum, { pid }) => sum + cpuUs(pid ?? 0), 0) / deliveries;
const { total } = await world.receiver.report();
console.log(
  `${deliveries} deliveries in ${seconds.toFixed(0)} s (${(deliveries / seconds).toFixed(0)}/s), ${total} requests, ${workerUs.toFixed(0)} µs each`,
);
await Promise.all(posthorns.map(ended));
redis.disconnect();
await world.stop();
process.exit(0);

async function fill(bucket: KV): Promise<void> {
  const time = new Date().toISOString();
  const put = async (count: number, record: (at: number) => readonly [string, object]): Promise<void> => {
    for (let from = 0; from < count; from += PUT_AT_ONCE) {
      const all = Array.from({ length: Math.min(PUT_AT_ONCE, count - from) }, (_, at) => record(from + at));
      await Promise.all(all.map(([key, value]) => bucket.put(key, JSON.stringify({ ...value, created_at: time, updated_at: time }))));
    }
  };
  await put(apps, (app) => {
    const slug = `app-${app}`;
    const fixed = { name: slug, status: "published", events: ["issue"], headers: {}, ordered: false, client_secret: "ab".repeat(32) };
    return [`app.${slug}`, { slug, webhook_url: world.receiver.urls[app % DESTINATIONS], ...fixed }];
  });
  await put(apps * perApp, (at) => {
    const members = { app: `app-${at % apps}`, organization_id: String(at), project_ids: [], status: "active" };
    return [`installation.${uuidOf(at)}`, { uuid: uuidOf(at), ...members }];
  });
}

async function print(what: string): Promise<void> {
  const resident = posthorns.map(({ pid }) => residentMb(pid ?? 0).toFixed(0)).join(" + ");
  const memory = Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]) / 2 ** 20;
  let waiting = "";
  for await (const { num_ack_pending: open, num_pending: pending } of world.manager.consumers.list(streamName())) {
    waiting = `${pending} pending, ${open} un-acked`;
  }
  console.log(`${what}: Posthorn ${resident} MB, Redis ${memory.toFixed(0)} MB and ${await redis.dbsize()} keys, events ${waiting}`);
}

function streamName(): string {
  return `${prefix.toUpperCase().replaceAll("-", "_")}_EVENTS`;
}

function since(startMs: number): string {
  return ((performance.now() - startMs) / 1000).toFixed(1);
}

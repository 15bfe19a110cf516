/**
 * `npm run bench:faults [-- --minutes 10 --rate 40]`: events flow while replicas and servers are killed and receivers fail, and a replica
 * that is never killed is looked at before and after: memory, handles, consumers, keys. Ends with 1 when something is lost, or something
 * has grown that must not.
 */
import { readdirSync } from "node:fs";
import { loadavg } from "node:os";
import { Redis } from "ioredis";
import { connect, type NatsConnection } from "nats";
import { YOUNG_GENERATION } from "../scripts/set-up.mjs";
import type { Mood } from "../test/chaos/recorder.ts";
import { runWorld, type World } from "../test/chaos/world.ts";
import { type PosthornProcess, startPosthorn } from "../test/support/posthorn.ts";
import { type Server, startNatsServer, startRedisServer } from "../test/support/servers.ts";
import { readOptions } from "./support/options.ts";
import { machine, residentMb } from "./support/usage.ts";

const { minutes, rate } = readOptions("faults", { minutes: 10, rate: 40 });

const MOODS: readonly Mood[] = ["fails", "refuses", "throttles", "resets", "hangs", "flaky", "well"];
const WARM_UP_MS = 30_000;
const MAX_GROWTH_MB = 100;
const MAX_MORE_HANDLES = 20;

interface Look {
  readonly residentMb: number;
  readonly handles: number;
  readonly consumers: number;
  readonly registryKeys: number;
  readonly redisKeys: number;
  readonly withoutTtl: readonly string[];
}

async function look(witness: PosthornProcess, connection: NatsConnection, redis: Redis, prefix: string): Promise<Look> {
  const manager = await connection.jetstreamManager();
  let consumers = 0;
  for await (const { state } of manager.streams.list()) consumers += state.consumer_count;
  const { state } = await manager.streams.info(`KV_${prefix}-registry`, { subjects_filter: ">" });
  const keys = await redis.keys("*");
  const ttls = await Promise.all(keys.map((key) => redis.ttl(key)));
  const pid = witness.child.pid ?? 0;
  return {
    residentMb: Math.round(residentMb(pid)),
    handles: readdirSync(`/proc/${pid}/fd`).length,
    consumers,
    registryKeys: Object.keys(state.subjects ?? {}).length,
    redisKeys: keys.length,
    withoutTtl: keys.filter((_key, at) => ttls[at] === -1),
  };
}

async function inject({ wait, chance, receivers, killOne, endOne, withoutNats, withoutRedis, flap, pauseOne }: World, servers: Servers) {
  const until = performance.now() + minutes * 60_000;
  while (performance.now() < until) {
    await wait(chance.between(1_000, 6_000));
    const fault = chance.between(0, 7);
    if (fault === 0) await killOne();
    else if (fault === 1) await endOne();
    else if (fault === 2) await withoutNats(() => servers.nats.kill().then(() => servers.nats.restart()));
    else if (fault === 3) await withoutRedis(() => servers.redis.kill().then(() => servers.redis.restart()));
    else if (fault === 4) await flap(1_000);
    else if (fault === 5) await pauseOne(3_000);
    else for (const receiver of receivers) await receiver.feel(chance.pick(MOODS));
  }
  for (const receiver of receivers) await receiver.feel("well");
}

interface Servers {
  readonly nats: Server;
  readonly redis: Server;
}

const [nats, redisServer] = await Promise.all([startNatsServer(), startRedisServer()]);
const connection = await connect({ servers: nats.url, maxReconnectAttempts: -1 });
const redis = new Redis(redisServer.url);
redis.on("error", () => {});
let witness: PosthornProcess | undefined;
let before: Look | undefined;
let prefix = "";
const worldOptions = { seed: 1, natsUrl: nats.url, redisUrl: redisServer.url, replicas: 2, eventsPerSecond: rate, unwrittenMs: 50 };
const { events, deliveries, lost, duplicated, bound, deadLetters, inversions } = await runWorld(worldOptions, async (world) => {
  ({ prefix } = world);
  witness = await startPosthorn({ nats, redis: redisServer, prefix, settings: { NODE_OPTIONS: YOUNG_GENERATION } });
  await world.wait(WARM_UP_MS);
  before = await look(witness, connection, redis, prefix);
  console.log("at the beginning", JSON.stringify(before));
  await inject(world, { nats, redis: redisServer });
});
if (witness === undefined || before === undefined) throw new Error("nothing was looked at");
const after = await look(witness, connection, redis, prefix);
console.log("at the end      ", JSON.stringify(after));
console.log(JSON.stringify({ minutes, rate, events, deliveries, lost, duplicated, bound, deadLetters, inversions, load: loadavg()[0] }));
console.log(machine());
await witness.end();
redis.disconnect();
await connection.close();
await Promise.all([nats.stop(), redisServer.stop()]);
const hasGrown =
  after.withoutTtl.length > 0 ||
  after.residentMb - before.residentMb > MAX_GROWTH_MB ||
  after.handles - before.handles > MAX_MORE_HANDLES ||
  after.registryKeys > before.registryKeys + 8 ||
  after.consumers > before.consumers;
if (lost > 0 || inversions > 0 || hasGrown) console.log("something is lost or has grown");
process.exit(lost > 0 || inversions > 0 || hasGrown ? 1 : 0);

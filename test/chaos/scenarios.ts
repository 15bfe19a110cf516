/** The faults, one scenario each. */
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { JETSTREAM_SCENARIOS } from "./jetstream-scenarios.ts";
import type { Mood } from "./recorder.ts";
import { type Disposition, runWorld, type World, type WorldOptions } from "./world.ts";

export interface Scenario {
  readonly name: string;
  readonly faults: string;
  /** How often, in the whole suite; the short form of `npm test` takes fewer. */
  readonly times: number;
  /** What duplicates may be: none, or at most what was in flight at the faults and what they left unmarked. */
  readonly duplicates: "none" | "bounded";
  run(seed: number, extent: Extent): Promise<Disposition>;
}

export interface Extent {
  readonly times: number;
  /** Three times as many deliveries. */
  readonly eventsPerSecond: number;
  /** Marks are written within this time: 50 ms where nothing else keeps the processors busy. */
  readonly unwrittenMs: number;
}

type Rest = Omit<WorldOptions, "seed" | "natsUrl" | "redisUrl">;

/** As onServers, with a proxy before each server. */
async function behindProxies(
  seed: number,
  rest: Rest,
  faults: (world: World, proxies: { readonly nats: TcpProxy; readonly redis: TcpProxy }) => Promise<void>,
): Promise<Disposition> {
  const servers = await Promise.all([startNatsServer(), startRedisServer()]);
  const [nats, redis] = await Promise.all(servers.map(({ port }) => startTcpProxy(port)));
  if (nats === undefined || redis === undefined) throw new Error("a proxy is missing");
  try {
    const urls = { natsUrl: `nats://127.0.0.1:${nats.port}`, redisUrl: `redis://127.0.0.1:${redis.port}` };
    return await runWorld({ seed, ...urls, ...rest }, (world) => faults(world, { nats, redis }));
  } finally {
    await Promise.all([nats.stop(), redis.stop()]);
    await Promise.all(servers.map((server) => server.stop()));
  }
}

async function onServers(
  seed: number,
  rest: Rest,
  faults: (world: World, servers: { readonly nats: Server; readonly redis: Server }) => Promise<void>,
): Promise<Disposition> {
  const [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
  try {
    return await runWorld({ seed, natsUrl: nats.url, redisUrl: redis.url, ...rest }, (world) => faults(world, { nats, redis }));
  } finally {
    await Promise.all([nats.stop(), redis.stop()]);
  }
}

/** One receiver answers so for a while; a replica is killed meanwhile, and another one right after. */
async function besideKills(times: number, mood: Mood, { killOne, wait, chance, receivers }: World): Promise<void> {
  for (let n = 0; n < times; n++) {
    await receivers[0]?.feel(mood);
    await wait(chance.between(1_000, 3_000));
    await killOne();
    await wait(chance.between(1_000, 6_000));
    await receivers[0]?.feel("well");
    await wait(chance.between(0, 2_000));
    await killOne();
  }
}

const MOODS: readonly Mood[] = ["fails", "refuses", "resets", "hangs", "drips", "garbage", "absent"];

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "kill",
    faults: "kill -9 of a replica at random moments",
    times: 50,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ killOne, wait, chance, receivers }) => {
        await receivers[1]?.feel("flaky");
        for (let n = 0; n < times; n++) {
          await wait(chance.between(0, 800));
          await killOne();
        }
      }),
  },
  {
    name: "terminate",
    faults: "SIGTERM of a replica",
    times: 20,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ endOne, wait, chance, receivers }) => {
        await receivers[1]?.feel("flaky");
        for (let n = 0; n < times; n++) {
          await wait(chance.between(0, 800));
          const code = await endOne();
          if (code !== 0) throw new Error(`a replica that was told to stop ended with ${code}`);
        }
      }),
  },
  {
    name: "rolling",
    faults: "rolling restart: SIGTERM of one replica after the other",
    times: 5,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 3, ...load }, async ({ restartAll, wait, receivers }) => {
        await receivers[1]?.feel("flaky");
        for (let n = 0; n < times; n++) {
          await wait(500);
          const codes = await restartAll();
          if (codes.some((code) => code !== 0)) throw new Error(`replicas that were told to stop ended with ${codes.join(", ")}`);
        }
      }),
  },
  {
    name: "owner",
    faults: "kill -9 of the owner of the queues",
    times: 5,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ killOwner, wait, chance }) => {
        for (let n = 0; n < times; n++) {
          // Time for another owner, and for what waited for it.
          await wait(chance.between(1_000, 3_000) + (n === 0 ? 0 : 20_000));
          await killOwner();
        }
      }),
  },
  {
    name: "refusals",
    faults: "a receiver that answers 404 to everything, and kill -9 of a replica meanwhile and right after",
    times: 5,
    duplicates: "bounded",
    run: (seed, { times, ...load }) => onServers(seed, { replicas: 2, ...load }, (world) => besideKills(times, "refuses", world)),
  },
  {
    name: "throttles",
    faults: "a receiver that answers 429 with Retry-After, and kill -9 of a replica meanwhile and right after",
    times: 5,
    duplicates: "bounded",
    run: (seed, { times, ...load }) => onServers(seed, { replicas: 2, ...load }, (world) => besideKills(times, "throttles", world)),
  },
  {
    name: "nats",
    faults: "kill -9 of nats-server, down for up to 3 s",
    times: 10,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ wait, chance, withoutNats }, { nats }) => {
        for (let n = 0; n < times; n++) {
          await wait(chance.between(1_000, 3_000));
          await withoutNats(async () => {
            await nats.kill();
            await wait(chance.between(0, 3_000));
            await nats.restart();
          });
        }
        await wait(1_000);
      }),
  },
  ...JETSTREAM_SCENARIOS,
  {
    name: "redis",
    faults: "kill -9 of redis-server, down for up to 3 s",
    times: 10,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ wait, chance, withoutRedis }, { redis }) => {
        for (let n = 0; n < times; n++) {
          await wait(chance.between(500, 2_000));
          await withoutRedis(async () => {
            await redis.kill();
            await wait(chance.between(0, 3_000));
            await redis.restart();
          });
        }
      }),
  },
  {
    name: "receivers",
    faults: "two of three receivers fail, reset, hang, drip, answer garbage or are gone",
    times: 10,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ wait, chance, receivers }) => {
        for (let n = 0; n < times; n++) {
          const [, ...ill] = receivers;
          for (const receiver of ill) await receiver.feel(chance.pick(MOODS));
          await wait(chance.between(1_000, 3_000));
          for (const receiver of ill) await receiver.feel("well");
          await wait(chance.between(0, 1_000));
        }
      }),
  },
  {
    name: "half-open",
    faults: "connections to NATS and Redis go silent for 12 s without closing",
    times: 3,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      behindProxies(seed, { replicas: 2, ...load }, async ({ wait, chance }, { nats, redis }) => {
        for (let n = 0; n < times; n++) {
          await wait(chance.between(1_000, 3_000));
          nats.freeze();
          redis.freeze();
          await wait(12_000);
          nats.thaw();
          redis.thaw();
        }
        await wait(1_000);
      }),
  },
  {
    name: "slow",
    faults: "NATS and Redis both answer up to 1 s late, for 3 s",
    times: 10,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      behindProxies(seed, { replicas: 2, ...load }, async ({ wait, chance }, { nats, redis }) => {
        for (let n = 0; n < times; n++) {
          await wait(chance.between(0, 1_000));
          nats.lag(chance.between(50, 500));
          redis.lag(chance.between(50, 500));
          await wait(3_000);
          if (chance.between(0, 1) === 0) for (const server of [nats, redis]) server.lag(0);
        }
        for (const server of [nats, redis]) server.lag(0);
      }),
  },
  {
    name: "away",
    faults: "NATS and Redis are both down, for 10 s each time without a break",
    times: 12,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ wait, withoutNats, withoutRedis }, { nats, redis }) => {
        await wait(2_000);
        await withoutNats(() =>
          withoutRedis(async () => {
            await Promise.all([nats.kill(), redis.kill()]);
            await wait(times * 10_000);
            await Promise.all([nats.restart(), redis.restart()]);
          }),
        );
        await wait(5_000);
      }),
  },
  {
    name: "pause",
    faults: "a replica is suspended (SIGSTOP) for 12 to 40 s",
    times: 5,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ pauseOne, wait, chance, receivers }) => {
        await receivers[1]?.feel("flaky");
        for (let n = 0; n < times; n++) {
          await wait(1_000);
          await pauseOne(chance.between(12_000, n === 0 ? 14_000 : 40_000));
          await wait(3_000);
        }
      }),
  },
  {
    name: "consumers",
    faults: "all consumers are deleted",
    times: 10,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ handedOutAnew, wait, manager, prefix, receivers }) => {
        await receivers[1]?.feel("flaky");
        const streams = ["EVENTS", "RETRIES", "PARKED"].map((name) => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_"));
        for (let n = 0; n < times; n++) {
          await wait(3_000);
          await handedOutAnew(async () => {
            for (const stream of streams) {
              for await (const { name } of manager.consumers.list(stream)) await manager.consumers.delete(stream, name).catch(() => {});
            }
          });
        }
        await wait(1_000);
      }),
  },
  {
    name: "flapping",
    faults: "an installation is disabled for up to 1 s",
    times: 40,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ flap, wait, chance }) => {
        for (let n = 0; n < times; n++) {
          await flap(chance.between(50, 1_000));
          await wait(chance.between(0, 300));
        }
      }),
  },
  {
    name: "clocks",
    faults: "the wall clock of a replica is set by an hour",
    times: 10,
    duplicates: "none",
    run: (seed, { times, ...load }) =>
      onServers(seed, { replicas: 2, ...load }, async ({ setClockOfOne, wait, receivers }) => {
        await receivers[1]?.feel("flaky");
        for (let n = 0; n < times; n++) {
          await wait(1_500);
          setClockOfOne();
        }
        await wait(1_500);
      }),
  },
  {
    name: "everything",
    faults: "replicas and servers killed, replicas stopped, receivers failing: one right after the other",
    times: 20,
    duplicates: "bounded",
    run: (seed, { times, ...load }) =>
      onServers(
        seed,
        { replicas: 3, ...load },
        async ({ wait, chance, receivers, killOne, endOne, withoutNats, withoutRedis }, { nats, redis }) => {
          for (let n = 0; n < times; n++) {
            await wait(chance.between(0, 1_000));
            const fault = chance.between(0, 4);
            if (fault === 0) await killOne();
            else if (fault === 1) await endOne();
            else if (fault === 2) await withoutNats(() => nats.kill().then(() => nats.restart()));
            else if (fault === 3) await withoutRedis(() => redis.kill().then(() => redis.restart()));
            else for (const receiver of receivers) await receiver.feel(chance.pick([...MOODS, "well"]));
          }
          for (const receiver of receivers) await receiver.feel("well");
        },
      ),
  },
];

/** How many deliveries may come twice. */
export function shownBoundOf({ duplicates }: Scenario, bound: number): number {
  return duplicates === "none" ? 0 : bound;
}

/** What is wrong with a disposition; empty when nothing is. */
export function complaints(
  scenario: Scenario,
  { lost, traces, duplicated, bound, deadLetters, events, inversions }: Disposition,
): string[] {
  const wrong: string[] = [];
  if (events === 0) wrong.push("no event was published");
  if (lost > 0) wrong.push(`${lost} deliveries are lost: ${traces.join("\n")}`);
  if (inversions > 0) wrong.push(`${inversions} deliveries of the ordered app came after a later one`);
  if (deadLetters > 0) wrong.push(`${deadLetters} deliveries were given up`);
  const most = shownBoundOf(scenario, bound);
  if (duplicated > most) wrong.push(`${duplicated} duplicates, wanted at most ${most}`);
  return wrong;
}

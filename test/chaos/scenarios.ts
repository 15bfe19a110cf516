/** The faults, one scenario each. */
import { JETSTREAM_SCENARIOS } from "./jetstream-scenarios.ts";
import type { Mood } from "./recorder.ts";
import type { Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

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
    async inject({ killOne, wait, chance, receivers }, times) {
      await receivers[1]?.feel("flaky");
      for (let n = 0; n < times; n++) {
        await wait(chance.between(0, 800));
        await killOne();
      }
    },
  },
  {
    name: "terminate",
    faults: "SIGTERM of a replica",
    times: 20,
    duplicates: "none",
    async inject({ endOne, wait, chance, receivers }, times) {
      await receivers[1]?.feel("flaky");
      for (let n = 0; n < times; n++) {
        await wait(chance.between(0, 800));
        await endOne();
      }
    },
  },
  {
    name: "rolling",
    faults: "rolling restart: SIGTERM of one replica after the other",
    times: 5,
    duplicates: "none",
    replicas: 3,
    async inject({ restartAll, wait, receivers }, times) {
      await receivers[1]?.feel("flaky");
      for (let n = 0; n < times; n++) {
        await wait(500);
        await restartAll();
      }
    },
  },
  {
    name: "owner",
    faults: "kill -9 of the owner of the queues",
    times: 5,
    duplicates: "bounded",
    async inject({ killOwner, wait, chance }, times) {
      for (let n = 0; n < times; n++) {
        // Time for another owner, and for what waited for it.
        await wait(chance.between(1_000, 3_000) + (n === 0 ? 0 : 20_000));
        await killOwner();
      }
    },
  },
  {
    name: "refusals",
    faults: "a receiver that answers 404 to everything, and kill -9 of a replica meanwhile and right after",
    times: 5,
    duplicates: "bounded",
    inject: (world, times) => besideKills(times, "refuses", world),
  },
  {
    name: "throttles",
    faults: "a receiver that answers 429 with Retry-After, and kill -9 of a replica meanwhile and right after",
    times: 5,
    duplicates: "bounded",
    inject: (world, times) => besideKills(times, "throttles", world),
  },
  {
    name: "failing",
    faults:
      "a new app's receiver fails or refuses everything, and kill -9 of replicas and of nats-server meanwhile: it is failing once, and healthy once",
    times: 5,
    duplicates: "bounded",
    async inject({ newcomer, killOne, withoutNats, wait, chance }, times, { nats }) {
      for (let n = 0; n < times; n++) {
        const { receiver, reported, rest } = await newcomer(n % 2 === 0 ? "refuses" : "fails");
        // Before, while and after it is found to be failing.
        await wait(chance.between(0, 3_000));
        await killOne();
        await withoutNats(() => nats.kill().then(() => nats.restart()));
        await reported("app.failing");
        await killOne();
        await receiver.feel("well");
        await wait(chance.between(0, 3_000));
        await killOne();
        await reported("app.healthy");
        rest();
      }
    },
  },
  {
    name: "nats",
    faults: "kill -9 of nats-server, down for up to 3 s",
    times: 10,
    duplicates: "bounded",
    async inject({ wait, chance, withoutNats }, times, { nats }) {
      for (let n = 0; n < times; n++) {
        await wait(chance.between(1_000, 3_000));
        await withoutNats(async () => {
          await nats.kill();
          await wait(chance.between(0, 3_000));
          await nats.restart();
        });
      }
      await wait(1_000);
    },
  },
  ...JETSTREAM_SCENARIOS,
  {
    name: "redis",
    faults: "kill -9 of redis-server, down for up to 3 s",
    times: 10,
    duplicates: "none",
    async inject({ wait, chance, withoutRedis }, times, { redis }) {
      for (let n = 0; n < times; n++) {
        await wait(chance.between(500, 2_000));
        await withoutRedis(async () => {
          await redis.kill();
          await wait(chance.between(0, 3_000));
          await redis.restart();
        });
      }
    },
  },
  {
    name: "receivers",
    faults: "two of three receivers fail, reset, hang, drip, answer garbage or are gone",
    times: 10,
    duplicates: "none",
    async inject({ wait, chance, receivers }, times) {
      for (let n = 0; n < times; n++) {
        const [, ...ill] = receivers;
        for (const receiver of ill) await receiver.feel(chance.pick(MOODS));
        await wait(chance.between(1_000, 3_000));
        for (const receiver of ill) await receiver.feel("well");
        await wait(chance.between(0, 1_000));
      }
    },
  },
  {
    name: "half-open",
    faults: "connections to NATS and Redis go silent for 12 s without closing",
    times: 3,
    duplicates: "none",
    hasProxies: true,
    async inject({ wait, chance }, times, { proxies: { nats, redis } }) {
      for (let n = 0; n < times; n++) {
        await wait(chance.between(1_000, 3_000));
        nats.freeze();
        redis.freeze();
        await wait(12_000);
        nats.thaw();
        redis.thaw();
      }
      await wait(1_000);
    },
  },
  {
    name: "slow",
    faults: "NATS and Redis both answer up to 1 s late, for 3 s",
    times: 10,
    duplicates: "none",
    hasProxies: true,
    async inject({ wait, chance }, times, { proxies: { nats, redis } }) {
      for (let n = 0; n < times; n++) {
        await wait(chance.between(0, 1_000));
        nats.lag(chance.between(50, 500));
        redis.lag(chance.between(50, 500));
        await wait(3_000);
        if (chance.between(0, 1) === 0) for (const server of [nats, redis]) server.lag(0);
      }
      for (const server of [nats, redis]) server.lag(0);
    },
  },
  {
    name: "away",
    faults: "NATS and Redis are both down, for 10 s each time without a break",
    times: 12,
    duplicates: "bounded",
    async inject({ wait, withoutNats, withoutRedis }, times, { nats, redis }) {
      await wait(2_000);
      await withoutNats(() =>
        withoutRedis(async () => {
          await Promise.all([nats.kill(), redis.kill()]);
          await wait(times * 10_000);
          await Promise.all([nats.restart(), redis.restart()]);
        }),
      );
      await wait(5_000);
    },
  },
  {
    name: "pause",
    faults: "a replica is suspended (SIGSTOP) for 12 to 40 s",
    times: 5,
    duplicates: "bounded",
    async inject({ pauseOne, wait, chance, receivers }, times) {
      await receivers[1]?.feel("flaky");
      for (let n = 0; n < times; n++) {
        await wait(1_000);
        await pauseOne(chance.between(12_000, n === 0 ? 14_000 : 40_000));
        await wait(3_000);
      }
    },
  },
  {
    name: "consumers",
    faults: "all consumers are deleted",
    times: 10,
    duplicates: "bounded",
    async inject({ handedOutAnew, wait, manager, prefix, receivers }, times) {
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
    },
  },
  {
    name: "flapping",
    faults: "an installation is disabled for up to 1 s",
    times: 40,
    duplicates: "none",
    async inject({ flap, wait, chance }, times) {
      for (let n = 0; n < times; n++) {
        await flap(chance.between(50, 1_000));
        await wait(chance.between(0, 300));
      }
    },
  },
  {
    name: "clocks",
    faults: "the wall clock of a replica is set by an hour",
    times: 10,
    duplicates: "none",
    async inject({ setClockOfOne, wait, receivers }, times) {
      await receivers[1]?.feel("flaky");
      for (let n = 0; n < times; n++) {
        await wait(1_500);
        setClockOfOne();
      }
      await wait(1_500);
    },
  },
  {
    name: "everything",
    faults: "replicas and servers killed, replicas stopped, receivers failing: one right after the other",
    times: 20,
    duplicates: "bounded",
    replicas: 3,
    async inject({ wait, chance, receivers, killOne, endOne, withoutNats, withoutRedis }, times, { nats, redis }) {
      for (let n = 0; n < times; n++) {
        await wait(chance.between(0, 1_000));
        const fault = chance.between(0, 4);
        if (fault === 0) await killOne();
        else if (fault === 1) await endOne();
        else if (fault === 2) await withoutNats(() => nats.kill().then(() => nats.restart()));
        else if (fault === 3) await withoutRedis(() => redis.kill().then(() => redis.restart()));
        else for (const receiver of receivers) await receiver.feel(chance.pick([...MOODS, "well"]));
      }
      await wait(500);
      for (const receiver of receivers) await receiver.feel("well");
    },
  },
];

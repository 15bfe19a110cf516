/** Faults of JetStream itself: nodes that are lost or cut off, and a store that is full. */
import { connect } from "nats";
import { type NatsCluster, startNatsCluster, startSplittableCluster } from "../support/nats-cluster.ts";
import { startNatsServer, startRedisServer } from "../support/servers.ts";
import type { Extent, Scenario } from "./scenarios.ts";
import { type Disposition, runWorld, type World } from "./world.ts";

const streamOf = ({ prefix }: World, name: string): string => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");

async function onCluster<C extends NatsCluster>(
  starting: Promise<C>,
  seed: number,
  { times: _times, ...load }: Extent,
  faults: (world: World, cluster: C) => Promise<void>,
): Promise<Disposition> {
  const [cluster, redis] = await Promise.all([starting, startRedisServer()]);
  try {
    const settings = { POSTHORN_STREAM_REPLICAS: "3" };
    const options = { seed, natsUrl: cluster.url, redisUrl: redis.url, replicas: 2, ...load, settings };
    return await runWorld(options, (world) => faults(world, cluster));
  } finally {
    await Promise.all([cluster.stop(), redis.stop()]);
  }
}

/** Stores messages in a stream of its own until the server takes no more. @returns makes room again */
async function fillStore(url: string): Promise<() => Promise<void>> {
  const connection = await connect({ servers: url });
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: "FILLER", subjects: ["filler"] });
  const jetStream = connection.jetstream();
  const body = new Uint8Array(64 * 1024);
  for (let size = body.length; size > 256; ) {
    // What is left is filled with ever smaller messages.
    const isStored = await jetStream.publish("filler", body.subarray(0, size)).then(
      () => true,
      () => false,
    );
    if (!isStored) size = Math.floor(size / 4);
  }
  return async () => {
    await manager.streams.delete("FILLER");
    await connection.close();
  };
}

export const JETSTREAM_SCENARIOS: readonly Scenario[] = [
  {
    name: "cluster",
    faults: "kill -9 of the leader of three NATS nodes",
    times: 5,
    duplicates: "bounded",
    run: (seed, extent) =>
      onCluster(startNatsCluster(), seed, extent, async (world, cluster) => {
        const { manager, wait, chance, withoutNats } = world;
        for (let n = 0; n < extent.times; n++) {
          await wait(chance.between(2_000, 4_000));
          const leader = await cluster.leaderOf(manager, streamOf(world, "EVENTS"));
          await withoutNats(async () => {
            await leader.kill();
            await wait(chance.between(2_000, 5_000));
            await leader.restart();
          });
        }
        await wait(3_000);
      }),
  },
  {
    name: "split",
    faults: "the leader of three NATS nodes is cut off from the others for up to 15 s",
    times: 5,
    duplicates: "bounded",
    run: (seed, extent) =>
      onCluster(startSplittableCluster(), seed, extent, async (world, cluster) => {
        const { manager, wait, chance, withoutNats } = world;
        for (let n = 0; n < extent.times; n++) {
          await wait(chance.between(2_000, 4_000));
          const leader = await cluster.leaderOf(manager, streamOf(world, "EVENTS"));
          await withoutNats(async () => {
            cluster.isolate(leader);
            await wait(chance.between(5_000, 15_000));
            cluster.heal();
          });
          await wait(5_000);
        }
      }),
  },
  {
    name: "store-full",
    faults: "JetStream's store is full for up to 15 s, while two of three receivers fail",
    times: 5,
    duplicates: "none",
    async run(seed, { times, ...load }) {
      const [nats, redis] = await Promise.all([startNatsServer({ maxFileStore: "64MB" }), startRedisServer()]);
      try {
        const options = { seed, natsUrl: nats.url, redisUrl: redis.url, replicas: 2, ...load };
        return await runWorld(options, async ({ wait, chance, receivers }) => {
          const [, ...failing] = receivers;
          for (let n = 0; n < times; n++) {
            await wait(2_000);
            for (const receiver of failing) await receiver.feel("fails");
            await wait(2_000);
            const makeRoom = await fillStore(nats.url);
            await wait(chance.between(3_000, 10_000));
            for (const receiver of failing) await receiver.feel("well");
            await wait(5_000);
            await makeRoom();
          }
        });
      } finally {
        await Promise.all([nats.stop(), redis.stop()]);
      }
    },
  },
];

/** Faults of JetStream itself: nodes that are lost or cut off, and a store that is full. */
import { connect } from "nats";
import type { Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

const streamOf = ({ prefix }: World, name: string): string => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_");

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
    on: "cluster",
    async inject(world, times, { cluster }) {
      const { manager, wait, chance, withoutNats } = world;
      for (let n = 0; n < times; n++) {
        await wait(chance.between(2_000, 4_000));
        const leader = await cluster.leaderOf(manager, streamOf(world, "EVENTS"));
        await withoutNats(async () => {
          await leader.kill();
          await wait(chance.between(2_000, 5_000));
          await leader.restart();
        });
      }
      await wait(3_000);
    },
  },
  {
    name: "split",
    faults: "the leader of three NATS nodes is cut off from the others for up to 15 s",
    times: 5,
    duplicates: "bounded",
    on: "cluster",
    async inject(world, times, { cluster }) {
      const { manager, wait, chance, withoutNats } = world;
      for (let n = 0; n < times; n++) {
        await wait(chance.between(2_000, 4_000));
        const leader = await cluster.leaderOf(manager, streamOf(world, "EVENTS"));
        await withoutNats(async () => {
          cluster.isolate(leader);
          await wait(chance.between(5_000, 15_000));
          cluster.heal();
        });
        await wait(5_000);
      }
    },
  },
  {
    name: "store-full",
    faults: "JetStream's store is full for up to 15 s, while two of three receivers fail",
    times: 5,
    duplicates: "none",
    on: "small store",
    async inject({ wait, chance, receivers }, times, { nats }) {
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
    },
  },
];

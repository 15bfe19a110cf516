import { describe, expect, test } from "vitest";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createConsumerDeletions } from "../../../src/jetstream/consumer-deletions.ts";
import { createHeldBytes } from "../../../src/jetstream/held-bytes.ts";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import { createPullConsumer, type PullConsumerOptions } from "../../../src/jetstream/pull-consumer.ts";
import { describePullConsumer } from "../../support/conformance/pull-consumer.ts";
import { createFakeJetStream, FAKE_CONSUMER } from "../../support/fake-jetstream.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const ACK_WAIT_MS = 3_000;
const settings = { ...FAKE_CONSUMER, ackWaitMs: ACK_WAIT_MS, maxAckPending: 10 };

function createWorld() {
  const clock = createManualClock();
  const jetStream = createFakeJetStream(clock, ACK_WAIT_MS);
  const { connection, manager, connectionState } = jetStream;
  const noted: number[] = [];
  /** How far the process's own clock is ahead of the manual one: it was suspended. */
  const suspension = { ms: 0 };
  const dependencies = {
    ...{ connection, manager, connectionState, clock, logger: silentLogger },
    acks: createAckBatcher(connection, connectionState, clock),
    consumerDeletions: createConsumerDeletions(connection, silentLogger),
    giveBacks: {
      note: ({ sequence }: { readonly sequence: number }) => void noted.push(sequence),
      mayGiveBack: () => true,
      count: async () => 0,
    },
    monotonicNow: () => clock.now() + suspension.ms,
    mayPull: () => true,
  };
  const recover = async (): Promise<void> => jetStream.createConsumer();
  return { clock, jetStream, dependencies, noted, suspension, recover };
}

function start(world: ReturnType<typeof createWorld>, options: Partial<PullConsumerOptions> = {}) {
  const received: ConsumedMessage[] = [];
  const onMessage = (message: ConsumedMessage): void => void received.push(message);
  const { recover } = world;
  const consumer = createPullConsumer(world.dependencies, { settings, limit: () => 4, onMessage, recover, ...options });
  consumer.start();
  return { consumer, received };
}

describe("with JetStream in memory", () => {
  describePullConsumer(async () => {
    const { clock, jetStream, dependencies, recover } = createWorld();
    return {
      dependencies,
      options: { settings, recover },
      store: async (text) => jetStream.store(text),
      deleteConsumer: async () => jetStream.deleteConsumer(),
      async until(holds) {
        for (let steps = 0; !holds(); steps++) {
          expect(steps).toBeLessThan(1_000);
          await clock.advance(100);
        }
      },
    };
  });
});

test("PULL-1: held and requested messages together never exceed the limit; a paused consumer requests none", async () => {
  const world = createWorld();
  const { jetStream, clock } = world;
  const limit = { now: 4 };
  const { consumer, received } = start(world, { limit: () => limit.now });
  expect(jetStream.requested()).toBe(4);
  for (const text of ["a", "b", "c"]) jetStream.store(text);
  await clock.advance(1_000);
  expect([consumer.held(), jetStream.requested()]).toEqual([3, 1]);
  received[0]?.ack();
  expect([consumer.held(), jetStream.requested()]).toEqual([2, 2]);
  limit.now = 0;
  for (const message of received.slice(1)) message.ack();
  await clock.advance(60_000);
  expect([consumer.held(), jetStream.requested()]).toEqual([0, 0]);
  limit.now = 2;
  consumer.wake();
  expect(jetStream.requested()).toBe(2);
});

test("PULL-1: a limit of bytes is kept, too, whatever the limit of messages, and nothing stays behind", async () => {
  const world = createWorld();
  const { jetStream, clock } = world;
  const heldBytes = { of: createHeldBytes(8 * 1024 * 1024) };
  const all = 120;
  for (let at = 0; at < all; at++) jetStream.store("x".repeat(400_000));
  const { consumer, received } = start(world, { limit: () => 1_000, heldBytes });
  await clock.advance(5_000);
  // Twice their size: what is decoded takes as much. At first their size is not known.
  expect(consumer.held()).toBeGreaterThan(2);
  expect(consumer.held() * 800_000).toBeLessThan(4 * 8 * 1024 * 1024);
  for (let at = 0; at < all; at++) {
    await clock.advance(1_000);
    received[at]?.ack();
    if (at > 40) expect(consumer.held() * 800_000).toBeLessThan(8 * 1024 * 1024);
  }
  expect([received.length, consumer.held()]).toEqual([all, 0]);
});

test("PULL-2: a message that arrives after the stop began is given back and not handled", async () => {
  const world = createWorld();
  const { consumer, received } = start(world);
  // It is on its way when the stop begins.
  world.jetStream.store("a");
  await Promise.all([consumer.stop(), world.clock.advance(10)]);
  expect(received).toEqual([]);
  expect(world.noted).toEqual([1]);
  expect(world.jetStream.unacknowledged()).toEqual([1]);
});

test("PULL-3: a server that falls silent is noticed by its missing heartbeats; recovery is tried until it succeeds", async () => {
  const world = createWorld();
  let tries = 0;
  const recover = async (): Promise<void> => {
    if (++tries < 3) throw new Error("no answer");
  };
  const { received } = start(world, { recover });
  world.jetStream.silence(true);
  await world.clock.advance(7_000);
  expect(tries).toBe(0);
  await world.clock.advance(3_000);
  expect(tries).toBeGreaterThan(0);
  world.jetStream.silence(false);
  await world.clock.advance(3_000);
  expect(tries).toBe(3);
  world.jetStream.store("a");
  await world.clock.advance(100);
  expect(received).toHaveLength(1);
});

describe("PULL-4: what comes while no message may be handled", () => {
  const startPaused = () => {
    const world = createWorld();
    const may = { handle: true };
    const started = start({ ...world, dependencies: { ...world.dependencies, mayPull: () => may.handle } });
    may.handle = false;
    for (const text of ["a", "b", "c"]) world.jetStream.store(text);
    return { ...world, ...started, may };
  };
  const sequences = (received: readonly ConsumedMessage[]) => received.map(({ sequence }) => sequence);

  test("waits until they may, in its order", async () => {
    const { clock, jetStream, consumer, received, may } = startPaused();
    await clock.advance(2_000);
    expect([received, consumer.held()]).toEqual([[], 3]);
    may.handle = true;
    jetStream.store("d");
    await clock.advance(2_000);
    expect(sequences(received)).toEqual([1, 2, 3, 4]);
  });

  test("is given back when that takes long, for another replica", async () => {
    const { clock, received, noted } = startPaused();
    await clock.advance(4_000);
    expect(noted).toEqual([]);
    await clock.advance(3_000);
    expect([received, noted]).toEqual([[], [1, 2, 3]]);
  });

  test("is given back by a stop", async () => {
    const { clock, consumer, received, noted } = startPaused();
    await clock.advance(100);
    await Promise.all([consumer.stop(), clock.advance(10)]);
    expect([received, noted, consumer.held()]).toEqual([[], [1, 2, 3], 0]);
  });

  test("is somebody else's once its lease is over", async () => {
    const { clock, jetStream, received, may } = startPaused();
    await clock.advance(100);
    jetStream.silence(true);
    await clock.advance(ACK_WAIT_MS);
    may.handle = true;
    await clock.advance(1_000);
    expect(received).toEqual([]);
    jetStream.silence(false);
    await clock.advance(10_000);
    expect(sequences(received)).toEqual([1, 2, 3]);
  });
});

test("HELD-1: a message that is delivered again while it is held is not handled twice, and ends on its newer delivery", async () => {
  const world = createWorld();
  const { consumer, received } = start(world);
  world.jetStream.store("a");
  await world.clock.advance(100);
  // Its heartbeats get lost for longer than ack_wait.
  world.jetStream.silence(true);
  await world.clock.advance(ACK_WAIT_MS + 200);
  world.jetStream.silence(false);
  await world.clock.advance(1_000);
  expect([received.length, consumer.held()]).toEqual([1, 1]);
  expect(received[0]?.isOurs()).toBe(true);
  received[0]?.ack();
  await world.clock.advance(100);
  expect(world.jetStream.acked).toEqual(["1.2"]);
});

test("HELD-2: a lease ends before ack_wait when no heartbeat was confirmed, and its handler is asked to let go every second", async () => {
  const world = createWorld();
  const lost: number[] = [];
  const { received } = start(world, { onLost: ({ sequence }) => void lost.push(sequence) });
  world.jetStream.store("a");
  await world.clock.advance(100);
  world.jetStream.silence(true);
  await world.clock.advance(ACK_WAIT_MS - 200);
  expect(received[0]?.isOurs()).toBe(false);
  await world.clock.advance(2_000);
  expect(lost.length).toBeGreaterThanOrEqual(2);
});

test("HELD-2: a lease ends when another consumer has taken the name", async () => {
  const world = createWorld();
  const { received } = start(world);
  world.jetStream.store("a");
  await world.clock.advance(100);
  world.jetStream.replaceConsumer();
  await world.clock.advance(ACK_WAIT_MS / 2);
  expect(received[0]?.isOurs()).toBe(false);
});

test("HELD-3: what arrives right after a suspension may have been delivered before it, so its lease is over", async () => {
  const world = createWorld();
  const { received } = start(world);
  await world.clock.advance(1_000);
  world.suspension.ms += 60_000;
  // The tick notices the suspension; the message arrives before the server has answered.
  world.jetStream.silence(true);
  await world.clock.advance(1_000);
  world.jetStream.silence(false);
  world.jetStream.store("a");
  await world.clock.advance(100);
  expect(received.map((message) => message.isOurs())).toEqual([false]);
});

test("a handler that throws gives its message back as a failure, which does not count as a give-back", async () => {
  const world = createWorld();
  const { consumer } = start(world, {
    onMessage: () => {
      throw new Error("bug");
    },
  });
  world.jetStream.store("a");
  await world.clock.advance(100);
  expect([consumer.held(), world.noted, world.jetStream.unacknowledged()]).toEqual([0, [], [1]]);
});

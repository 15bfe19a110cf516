/** How a pull consumer and JetStream work together, to be passed by the real server and by the fake. */
import { expect, test } from "vitest";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import { createPullConsumer, type PullConsumerDependencies, type PullConsumerOptions } from "../../../src/jetstream/pull-consumer.ts";

export interface PullConsumerWorld {
  readonly dependencies: PullConsumerDependencies;
  readonly options: Pick<PullConsumerOptions, "settings" | "recover">;
  store(text: string): Promise<unknown>;
  /** Somebody deletes the consumer. */
  deleteConsumer(): Promise<unknown>;
  /** Lets time pass until it holds. */
  until(holds: () => boolean): Promise<void>;
}

export function describePullConsumer(createWorld: () => Promise<PullConsumerWorld>): void {
  const started = async (limit: number) => {
    const world = await createWorld();
    const received: ConsumedMessage[] = [];
    const consumer = createPullConsumer(world.dependencies, {
      ...world.options,
      limit: () => limit,
      onMessage: (message) => void received.push(message),
    });
    consumer.start();
    const textOf = (message: ConsumedMessage | undefined): string => Buffer.from(message?.data ?? []).toString();
    return { world, consumer, received, textOf };
  };

  test("holds no more than its limit, and gets the next message when one is acknowledged", async () => {
    const { world, consumer, received, textOf } = await started(2);
    for (const text of ["a", "b", "c"]) await world.store(text);
    await world.until(() => received.length === 2);
    expect(consumer.held()).toBe(2);
    received[0]?.ack();
    await world.until(() => received.length === 3);
    expect(received.map(textOf)).toEqual(["a", "b", "c"]);
    expect(consumer.held()).toBe(2);
    await consumer.stop();
  });

  test("gets a message again that it gave back", async () => {
    const { world, consumer, received, textOf } = await started(1);
    await world.store("a");
    await world.until(() => received.length === 1);
    received[0]?.nak(50);
    await world.until(() => received.length === 2);
    expect(received.map((message) => [textOf(message), message.deliveries])).toEqual([
      ["a", 1],
      ["a", 2],
    ]);
    await consumer.stop();
  });

  test("recreates a consumer that was deleted; the leases of what it had handed out are over", async () => {
    const { world, consumer, received, textOf } = await started(1);
    await world.store("a");
    await world.until(() => received.length === 1);
    expect(received[0]?.isOurs()).toBe(true);
    await world.deleteConsumer();
    await world.until(() => received[0]?.isOurs() === false);
    received[0]?.drop();
    await world.until(() => received.length === 2);
    expect([textOf(received[1]), received[1]?.isOurs()]).toEqual(["a", true]);
    await consumer.stop();
  });

  test("gets back what it holds when its consumer is deleted while it holds as much as it may", async () => {
    const { world, consumer, received } = await started(1);
    await world.store("a");
    await world.until(() => received.length === 1);
    await world.deleteConsumer();
    await world.until(() => received[0]?.isOurs() === false);
    await world.until(() => received[0]?.isOurs() === true);
    expect([received.length, consumer.held()]).toEqual([1, 1]);
    await consumer.stop();
  });

  test("keeps a held message alive for longer than ack_wait", async () => {
    const { world, consumer, received } = await started(2);
    await world.store("a");
    await world.until(() => received.length === 1);
    const until = world.dependencies.clock.now() + 2 * world.options.settings.ackWaitMs;
    await world.until(() => world.dependencies.clock.now() > until);
    expect(received[0]?.isOurs()).toBe(true);
    expect(received).toHaveLength(1);
    await consumer.stop();
  });

  test("recovers at once after a reconnect, also while a call on the old connection has no answer", async () => {
    const { dependencies, options, store, deleteConsumer, until } = await createWorld();
    let reconnect = (): void => {};
    let recoveries = 0;
    const received: ConsumedMessage[] = [];
    const consumer = createPullConsumer(
      {
        ...dependencies,
        connectionState: {
          ...dependencies.connectionState,
          onReconnect: (listener) => {
            reconnect = listener;
            return () => {};
          },
        },
      },
      {
        ...options,
        limit: () => 1,
        onMessage: (message) => void received.push(message),
        recover: () => (recoveries++ === 0 ? new Promise(() => {}) : options.recover()),
      },
    );
    consumer.start();
    await deleteConsumer();
    await until(() => recoveries === 1);
    reconnect();
    await store("a");
    await until(() => received.length === 1);
    await consumer.stop();
  });

  test("may be told to stop twice, also at once", async () => {
    const { world, consumer, received } = await started(1);
    await Promise.all([consumer.stop(), consumer.stop()]);
    await consumer.stop();
    await world.store("a");
    expect(received).toEqual([]);
  });
}

/** Deliveries and batches that the server has lost from its index of subjects (INDEX-1) are expired and waited for like others. */
import { AckPolicy, connect, type JetStreamManager, type NatsConnection, RetentionPolicy } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import type { Delivery } from "../../src/model/delivery.ts";
import { encodeDeliveryMessage } from "../../src/model/delivery-message.ts";
import { encodeBatch } from "../../src/model/fan-out-batch.ts";
import { createHandledUpTo } from "../../src/replays/handled-events.ts";
import { createBacklog } from "../../src/subscribers/parked/backlog.ts";
import { aDelivery, anEvent } from "../support/builders.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { type Server, startNatsServer } from "../support/servers.ts";

const names = createSubjects("t");
let nats: Server;
let connection: NatsConnection;
let manager: JetStreamManager;

beforeAll(async () => {
  nats = await startNatsServer();
  connection = await connect({ servers: nats.url });
  manager = await connection.jetstreamManager();
});
afterAll(async () => {
  await connection.close();
  await nats.stop();
});

/** Stores the messages under the subject behind one of another; the second is lost, and the first and the third are deleted. */
async function storeWithALost(stream: string, subjects: readonly string[], subject: string, messages: readonly string[]): Promise<void> {
  await manager.streams.add({ name: stream, subjects: [...subjects], retention: RetentionPolicy.Workqueue });
  const store = (message: string, of = subject) => manager.jetstream().publish(of, message);
  await store("", `${subject}-of-another`);
  for (const message of messages.slice(0, 3)) await store(message);
  for (const sequence of [4, 2]) await manager.streams.deleteMessage(stream, sequence, false);
  for (const message of messages.slice(3)) await store(message);
}

test("a lost delivery expires before the younger ones of its queue", async () => {
  const clock = createManualClock();
  const queue = { app: "acme", installationUuid: "0f3c0000-0000-4000-8000-000000000001" };
  const parked = [9, 9, 9, 8, 1].map((ageS, n) => {
    const delivery = { ...aDelivery({ id: `d-${n + 1}` }), firstParkedAt: clock.now() - ageS * 1_000 };
    return encodeDeliveryMessage({ delivery, dueAt: null, delayMs: 0, notBefore: false });
  });
  await storeWithALost(names.streams.parked, names.filters.parked, names.parked(queue.app, queue.installationUuid), parked);
  const expired: string[] = [];
  const backlog = createBacklog({
    ...{ connection, manager, names, clock, skipDelivered: async () => false, poisonLimit: { reading: () => null } },
    giveUp: {
      async delivery({ delivery: { id } }) {
        expired.push(id);
        return 1;
      },
      async message() {},
    },
  });
  const stopped: string[] = [];
  const stopKeys = { givenUp: async ({ id }: Delivery) => void stopped.push(id), done: async () => false };
  expect(await backlog.expire(queue, 5_000, stopKeys)).toBe(2);
  expect(stopped).toEqual(expired);
  expect([expired.sort(), await backlog.count(queue)]).toEqual([["d-2", "d-4"], 1]);
});

test("an event is not handled while one of its batches is lost and waits behind younger ones", async () => {
  const batches = [3, 4, 5, 8, 9].map((eventSequence) => encodeBatch({ event: anEvent(), eventSequence, targets: [] }));
  await storeWithALost(names.streams.retries, names.filters.retries, names.fanOut, batches);
  await manager.streams.add({ name: names.streams.events, subjects: [...names.filters.events] });
  await manager.consumers.add(names.streams.events, { durable_name: names.eventsConsumer, ack_policy: AckPolicy.Explicit });
  const handledUpTo = createHandledUpTo({ connection, manager, names, readByOwner: () => null });
  expect(await handledUpTo("acme")).toBe(3);
});

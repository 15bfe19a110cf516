import { beforeEach, expect, test } from "vitest";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createConsumerDeletions } from "../../../src/jetstream/consumer-deletions.ts";
import { parkedConsumer } from "../../../src/jetstream/consumers.ts";
import { createHeldBytes, type HeldBytes } from "../../../src/jetstream/held-bytes.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import type { ParkedEnd } from "../../../src/subscribers/parked/attempt-parked.ts";
import { createParkedQueues } from "../../../src/subscribers/parked/parked-queues.ts";
import { createQueueConsumers, type QueueConsumers } from "../../../src/subscribers/parked/queue-consumers.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anEvent } from "../../support/builders.ts";
import { createFakeJetStream, type FakeJetStream } from "../../support/fake-jetstream.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const names = createSubjects("t");
const settings = parkedConsumer(names, "acme", null, 2);

let clock: ReturnType<typeof createManualClock>;
let jetStream: FakeJetStream;
let consumers: QueueConsumers;
let dependencies: Parameters<typeof createQueueConsumers>[0];
/** Event ids in the order of their attempts. */
let attempted: string[];
/** What becomes of an attempt. */
let attempt: (eventId: string) => Promise<ParkedEnd>;
let isBusy: boolean;
let maxInFlight: number;
let attemptsSoon: number;
let heldBytes: HeldBytes;

beforeEach(() => {
  clock = createManualClock();
  jetStream = createFakeJetStream(clock, settings.ackWaitMs, settings, false);
  [attempted, attempt, isBusy, maxInFlight] = [[], async () => "done", true, 2];
  [attemptsSoon, heldBytes] = [Number.POSITIVE_INFINITY, createHeldBytes(64 * 1024 * 1024)];
  const { connection, manager, connectionState } = jetStream;
  const unused = (): never => {
    throw new Error("not called");
  };
  dependencies = {
    ...{ connection, manager, connectionState, clock, names, logger: silentLogger },
    acks: createAckBatcher(connection, connectionState, clock),
    consumerDeletions: createConsumerDeletions(connection, silentLogger),
    giveBacks: { note: () => {}, mayGiveBack: () => true, count: async () => 0 },
    monotonicNow: () => clock.now(),
    mayPull: () => true,
    giveUp: { delivery: unused, message: unused },
    dispatcher: { dispatch: unused, apply: unused, park: unused },
    tracing: createTracing(null),
    attemptParked: async ({ delivery }) => {
      attempted.push(delivery.event.id);
      return attempt(delivery.event.id);
    },
    queues: {
      has: () => isBusy,
      count: () => jetStream.unacknowledged().length,
      forget: () => {
        isBusy = false;
      },
      parked: () => {
        isBusy = true;
      },
    },
    mayConsume: () => true,
    limitOf: () => maxInFlight,
    attemptsSoon: () => attemptsSoon,
    heldBytes,
  };
  consumers = createQueueConsumers(dependencies);
});

function park(...eventIds: string[]): void {
  for (const id of eventIds)
    jetStream.store(encodeDeliveryMessage({ delivery: aDelivery({}, anEvent({ id })), dueAt: null, delayMs: 0, notBefore: false }));
}

test("a queue is attempted in its order, no more at once than its limit, and its consumer is deleted when it is empty", async () => {
  const ends: Array<() => void> = [];
  attempt = () => new Promise((resolve) => ends.push(() => resolve("done")));
  park("a", "b", "c");
  await consumers.refresh("acme");
  await clock.advance(200);
  expect([attempted, consumers.held()]).toEqual([["a", "b"], 2]);
  for (const end of ends) end();
  await clock.advance(200);
  expect(attempted).toEqual(["a", "b", "c"]);
  ends[2]?.();
  await clock.advance(5_000);
  expect([jetStream.unacknowledged(), jetStream.hasConsumer(), consumers.size(), isBusy]).toEqual([[], false, 0, false]);
});

test("QUEUE-2: a queue whose receiver answers at once is emptied without a wait for the ticks of acks", async () => {
  let open = (): void => {};
  attempt = () => new Promise((resolve) => (open = () => resolve("done")));
  park("a", "b", "c", "d", "e", "f");
  await consumers.refresh("acme");
  await clock.advance(200);
  expect(attempted).toEqual(["a", "b"]);
  attempt = async () => "done";
  const openedAt = clock.now();
  open();
  for (let turns = 0; turns < 50; turns++) await clock.advance(0);
  expect([attempted, clock.now()]).toEqual([["a", "b", "c", "d", "e", "f"], openedAt]);
});

test("QUEUE-1: a delivery behind an open circuit is held, and attempted when it is woken", async () => {
  attempt = async () => "wait";
  park("a");
  await consumers.refresh("acme");
  await clock.advance(300);
  expect([attempted, consumers.held()]).toEqual([["a"], 1]);
  attempt = async () => "done";
  await consumers.refresh("acme");
  await clock.advance(100);
  expect([attempted, consumers.held()]).toEqual([["a", "a"], 0]);
});

test("a delivery that is parked opens its app's consumer, and makes nothing of what is held there be looked at again", async () => {
  attempt = async () => "wait";
  const queues = createParkedQueues({
    ...dependencies,
    registry: { app: () => undefined, installation: () => undefined },
    limitOf: () => 2,
    ...{ isOwned: () => false, onWake: () => {}, share: { update: () => {} } },
  });
  const queue = { app: "acme", installationUuid: null };
  park("a", "b");
  queues.parked(queue);
  await clock.advance(300);
  expect([attempted, queues.held()]).toEqual([["a", "b"], 2]);
  park("c", "d", "e");
  for (let parked = 0; parked < 3; parked++) {
    queues.parked(queue);
    await clock.advance(10);
  }
  expect(attempted).toEqual(["a", "b"]);
  queues.wake("throttle", "acme");
  await clock.advance(10);
  expect(attempted).toEqual(["a", "b", "a", "b"]);
  await Promise.all([queues.stop(), clock.advance(100)]);
});

test("QUEUE-1: nothing is pulled for an app whose attempts are all held back, one for a probe, and all once it is open", async () => {
  attempt = async () => "wait";
  attemptsSoon = 0;
  park("a", "b", "c");
  await consumers.refresh("acme");
  await clock.advance(60_000);
  expect([attempted, consumers.held(), consumers.size()]).toEqual([[], 0, 1]);
  attemptsSoon = 1;
  await clock.advance(1_500);
  expect([new Set(attempted), consumers.held()]).toEqual([new Set(["a"]), 1]);
  [attempt, attemptsSoon] = [async () => "done", Number.POSITIVE_INFINITY];
  await consumers.refresh("acme");
  await clock.advance(1_000);
  expect([attempted.slice(-3), consumers.held()]).toEqual([["a", "b", "c"], 0]);
});

test("QUEUE-1: what is held behind an open circuit is given back when another queue finds no room for its bytes", async () => {
  attempt = async () => "wait";
  park("a", "b");
  await consumers.refresh("acme");
  await clock.advance(300);
  attemptsSoon = 0;
  await clock.advance(3_000);
  expect(consumers.held()).toBe(2);
  const other = heldBytes.share(() => {});
  other.received({ data: new Uint8Array(32 * 1024 * 1024) });
  expect(other.room(1)).toBe(0);
  await clock.advance(2_000);
  expect([consumers.held(), jetStream.unacknowledged()]).toEqual([0, [1, 2]]);
});

test("an app that may have more in flight by now gets another consumer", async () => {
  attempt = () => new Promise(() => {});
  park("a", "b", "c", "d");
  await consumers.refresh("acme");
  await clock.advance(200);
  expect(attempted).toEqual(["a", "b"]);
  maxInFlight = 3;
  await Promise.all([consumers.refresh("acme"), clock.advance(100)]);
  await clock.advance(200);
  expect(attempted).toEqual(["a", "b", "c"]);
});

test("after a stop nothing is opened or closed, and what is in flight still counts", async () => {
  const ends: Array<() => void> = [];
  attempt = () => new Promise((resolve) => ends.push(() => resolve("done")));
  park("a");
  await consumers.refresh("acme");
  await clock.advance(200);
  await Promise.all([consumers.stop(), clock.advance(100)]);
  maxInFlight = 3;
  await Promise.all([consumers.refresh("acme"), consumers.refresh("other"), clock.advance(100)]);
  expect([consumers.size(), consumers.held()]).toEqual([1, 1]);
  ends[0]?.();
  await clock.advance(100);
  expect([consumers.held(), jetStream.unacknowledged()]).toEqual([0, []]);
});

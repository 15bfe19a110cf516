import { beforeEach, expect, test } from "vitest";
import { createKeyStops, type KeyStops } from "../../../src/subscribers/ordered/key-stops.ts";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createStoredQueues } from "../../../src/subscribers/ordered/stored-queues.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { aDelivery, anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let now: number;
let index: OrderIndex;
let stops: KeyStops;
/** The app's own queue. */
let queue: ParkedDelivery[];
let deadLetters: Set<number>;
let removed: number;
let first: number;
let reads: number;
let onCount: () => void;

beforeEach(() => {
  [now, queue, deadLetters, removed, first, reads] = [0, [], new Set(), 0, 1, 0];
  onCount = () => {};
  index = createOrderIndex({ remove: async () => {}, monotonicNow: () => now, onMerged() {} }, "/k");
  const queues = createStoredQueues({
    ...{ app: "acme", index, isActive: () => true, isFlowing: () => true, onRead() {}, fence: createFence(1, 0), logger: silentLogger },
    backlog: {
      async *read(_queue, { from = 1 } = {}) {
        yield* queue.filter(({ source }) => source.sequence >= from);
      },
      at: async () => null,
      async queuesOf() {
        const count = queue.length;
        onCount();
        return new Map([[null, count]]);
      },
      remove: async () => {},
    },
  });
  stops = createKeyStops({
    ...{ app: "acme", index, queues, monotonicNow: () => now, deadLetterOf: async () => null },
    registry: { app: () => anApp({ orderBy: "/k", onExhausted: "stop" }), installation: () => anInstallation() },
    deadLettersState: async () => ({ removed, first }),
    async isDeadLetter(sequence) {
      reads++;
      return deadLetters.has(sequence);
    },
  });
});

/** @param deadLetter of the delivery, which stops its key */
function stored(id: string, key: string, eventSequence: number, deadLetter?: number): ParkedDelivery {
  const sequence = (queue.at(-1)?.source.sequence ?? 0) + 1;
  const event = anEvent({ id, dataJson: JSON.stringify({ k: key }) });
  const parked: ParkedDelivery = {
    delivery: aDelivery({ id, app: "acme", installationUuid: UUID, event, eventSequence, stores: 1 }),
    dueAt: null,
    blockedBy: deadLetter === undefined ? undefined : { deadLetter, orderBy: "/k", since: 0 },
    storedAt: 0,
    source: { stream: "PARKED", sequence },
    message: { subject: "", consumer: "", sequence, deliveries: 0, header: () => undefined },
  };
  queue.push(parked);
  return parked;
}

/** Stops of so many keys, by dead letters 1, 2, 3 and so on. */
async function stopKeys(count: number): Promise<void> {
  for (let at = 1; at <= count; at++) {
    stored(`d-${at}`, `k-${at}`, at, at);
    deadLetters.add(at);
  }
  await stops.readNew();
}

const look = async (): Promise<void> => {
  now += 10_000;
  await stops.readNew();
};

test("removed dead letters that are announced free their keys, and no other is looked at", async () => {
  await stopKeys(100);
  for (let at = 0; at < 4; at++) await look();
  reads = 0;
  for (let at = 1; at <= 100; at++) {
    deadLetters.delete(at);
    expect(stops.noteRemoved(new Set([at]))).toBe(true);
    await stops.readNew();
  }
  expect([index.stopping.size, reads]).toEqual([0, 0]);
  expect(stops.noteRemoved(new Set([101]))).toBe(false);
});

test("one whose announcement was lost is found with few reads at a time, however many others leave the stream meanwhile", async () => {
  await stopKeys(100);
  await look();
  deadLetters.delete(90);
  for (let at = 0; at < 8; at++) {
    reads = 0;
    removed++;
    await look();
    expect(reads).toBeLessThanOrEqual(32);
  }
  expect(index.stopping.size).toBe(99);
  for (let at = 0; at < 8; at++) await look();
  reads = 0;
  await look();
  expect(reads).toBe(0);
});

test("an owner begins with a look at all stops: those whose dead letters went away before it are freed at once", async () => {
  for (let at = 1; at <= 400; at++) {
    stored(`d-${at}`, `k-${at}`, at, at);
    if (at % 100 !== 99) deadLetters.add(at);
  }
  await stops.readNew();
  await look();
  expect([index.stopping.size, reads]).toEqual([396, 400]);
});

test("dead letters that the stream has dropped for their age free their keys without a read", async () => {
  await stopKeys(30);
  await look();
  [first, removed, reads] = [31, 30, 0];
  await look();
  expect([index.stopping.size, reads]).toEqual([0, 0]);
});

test("a replay is known before its key is freed, though a delivery is stored while the queue is counted", async () => {
  stored("d-1", "a", 1, 7);
  deadLetters.add(7);
  await stops.readNew();
  index.found(stored("d-2", "a", 2), null);
  deadLetters.delete(7);
  stops.noteRemoved(new Set([7]));
  const replay = { ...stored("d-1", "a", 1), delivery: { ...(queue[0] as ParkedDelivery).delivery, replay: "rpl_1" } };
  queue[2] = replay;
  onCount = () => index.found(stored("d-3", "a", 3), null);
  await stops.readNew();
  expect(index.start(0)?.sequences).toEqual([replay.source.sequence]);
});

test("a stop is that of younger deliveries of its key, wherever they are stored, and of its dead letter, not of its replay", async () => {
  stored("d-2", "a", 2, 7);
  deadLetters.add(7);
  await stops.readNew();
  const of = (k: string, eventSequence: number, deadLetter: number | null = null) =>
    stops.of({ key: `${UUID} ${k}`, eventSequence, deadLetter })?.deliveryId ?? null;
  expect([of("a", 3), of("a", 2, 7), of("a", 2), of("a", 1), of("b", 3)]).toEqual(["d-2", "d-2", null, null, null]);
});

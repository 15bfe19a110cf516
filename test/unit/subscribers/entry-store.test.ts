import { beforeEach, expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import { createEntryStore } from "../../../src/subscribers/ordered/entry-store.ts";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
let index: OrderIndex;
let done: string[];
let stored: string[];
let applied: string[];
let hasRoom: boolean;
let fault: Error | null;
let tried: string[];
let isDone: Set<string>;
/** Redis answers after it. */
let answered: Promise<void>;
let removed: number[];
let roomTaken: number;
let storeWaiting: () => Promise<void>;
/** The dead letter of one that is done. */
let deadLetterOf: number | null;

beforeEach(() => {
  clock = createManualClock();
  isDone = new Set();
  deadLetterOf = null;
  answered = Promise.resolve();
  removed = [];
  [done, stored, applied, hasRoom, fault, tried, roomTaken] = [[], [], [], true, null, [], 0];
  index = createOrderIndex(
    { remove: async ({ source }) => void removed.push(source.sequence), monotonicNow: clock.now, onMerged: () => {} },
    "app",
  );
  ({ storeWaiting } = createEntryStore({
    app: "acme",
    index,
    keyStops: { isWanted: () => true, deadLetterOf: async () => deadLetterOf },
    logger: silentLogger,
    dispatcher: {
      async apply(disposition) {
        applied.push(`${disposition.delivery.id}: ${disposition.kind === "dead-letter" ? disposition.reason : disposition.kind}`);
        return 1;
      },
      park: async () => {},
    },
    streams: {
      async park(delivery) {
        tried.push(delivery.id);
        if (fault !== null) throw fault;
        stored.push(delivery.id);
        return { sequence: stored.length, isDuplicate: false } as never;
      },
    },
    observer: { stored() {}, skipped() {} },
    clock,
    monotonicNow: clock.now,
    fence: createFence(1, 0),
    parkedStream: "PARKED",
    isOwner: () => true,
    mayStore: () => true,
    async skipDelivered({ id, stores }) {
      await answered;
      return isDone.has(id) && stores === 0;
    },
    takeRoom() {
      if (!hasRoom) return null;
      roomTaken++;
      return () => {
        roomTaken--;
      };
    },
  }));
});

const accept = (id: string, eventSequence: number): void => {
  const message = { stream: "EVENTS", sequence: eventSequence, isOurs: () => true } as never;
  index.accept(aDelivery({ id, eventSequence }), { message, done: () => void done.push(id) }, false, 0);
};

test("a delivery that waits for its turn is stored after two seconds, which ends its event; one that has started is not", async () => {
  for (const [at, id] of ["a", "b", "c"].entries()) accept(id, at + 1);
  index.start(0);
  await clock.advance(2_000);
  await storeWaiting();
  expect(stored).toEqual([]);
  await clock.advance(100);
  await storeWaiting();
  expect([stored, done, roomTaken]).toEqual([["b", "c"], ["b", "c"], 0]);
  await clock.advance(5_000);
  await storeWaiting();
  expect(stored).toHaveLength(2);
});

test("one that was to wait for a moment is stored, too, if it waits for longer", async () => {
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(aDelivery({ id: "a", eventSequence: 1 }), { message, done: () => void done.push("a") }, true, clock.now() + 5_000);
  await clock.advance(4_000);
  await storeWaiting();
  expect(stored).toEqual([]);
  await clock.advance(1_000);
  await storeWaiting();
  expect([stored, done]).toEqual([["a"], ["a"]]);
});

test("one that an earlier owner has done is not stored", async () => {
  isDone.add("a");
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(aDelivery({ id: "a", eventSequence: 1 }), { message, done: () => void done.push("a") }, true, 0);
  await clock.advance(3_000);
  await storeWaiting();
  expect([stored, done, roomTaken]).toEqual([[], ["a"], 0]);
});

test("one whose dead letter an earlier owner has stored, but not that it stops its key, stops it", async () => {
  isDone.add("a");
  deadLetterOf = 7;
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(aDelivery({ id: "a", eventSequence: 1 }), { message, done: () => void done.push("a") }, true, 0);
  await clock.advance(3_000);
  await storeWaiting();
  expect([stored, done, [...index.stopping].map(({ stop }) => stop.deadLetter)]).toEqual([["a"], ["a"], [7]]);
});

test("a stop that the full store refused is stored when there is room, also while it is not the first of its key, and takes none of the app's", async () => {
  isDone.add("b");
  deadLetterOf = 7;
  fault = new AppError("STREAM_REFUSED", "the store is full", { retryable: true });
  const message = { stream: "EVENTS", sequence: 2, isOurs: () => true } as never;
  index.accept(aDelivery({ id: "b", eventSequence: 2 }), { message, done: () => void done.push("b") }, true, 0);
  accept("a", 1);
  index.start(0);
  await clock.advance(3_000);
  await expect(storeWaiting()).rejects.toBe(fault);
  [fault, hasRoom] = [null, false];
  await storeWaiting();
  expect([stored, done, applied, [...index.stopping].map(({ stop }) => stop.deadLetter)]).toEqual([["b"], ["b"], [], [7]]);
});

test("a stop that is too large for the stream stops no key", async () => {
  isDone.add("a");
  deadLetterOf = 7;
  fault = new AppError("TOO_LARGE", "larger than max_msg_size");
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(aDelivery({ id: "a", eventSequence: 1 }), { message, done: () => void done.push("a") }, true, 0);
  await clock.advance(3_000);
  await storeWaiting();
  expect([stored, done, [...index.stopping]]).toEqual([[], ["a"], []]);
});

test("a delivery that is too large to be stored waits for its turn as an event", async () => {
  fault = new AppError("TOO_LARGE", "larger than max_msg_size");
  accept("a", 1);
  await clock.advance(3_000);
  await expect(storeWaiting()).rejects.toBe(fault);
  expect([stored, done, applied]).toEqual([[], [], []]);
});

test("one whose message is found while Redis is asked about its event is asked about again, and not lost", async () => {
  const answer = Promise.withResolvers<void>();
  answered = answer.promise;
  isDone.add("a");
  const one = aDelivery({ id: "a", eventSequence: 1 });
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(one, { message, done: () => void done.push("a") }, true, 0);
  await clock.advance(3_000);
  const storing = storeWaiting();
  const source = { stream: "PARKED", sequence: 5 };
  index.found({ delivery: { ...one, stores: 1 }, source, message, storedAt: 0, dueAt: null, blockedBy: undefined }, "i");
  answer.resolve();
  await storing;
  expect([done, removed, [...index.waiting()].length]).toEqual([[], [], 1]);
  await storeWaiting();
  expect([stored, done, removed]).toEqual([["a"], ["a"], [5]]);
});

test("what can't be stored waits for the next time", async () => {
  fault = new Error("down");
  accept("a", 1);
  await clock.advance(4_000);
  await expect(storeWaiting()).rejects.toThrow("down");
  expect([done, roomTaken]).toEqual([[], 0]);
  fault = null;
  await storeWaiting();
  expect([stored, done]).toEqual([["a"], ["a"]]);
});

test("while the stream refuses, the youngest tries for all: what is being stored can't be attempted", async () => {
  fault = new AppError("STREAM_REFUSED", "the store is full", { retryable: true });
  for (let n = 1; n <= 70; n++) accept(`d${n}`, n);
  await clock.advance(4_000);
  await expect(storeWaiting()).rejects.toBe(fault);
  expect(tried).toHaveLength(64);
  await expect(storeWaiting()).rejects.toBe(fault);
  expect(tried.slice(64)).toEqual(["d70"]);
  fault = null;
  await storeWaiting();
  await storeWaiting();
  expect(stored).toHaveLength(70);
});

test("without room for the app it goes to dead letters, and the order continues", async () => {
  hasRoom = false;
  accept("a", 1);
  await clock.advance(3_000);
  await storeWaiting();
  expect([applied, done, index.start(clock.now())]).toEqual([["a: overflow"], ["a"], null]);
});

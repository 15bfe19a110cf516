import { beforeEach, expect, test } from "vitest";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createWaitingStore } from "../../../src/subscribers/ordered/waiting-store.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
let index: OrderIndex;
let done: string[];
let stored: string[];
let applied: string[];
let hasRoom: boolean;
let isDown: boolean;
let roomTaken: number;

beforeEach(() => {
  clock = createManualClock();
  [done, stored, applied, hasRoom, isDown, roomTaken] = [[], [], [], true, false, 0];
  index = createOrderIndex({ remove: async () => {}, monotonicNow: clock.now, onMerged: () => {} }, "app");
  const store = createWaitingStore({
    app: "acme",
    index,
    entryStore: {
      sourceOf: () => ({ stream: "EVENTS", sequence: 1 }),
      async store(entry, delivery) {
        if (isDown) throw new Error("down");
        stored.push(delivery.id);
        index.stored(entry, delivery, stored.length);
      },
      async apply(_entry, disposition) {
        applied.push(`${disposition.delivery.id}: ${disposition.kind === "dead-letter" ? disposition.reason : disposition.kind}`);
        return 1;
      },
    },
    clock,
    monotonicNow: clock.now,
    logger: silentLogger,
    isActive: () => true,
    isPrepared: () => true,
    takeRoom() {
      if (!hasRoom) return null;
      roomTaken++;
      return () => {
        roomTaken--;
      };
    },
  });
  store.start();
});

const accept = (id: string, eventSequence: number): void =>
  index.accept(aDelivery({ id, eventSequence }), { message: {} as never, done: () => void done.push(id) }, false, 0);

test("a delivery that waits for its turn is stored after two seconds, which ends its event; one that has started is not", async () => {
  for (const [at, id] of ["a", "b", "c"].entries()) accept(id, at + 1);
  index.start(0);
  await clock.advance(1_900);
  expect(stored).toEqual([]);
  await clock.advance(700);
  expect([stored, done, roomTaken]).toEqual([["b", "c"], ["b", "c"], 0]);
  await clock.advance(5_000);
  expect(stored).toHaveLength(2);
});

test("what can't be stored waits for the next time", async () => {
  isDown = true;
  accept("a", 1);
  await clock.advance(4_000);
  expect([done, roomTaken]).toEqual([[], 0]);
  isDown = false;
  await clock.advance(1_000);
  expect([stored, done]).toEqual([["a"], ["a"]]);
});

test("without room for the app it goes to dead letters, and the order continues", async () => {
  hasRoom = false;
  accept("a", 1);
  await clock.advance(3_000);
  expect([applied, done, index.start(clock.now())]).toEqual([["a: overflow"], ["a"], null]);
});

import { beforeEach, expect, test } from "vitest";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createStoredQueues, type StoredQueues } from "../../../src/subscribers/ordered/stored-queues.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { aDelivery } from "../../support/builders.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let index: OrderIndex;
let queues: StoredQueues;
/** Sequences in the installation's queue. */
let stored: number[];
/** Answers that have not come yet. */
let answers: Array<() => void>;
let isDown: boolean;

beforeEach(() => {
  [stored, answers, isDown] = [[1], [], false];
  index = createOrderIndex({ remove: async () => {}, monotonicNow: () => 0, onMerged: () => {} }, "app");
  queues = createStoredQueues({
    app: "acme",
    index,
    backlog: {
      async *read(_queue, { from = 1 } = {}) {
        for (let at = from - 1; ; ) {
          if (isDown) throw new Error("down");
          const found = stored.find((sequence) => sequence > at);
          await new Promise<void>((resolve) => answers.push(resolve));
          if (found === undefined) return;
          at = found;
          yield parkedAt(found);
        }
      },
      at: async () => null,
      queuesOf: async () => new Map([["i", stored.length]]),
      remove: async () => {},
    },
    fence: createFence(1, 100),
    isFlowing: () => true,
    isActive: () => true,
    onRead() {},
    logger: silentLogger,
  });
  queues.noteUnread("i");
});

const parkedAt = (sequence: number): ParkedDelivery => ({
  delivery: aDelivery({ id: `d-${sequence}`, eventSequence: sequence }),
  dueAt: null,
  blockedBy: undefined,
  storedAt: 0,
  source: { stream: "PARKED", sequence },
  message: { subject: "", consumer: "", sequence, deliveries: 0, header: () => undefined },
});

const answer = async (): Promise<void> => {
  answers.shift()?.();
  await new Promise((resolve) => setImmediate(resolve));
};

test("a queue is unread until all of it is known", async () => {
  queues.readFlowing();
  await answer();
  expect([index.counts().get("i"), queues.isUnread("i")]).toEqual([1, true]);
  await answer();
  expect(queues.isUnread("i")).toBe(false);
});

test("what is stored after a queue was read to its end, and before the answer came, makes it unread again", async () => {
  queues.readFlowing();
  await answer();
  stored.push(2);
  queues.noteUnread("i");
  await answer();
  expect(queues.isUnread("i")).toBe(true);
  queues.readFlowing();
  for (let n = 0; n < 3; n++) await answer();
  expect([index.counts().get("i"), queues.isUnread("i")]).toEqual([2, false]);
});

test("a queue that can't be read stays unread", async () => {
  isDown = true;
  queues.readFlowing();
  await answer();
  expect(queues.isUnread("i")).toBe(true);
});

import { beforeEach, describe, expect, test } from "vitest";
import type { Delivery } from "../../../src/model/delivery.ts";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { aDelivery } from "../../support/builders.ts";

let index: OrderIndex;
/** The parked stream; a removal fails while it is down. */
let removed: number[];
let isDown: boolean;
let merged: Array<[dropped: number | null, kept: number | null]>;
let doneEvents: number[];

beforeEach(() => {
  [removed, isDown, merged, doneEvents] = [[], false, [], []];
  index = createOrderIndex(
    {
      remove: async ({ source }) => {
        if (isDown) throw new Error("down");
        removed.push(source.sequence);
      },
      monotonicNow: () => 0,
      onMerged: ({ eventSequence }, kept) => void merged.push([eventSequence, kept]),
    },
    "app",
  );
});

const delivery = (id: string, eventSequence: number, members: Partial<Delivery> = {}): Delivery =>
  aDelivery({ id, eventSequence, ...members });
const accept = (one: Delivery): void =>
  index.accept(one, { message: {} as never, done: () => void doneEvents.push(one.eventSequence ?? 0) }, false, 0);
const parked = (sequence: number, one: Delivery, dueAt: number | null = null): ParkedDelivery => ({
  delivery: one,
  dueAt,
  blockedBy: undefined,
  storedAt: 0,
  source: { stream: "PARKED", sequence },
  message: { subject: "", consumer: "", sequence, deliveries: 0, header: () => undefined },
});

const count = (installationUuid: string | null): number => index.counts().get(installationUuid) ?? 0;

/** Starts and ends everything that may start. */
async function drain(nowMs = 0): Promise<Array<{ id: string | undefined; sequences: number[] }>> {
  const found = [];
  for (let entry = index.start(nowMs); entry !== null; entry = index.start(nowMs)) {
    found.push({ id: entry.delivery?.id, sequences: [...entry.sequences] });
    index.leave(entry);
  }
  await Promise.resolve();
  return found;
}

describe("an order index", () => {
  test("starts deliveries of events and of the queue in the order of the events, one at a time", async () => {
    index.found(parked(7, delivery("c", 3)), null);
    accept(delivery("b", 2));
    index.found(parked(8, delivery("a", 1)), null);
    const first = index.start(0);
    expect([first?.delivery?.id, index.start(0)]).toEqual(["a", null]);
    if (first !== null) index.later(first, 0);
    expect((await drain()).map(({ id }) => id)).toEqual(["a", "b", "c"]);
    expect([removed, doneEvents]).toEqual([[8, 7], [2]]);
  });

  test("keeps a second message of an event as one with the first, and reports it", async () => {
    accept(delivery("a", 1));
    accept(delivery("a", 4));
    accept(delivery("a", 1));
    expect([merged, doneEvents]).toEqual([[[4, 1]], [4, 1]]);
    expect(await drain()).toHaveLength(1);
  });

  test("takes the message of the queue for the delivery, which knows more than its event", async () => {
    accept(delivery("a", 1));
    index.found(parked(9, delivery("a", 1, { stores: 1, attemptsMade: 2 }), 50), null);
    expect([doneEvents, merged, index.start(49)]).toEqual([[1], [], null]);
    expect(index.start(50)?.delivery?.attemptsMade).toBe(2);
  });

  test("takes the message that was stored last for the delivery, in whichever order they are found", async () => {
    for (const [first, second] of [
      [1, 2],
      [2, 1],
    ]) {
      index.found(parked(10 + (first ?? 0), delivery(`d${first}`, 1, { id: "a", stores: first ?? 0 })), null);
      index.found(parked(10 + (second ?? 0), delivery(`d${second}`, 1, { id: "a", stores: second ?? 0 })), null);
      expect(await drain()).toEqual([{ id: "a", sequences: [11, 12] }]);
    }
  });

  test("falls back to another message of the delivery when the one that stood for it is gone", () => {
    index.found(parked(11, delivery("a", 1)), null);
    index.found(parked(12, delivery("a", 1, { stores: 2 })), null);
    const entry = index.start(0);
    if (entry === null) throw new Error("nothing started");
    index.loaded(entry, null);
    expect([entry.sequences, count(null)]).toEqual([[11], 1]);
  });

  test("keeps the highest count when another message is found while its own is read", () => {
    index.found(parked(11, delivery("a", 1, { stores: 1 })), null);
    const entry = index.start(0);
    if (entry === null) throw new Error("nothing started");
    index.found(parked(12, delivery("a", 1, { stores: 2 })), null);
    index.loaded(entry, parked(11, delivery("a", 1, { stores: 1 })));
    expect(entry.delivery?.stores).toBe(2);
  });

  test("counts the messages of each queue until they are removed, and repeats a failed removal", async () => {
    const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    index.found(parked(1, delivery("a", 1)), null);
    index.found(parked(2, delivery("b", 2)), "i");
    index.found(parked(2, delivery("b", 2)), "i");
    isDown = true;
    await drain();
    await settled();
    expect([count(null), count("i"), removed]).toEqual([1, 1, []]);
    // What is being removed is not taken for new.
    index.found(parked(1, delivery("a", 1)), null);
    expect(index.start(0)).toBeNull();
    isDown = false;
    index.removeLeftovers();
    await settled();
    expect([count(null), count("i"), removed]).toEqual([0, 0, [1, 2]]);
  });

  test("that gets another key keeps what comes of events only, for the rest to be read again", async () => {
    accept(delivery("b", 2));
    index.found(parked(5, delivery("a", 1)), null);
    index.rekey("installation");
    expect([index.orderBy(), count(null)]).toEqual(["installation", 0]);
    index.found(parked(5, delivery("a", 1)), null);
    expect((await drain()).map(({ id }) => id)).toEqual(["a", "b"]);
  });

  test("that got another key ends no event for an entry that it had before", async () => {
    accept(delivery("a", 1));
    const [before] = index.waiting();
    index.rekey("installation");
    if (before !== undefined) index.leave(before);
    expect(doneEvents).toEqual([]);
    expect(await drain()).toHaveLength(1);
    expect(doneEvents).toEqual([1]);
  });
});

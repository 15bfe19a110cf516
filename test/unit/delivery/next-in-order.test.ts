import { beforeEach, expect, test } from "vitest";
import { createNextInOrder, type PlacesInOrder } from "../../../src/delivery/next-in-order.ts";
import type { ParkedDelivery } from "../../../src/delivery/ports.ts";
import type { OrderBy } from "../../../src/model/app.ts";
import { aDelivery, anApp, anEvent, anInstallation, UUID } from "../../support/builders.ts";

/** The queue of the installation, in the order in which it was stored. */
let queue: ParkedDelivery[];
let delivered: Set<string>;
/** Those whose dead letters stop their keys. */
let stopping: Set<string>;
let reads: string[];
let nextInOrder: ReturnType<typeof createNextInOrder>;
let isStopping: boolean;
let orderBy: OrderBy;
/** Keys of which the owner has an older delivery in hand. */
let heldKeys: Set<string>;
let hasOwner: boolean;
let questions: number;
let onQuestion: () => void;

/** @param name its key and its event's sequence, as in `a-1` */
function store(name: string): void {
  const [k = "", at = ""] = name.split("-");
  const event = anEvent({ id: name, dataJson: JSON.stringify({ k }) });
  const delivery = aDelivery({ id: name, app: "acme", installationUuid: UUID, event, eventSequence: Number(at) });
  queue.push({ delivery, source: { stream: "PARKED", sequence: (queue.at(-1)?.source.sequence ?? 0) + 1 } });
}

beforeEach(() => {
  queue = [];
  delivered = new Set();
  stopping = new Set();
  heldKeys = new Set();
  hasOwner = true;
  questions = 0;
  onQuestion = () => {};
  reads = [];
  isStopping = false;
  orderBy = "/k";
  nextInOrder = createNextInOrder({
    registry: { app: () => anApp({ orderBy }), installation: () => anInstallation({ status: "broken" }) },
    isStopping: () => isStopping,
    async *readParked(_queue, after) {
      for (const one of queue.filter(({ source }) => source.sequence > after)) {
        reads.push(one.delivery.id);
        yield one;
      }
    },
    parkedAt: async (sequence) => queue.find(({ source }) => source.sequence === sequence) ?? null,
    async firstInOrder({ places }: PlacesInOrder) {
      questions++;
      onQuestion();
      if (!hasOwner) return null;
      const first = places.findIndex(({ key }) => !heldKeys.has(key));
      return { first: first === -1 ? null : first };
    },
    skipDelivered: async ({ id }) => delivered.has(id),
    async removeDone(parked) {
      queue = queue.filter((one) => one !== parked);
      return stopping.has(parked.delivery.id);
    },
  });
});

const next = async (): Promise<string | null> => (await nextInOrder({ app: "acme", installationUuid: UUID }))?.delivery.id ?? null;

test("it is the oldest by its event, though younger ones of its key are stored before it and the owner knows none of them", async () => {
  for (const name of ["a-2", "a-3", "a-1"]) store(name);
  expect(await next()).toBe("a-1");
});

test("it is not one that gets an older one of its key while the owner answers", async () => {
  for (const name of ["a-2", "b-3"]) store(name);
  onQuestion = () => {
    if (questions === 1) store("a-1");
  };
  expect(await next()).toBe("a-1");
});

test("deliveries that keep coming don't keep it from being found", async () => {
  store("a-1");
  onQuestion = () => store(`a-${questions + 1}`);
  expect([await next(), questions]).toEqual(["a-1", 1]);
});

test("it is found behind however many of stopped keys, with a few questions", async () => {
  for (let at = 1; at <= 600; at++) store(`held${at}-${at}`);
  for (let at = 601; at <= 700; at++) store(`held1-${at}`);
  store("b-701");
  for (let at = 1; at <= 600; at++) heldKeys.add(`${UUID} held${at}`);
  expect([await next(), questions]).toEqual([`b-701`, 3]);
});

test("it is null when older ones of every key are in hand, and at once when no owner answers", async () => {
  for (let at = 1; at <= 600; at++) store(`held${at}-${at}`);
  for (let at = 1; at <= 600; at++) heldKeys.add(`${UUID} held${at}`);
  expect([await next(), questions]).toEqual([null, 3]);
  hasOwner = false;
  expect([await next(), questions]).toEqual([null, 4]);
});

test("it is not one that was delivered, which leaves the queue", async () => {
  for (const name of ["a-1", "a-2"]) store(name);
  delivered.add("a-1");
  expect([await next(), queue.map(({ delivery }) => delivery.id)]).toEqual(["a-2", ["a-2"]]);
});

test("it is not one behind a dead letter whose stop was not stored before its process died", async () => {
  for (const name of ["a-1", "a-2", "b-3"]) store(name);
  delivered.add("a-1");
  stopping.add("a-1");
  expect(await next()).toBe("b-3");
});

test("it is not one that was taken from the queue meanwhile", async () => {
  for (const name of ["a-1", "a-2"]) store(name);
  onQuestion = () => {
    if (questions === 1) queue.shift();
  };
  expect(await next()).toBe("a-2");
});

test("while none may be attempted, a look reads only what is new", async () => {
  for (const name of ["a-1", "a-2"]) store(name);
  heldKeys.add(`${UUID} a`);
  expect([await next(), await next()]).toEqual([null, null]);
  store("a-3");
  expect([await next(), reads]).toEqual([null, ["a-1", "a-2", "a-3"]]);
  store("b-4");
  expect([await next(), reads.at(-1)]).toEqual(["b-4", "b-4"]);
  expect(reads).toHaveLength(4);
});

test("the whole queue is read again once something that was read before is gone", async () => {
  for (let at = 1; at <= 100; at++) store(`a-${at}`);
  heldKeys.add(`${UUID} a`);
  expect(await next()).toBe(null);
  queue.splice(0, 99);
  heldKeys.clear();
  expect([await next(), questions, reads.length]).toEqual(["a-100", 3, 101]);
});

test("what was read for another order is read again", async () => {
  for (const name of ["a-1", "a-2"]) store(name);
  hasOwner = false;
  expect(await next()).toBe(null);
  hasOwner = true;
  orderBy = "/other";
  expect([await next(), reads]).toEqual(["a-1", ["a-1", "a-2", "a-1", "a-2"]]);
});

test("a stop ends the reading", async () => {
  for (const name of ["a-1", "a-2", "a-3"]) store(name);
  isStopping = true;
  expect([await next(), reads, questions]).toEqual([null, ["a-1"], 0]);
});

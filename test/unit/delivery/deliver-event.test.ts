import { expect, test } from "vitest";
import { createDeliverEvent } from "../../../src/delivery/deliver-event.ts";
import type { Dispatcher } from "../../../src/delivery/dispatcher.ts";
import { createInFlight } from "../../../src/delivery/in-flight.ts";
import { createSkipDelivered } from "../../../src/delivery/skip-delivered.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { aDelivery } from "../../support/builders.ts";

const trace = { traceId: "t", spanId: "s", traceparent: "p", tracestate: null };
const source = (sequence: number) => ({ stream: "EVENTS", sequence });
const turn = () => new Promise((resolve) => setImmediate(resolve));

function world() {
  const dispatched: Array<{ readonly delivery: Delivery; end(isDelivered: boolean): void }> = [];
  const deliveredFor = new Map<string, number | null>();
  const skips: string[] = [];
  const dispatcher: Pick<Dispatcher, "dispatch"> = {
    dispatch: (delivery) =>
      new Promise((resolve) => {
        const end = (isDelivered: boolean): void => {
          if (isDelivered) deliveredFor.set(delivery.id, delivery.eventSequence);
          resolve();
        };
        dispatched.push({ delivery, end });
      }),
  };
  const log = {
    lookUps: 0,
    async findDelivered({ id }: Delivery) {
      log.lookUps++;
      const eventSequence = deliveredFor.get(id);
      return eventSequence === undefined ? null : { eventSequence };
    },
    isHandedOver: async () => false,
    skipped: () => {},
  };
  const observer = {
    skipped: ({ eventSequence }: Delivery, delivered: { eventSequence: number | null } | null) =>
      void skips.push(`${eventSequence} for ${delivered?.eventSequence}`),
  };
  const deliverEvent = createDeliverEvent({
    dispatcher: dispatcher as Dispatcher,
    inFlight: createInFlight(),
    skipDelivered: createSkipDelivered({ log, observer }),
  });
  const deliver = (eventSequence: number, mayBeDone = false, id = aDelivery().id) =>
    deliverEvent([aDelivery({ id, eventSequence })], trace, source(eventSequence), mayBeDone);
  return { deliver, dispatched, skips, log };
}

test("a delivery that is the only one of its key begins at once, and nothing is looked up", async () => {
  const { deliver, dispatched, log } = world();
  const done = deliver(1);
  expect(dispatched).toHaveLength(1);
  dispatched[0]?.end(true);
  await done;
  expect(log.lookUps).toBe(0);
});

test("a second message waits for the first, and is skipped when that was delivered", async () => {
  const { deliver, dispatched, skips } = world();
  const both = [deliver(1), deliver(2)];
  await turn();
  expect(dispatched).toHaveLength(1);
  dispatched[0]?.end(true);
  await Promise.all(both);
  expect([dispatched.length, skips]).toEqual([1, ["2 for 1"]]);
});

test("a second message is handled when the first was not delivered, and a third waits for the second", async () => {
  const { deliver, dispatched, skips } = world();
  const all = [deliver(1), deliver(2), deliver(3)];
  await turn();
  dispatched[0]?.end(false);
  await turn();
  expect(dispatched.map(({ delivery }) => delivery.eventSequence)).toEqual([1, 2]);
  dispatched[1]?.end(true);
  await Promise.all(all);
  expect([dispatched.length, skips]).toEqual([2, ["3 for 2"]]);
});

test("what may have been done is looked up first", async () => {
  const { deliver, dispatched, skips } = world();
  const first = deliver(1);
  dispatched[0]?.end(true);
  await first;
  await deliver(1, true);
  expect([dispatched.length, skips]).toEqual([1, ["1 for 1"]]);
});

test("a second message of an event that was handled a while ago is looked up, and others are not", async () => {
  const { deliver, dispatched, skips, log } = world();
  for (const sequence of [1, 2]) {
    const handled = deliver(sequence, false, `dlv_${String(sequence).repeat(32)}`);
    dispatched[sequence - 1]?.end(true);
    await handled;
  }
  expect(log.lookUps).toBe(0);
  await deliver(3, false, `dlv_${"1".repeat(32)}`);
  expect([dispatched.length, skips]).toEqual([2, ["3 for 1"]]);
});

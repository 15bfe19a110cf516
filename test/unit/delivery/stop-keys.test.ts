import { beforeEach, expect, test } from "vitest";
import { createStopKeys } from "../../../src/delivery/stop-keys.ts";
import type { App } from "../../../src/model/app.ts";
import { STOPS } from "../../../src/model/key-stop.ts";
import { aDelivery, anApp } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const clock = createManualClock();
const source = { stream: "PARKED", sequence: 5 };
const delivery = aDelivery({ app: "acme", stores: 2 });

let app: App;
let deadLetter: number | null;
let stored: unknown[];
let woken: unknown[];

beforeEach(() => {
  app = anApp({ orderBy: "/k", onExhausted: "stop" });
  deadLetter = 7;
  stored = [];
  woken = [];
});

const stopKeys = createStopKeys({
  registry: { app: () => app },
  streams: {
    async park({ stores }, queue, dueAt, from, _trace, blockedBy) {
      stored.push({ stores, queue, dueAt, from, blockedBy });
      return { subject: "", messageId: "", sequence: 6, isDuplicate: false };
    },
  },
  onParked: (queue) => void woken.push(queue),
  deadLetterOf: async () => deadLetter,
  clock,
});

test("the stop is beside the app's deliveries, and was stored once more than its dead letter", async () => {
  await stopKeys.givenUp(delivery, 7, source);
  const stops = { app: "acme", installationUuid: STOPS };
  const blockedBy = { deadLetter: 7, orderBy: "/k", since: clock.now() };
  // The streams add one for the message itself.
  expect(stored).toEqual([{ stores: 3, queue: stops, dueAt: null, from: source, blockedBy }]);
  expect(woken).toEqual([stops]);
});

test("nothing stops in an app that continues, or has no order", async () => {
  for (const other of [anApp({ orderBy: "/k", onExhausted: "continue" }), anApp({ orderBy: "none", onExhausted: "stop" })]) {
    app = other;
    await stopKeys.givenUp(delivery, 7, source);
    expect(await stopKeys.done(delivery, source)).toBe(false);
  }
  expect(stored).toEqual([]);
});

test("one that was done before stops its key if it has a dead letter that does", async () => {
  expect([await stopKeys.done(delivery, source), stored.length]).toEqual([true, 1]);
  deadLetter = null;
  expect([await stopKeys.done(delivery, source), stored.length]).toEqual([false, 1]);
});

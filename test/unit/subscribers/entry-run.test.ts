import { beforeEach, expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import type { BlockedBy } from "../../../src/model/delivery-message.ts";
import { createEntryRun, type EntryRunDependencies } from "../../../src/subscribers/ordered/entry-run.ts";
import { createEntryStore, type EntryStore } from "../../../src/subscribers/ordered/entry-store.ts";
import { createKeyStops } from "../../../src/subscribers/ordered/key-stops.ts";
import { createOrderIndex, type OrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { aDelivery, anApp, anInstallation, UUID } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
let calls: string[];
let index: OrderIndex;
let attemptParked: EntryRunDependencies["attemptParked"];
/** Stores a delivery. @returns its sequence */
let park: () => Promise<number>;
let entryStore: EntryStore;
let runNext: () => Promise<void>;
/** The dead letter of the delivery. */
let deadLetterOf: number | null;

const delivery = aDelivery({ eventSequence: 1, installationUuid: UUID });

beforeEach(() => {
  clock = createManualClock();
  calls = [];
  deadLetterOf = null;
  index = createOrderIndex(
    { remove: async ({ source }) => void calls.push(`remove ${source.sequence}`), monotonicNow: clock.now, onMerged() {} },
    "app",
  );
  attemptParked = async ({ delivery }) => {
    calls.push("attempt");
    return { kind: "dead-letter", delivery, record: null, reason: "exhausted", error: null };
  };
  const ports = {
    ...{ app: "acme", index, clock, monotonicNow: clock.now, logger: silentLogger, fence: createFence(1, 0), parkedStream: "PARKED" },
    ...{ isOwner: () => true, isRunning: () => true, mayStore: () => true, isFlowing: () => true, takeRoom: () => () => {} },
    ...{ observer: { stored() {}, skipped() {} }, log: { skipped() {} }, poisonLimit: { attempt: () => null }, maxInFlightOf: () => 1 },
    ...{
      skipDelivered: async () => false,
      isDeadLetter: async () => true,
      deadLetterOf: async () => deadLetterOf,
      deadLettersState: async () => ({ removed: 0, first: 1 }),
      isReadBefore: async () => true,
      onCircuitOpen() {},
    },
    registry: { app: () => anApp({ onExhausted: "stop" }), installation: () => anInstallation() },
    backlog: { at: async () => null, async *read() {}, queuesOf: async () => new Map(), remove: async () => {} },
    attemptParked: ((...given) => attemptParked(...given)) as typeof attemptParked,
    dispatcher: {
      async apply() {
        calls.push("dead letter");
        return 7;
      },
      park: async () => {},
    },
    streams: {
      async park(...[, , , , , blockedBy]: readonly unknown[]) {
        calls.push(`park ${(blockedBy as BlockedBy | undefined)?.deadLetter}`);
        return { sequence: await park() } as never;
      },
    },
    queues: { isUnread: () => false, readFlowing() {}, move: async () => true } as never,
  };
  const keyStops = createKeyStops({ ...ports, queues: { readNew: async () => {} } });
  entryStore = createEntryStore({ ...ports, keyStops });
  const run = createEntryRun({ ...ports, entryStore });
  runNext = async () => {
    const entry = index.start(clock.now());
    if (entry !== null) await run(entry);
  };
});

const accept = (mayBeDone: boolean): void => {
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(delivery, { message, done: () => void calls.push("done") }, mayBeDone, 0);
};
const find = (sequence: number, members: Partial<Delivery>, installationUuid: string | null): void => {
  const source = { stream: "PARKED", sequence };
  const message = {} as never;
  index.found({ delivery: { ...delivery, ...members }, source, message, storedAt: 0, dueAt: null, blockedBy: undefined }, installationUuid);
};

test("a delivery whose dead letter stops its key is attempted once, however long there is no room to store that", async () => {
  let isFull = true;
  park = async () => {
    if (isFull) throw new AppError("STORE_FULL", "full", { retryable: true });
    return 1;
  };
  accept(false);
  await runNext();
  await clock.advance(1_000);
  await runNext();
  await clock.advance(2_000);
  await expect(entryStore.storeWaiting()).rejects.toThrow("full");
  isFull = false;
  await clock.advance(1_000);
  await runNext();
  await clock.advance(60_000);
  await runNext();
  expect(calls).toEqual(["attempt", "dead letter", "park 7", "park 7", "park 7", "park 7", "done"]);
  expect([...index.stopping].map(({ stop }) => stop)).toMatchObject([{ deadLetter: 7, orderBy: "app", deliveryId: delivery.id }]);
});

test("a delivery that is in dead letters already, without its stop, stops its key", async () => {
  attemptParked = async () => "skipped";
  park = async () => 1;
  deadLetterOf = 7;
  accept(true);
  await runNext();
  expect([calls, [...index.stopping].map(({ stop }) => stop?.deadLetter)]).toEqual([["park 7", "done"], [7]]);
});

test("a delivery whose message is found while Redis is asked about its event is asked about again, and not lost", async () => {
  const answer = Promise.withResolvers<void>();
  attemptParked = async ({ delivery }) => {
    await answer.promise;
    calls.push(`asked about store ${delivery.stores}`);
    return "skipped";
  };
  accept(true);
  const running = runNext();
  await clock.advance(1);
  find(5, { stores: 1 }, UUID);
  answer.resolve();
  await running;
  expect(calls).toEqual(["asked about store 0"]);
  await runNext();
  expect(calls).toEqual(["asked about store 0", "asked about store 1", "done", "remove 5"]);
});

test("a delivery that is sent again while it is stored to stop its key comes before what it stops", async () => {
  const answer = Promise.withResolvers<number>();
  park = () => answer.promise;
  accept(false);
  const running = runNext();
  await clock.advance(1);
  find(98, { replay: "rpl_1" }, null);
  answer.resolve(99);
  await running;
  find(100, { id: "younger", eventSequence: 2 }, null);
  expect(index.start(clock.now())?.sequences).toEqual([98]);
  expect(index.start(clock.now())).toBe(null);
});

import { expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import { createEntryRun } from "../../../src/subscribers/ordered/entry-run.ts";
import { createEntryStore } from "../../../src/subscribers/ordered/entry-store.ts";
import { createOrderIndex } from "../../../src/subscribers/ordered/order-index.ts";
import { createFence } from "../../../src/subscribers/parked/fence.ts";
import { aDelivery, anApp } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

test("a delivery whose dead letter stops its key is attempted once, however long there is no room to store that", async () => {
  const clock = createManualClock();
  const calls: string[] = [];
  let isFull = true;
  const index = createOrderIndex({ remove: async () => {}, monotonicNow: clock.now, onMerged: () => {} }, "app");
  const ports = {
    ...{ app: "acme", index, clock, monotonicNow: clock.now, logger: silentLogger, fence: createFence(1, 0), parkedStream: "PARKED" },
    ...{
      isOwner: () => true,
      isRunning: () => true,
      mayStore: () => true,
      skipDelivered: async () => false,
      isFlowing: () => true,
      takeRoom: () => () => {},
    },
    ...{ observer: { stored() {}, skipped() {} }, log: { skipped() {} }, poisonLimit: { handOut: () => null }, appMaxInFlight: 1 },
    ...{
      registry: { app: () => anApp({ onExhausted: "stop" }) },
      isDeadLetter: async () => true,
      isReadBefore: async () => true,
      onCircuitOpen() {},
    },
    backlog: { at: async () => null, after: async () => null, queuesOf: async () => new Map(), remove: async () => {} },
    attemptParked: async ({ delivery }: { delivery: ReturnType<typeof aDelivery> }) => {
      calls.push("attempt");
      return { kind: "dead-letter" as const, delivery, record: null, reason: "exhausted" as const, error: null };
    },
    dispatcher: {
      async apply() {
        calls.push("dead letter");
        return 7;
      },
      park: async () => {},
    },
    streams: {
      async park(...[, , , , , blockedBy]: readonly unknown[]) {
        calls.push(`park ${blockedBy}`);
        if (isFull) throw new AppError("STORE_FULL", "full", { retryable: true });
        return { sequence: 1 } as never;
      },
    },
    queues: { isUnread: () => false, readFlowing() {}, move: async () => true } as never,
  };
  const entryStore = createEntryStore(ports);
  const run = createEntryRun({ ...ports, entryStore });
  const message = { stream: "EVENTS", sequence: 1, isOurs: () => true } as never;
  index.accept(aDelivery({ eventSequence: 1 }), { message, done: () => void calls.push("done") }, false, 0);
  const runNext = async (): Promise<void> => {
    const entry = index.start(clock.now());
    if (entry !== null) await run(entry);
  };
  await runNext();
  await clock.advance(1_000);
  await runNext();
  await clock.advance(2_000);
  await entryStore.storeWaiting();
  isFull = false;
  await clock.advance(1_000);
  await runNext();
  await clock.advance(60_000);
  await runNext();
  expect(calls).toEqual(["attempt", "dead letter", "park 7", "park 7", "park 7", "done"]);
  expect(index.blocked().map(({ blockedBy }) => blockedBy)).toEqual([7]);
});

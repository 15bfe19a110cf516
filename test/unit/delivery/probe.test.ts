import { beforeEach, expect, test } from "vitest";
import type { Attempt, Verdict } from "../../../src/delivery/attempt.ts";
import { createBulkhead } from "../../../src/delivery/bulkhead.ts";
import type { ParkedDelivery } from "../../../src/delivery/ports.ts";
import { createNextProbe, type NextProbe } from "../../../src/delivery/probe.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anInstallation } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const installation = anInstallation({ status: "broken" });

let parked: ParkedDelivery[];
let attempted: string[];
let delivered: Set<string>;
let verdictOf: (delivery: Delivery) => Partial<Verdict>;
let nextProbe: NextProbe;
let circuitOpen: boolean;
let broken: boolean;

const attempt: Attempt = async (delivery) => {
  attempted.push(delivery.id);
  return { delivery, record: null, ...verdictOf(delivery) } as Verdict;
};

beforeEach(() => {
  parked = ["one", "two", "three"].map((id, at) => ({
    source: { stream: "PARKED", sequence: 10 + at },
    delivery: aDelivery({ id }),
  }));
  attempted = [];
  delivered = new Set();
  verdictOf = () => ({ kind: "delivered" });
  circuitOpen = false;
  broken = true;
  nextProbe = createNextProbe({
    queueBusy: () => parked.length > 0,
    parkedAfter: async (_queue, sequence) => parked.find(({ source }) => source.sequence > sequence) ?? null,
    removeParked: async (gone) => {
      parked = parked.filter((one) => one !== gone);
    },
    isBroken: () => broken,
    circuitOpen: () => circuitOpen,
    attempt,
    bulkhead: createBulkhead(createManualClock(), { maxInFlight: 8, maxPerDestination: 100, maxWaitMs: 500 }),
    destinationOf: () => "destination",
    log: { record: () => {}, wasDelivered: async (_app, mark) => delivered.has(mark) },
    observer: { attempted: () => {}, stored: () => {}, skipped: () => {} },
    tracing: createTracing(null),
  });
});

const probe = async () => (await nextProbe(installation))?.();
const waiting = () => parked.map(({ delivery }) => delivery.id);

test("attempts the oldest delivery, and takes it out of its queue when it was delivered", async () => {
  expect([await probe(), attempted, waiting()]).toEqual(["delivered", ["one"], ["two", "three"]]);
});

test("waits for the app's circuit", async () => {
  circuitOpen = true;
  expect([await nextProbe(installation), attempted]).toEqual([null, []]);
  circuitOpen = false;
  expect([await probe(), attempted]).toEqual(["delivered", ["one"]]);
});

test("attempts nothing when a person has stopped the installation meanwhile", async () => {
  const claimed = await nextProbe(installation);
  broken = false;
  expect([await claimed?.(), attempted, waiting().length]).toEqual(["held", [], 3]);
});

test("leaves it where it is when it failed, and takes the same one next time", async () => {
  verdictOf = () => ({ kind: "retry", delay: { dueAt: 0, delayMs: 0, floor: false } });
  expect([await probe(), await probe(), attempted, waiting().length]).toEqual(["failed", "failed", ["one", "one"], 3]);
});

test("takes the one behind it after a refusal for good, and begins anew behind the last", async () => {
  verdictOf = ({ id }) => (id === "three" ? { kind: "delivered" } : { kind: "dead-letter", reason: "rejected" });
  expect([await probe(), await probe(), await probe(), attempted]).toEqual(["failed", "failed", "delivered", ["one", "two", "three"]]);
  expect(waiting()).toEqual(["one", "two"]);
  verdictOf = () => ({ kind: "dead-letter", reason: "rejected" });
  for (let i = 0; i < 3; i++) await probe();
  expect(attempted.slice(3)).toEqual(["one", "two", "one"]);
});

test("skips what was delivered before and not taken out", async () => {
  delivered.add("one");
  expect([await probe(), attempted, waiting()]).toEqual(["delivered", ["two"], ["three"]]);
});

test("is none when nothing waits", async () => {
  parked = [];
  expect(await nextProbe(installation)).toBeNull();
});

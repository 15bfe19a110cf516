import { beforeEach, expect, test } from "vitest";
import type { Attempt } from "../../../src/delivery/attempt.ts";
import type { Disposition } from "../../../src/delivery/disposition.ts";
import { createInFlight } from "../../../src/delivery/in-flight.ts";
import { createBulkhead } from "../../../src/delivery/limits/bulkhead.ts";
import type { ParkedDelivery } from "../../../src/delivery/ports.ts";
import { createRecoveryProbe, type RecoveryProbe } from "../../../src/delivery/recovery-probe.ts";
import type { Delivery } from "../../../src/model/delivery.ts";
import { createTracing } from "../../../src/telemetry/tracing.ts";
import { aDelivery, anApp, anAttempt, anInstallation } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";

const installation = anInstallation({ status: "broken" });

let parked: ParkedDelivery[];
let attempted: string[];
let delivered: Set<string>;
let dispositionOf: (delivery: Delivery) => Partial<Disposition>;
let probes: RecoveryProbe;
let ordered: boolean;
let applied: string[];
let stops: string[];
/** Sequence of the delivery that was handed out too often. */
let poison: string;
let survived: string[];
let circuitOpen: boolean;
let broken: boolean;

const attempt: Attempt = async (delivery) => {
  attempted.push(delivery.id);
  return { delivery, record: null, ...dispositionOf(delivery) } as Disposition;
};

beforeEach(() => {
  parked = ["one", "two", "three"].map((id, at) => ({
    source: { stream: "PARKED", sequence: 10 + at },
    delivery: aDelivery({ id }),
  }));
  attempted = [];
  delivered = new Set();
  dispositionOf = () => ({ kind: "delivered" });
  circuitOpen = false;
  broken = true;
  ordered = false;
  applied = [];
  stops = [];
  poison = "";
  survived = [];
  probes = createRecoveryProbe({
    registry: { app: () => anApp({ orderBy: ordered ? "app" : "none" }) },
    dispatcher: {
      async apply({ kind, delivery }) {
        applied.push(`${delivery.id}: ${kind}`);
        return 7;
      },
    },
    queueBusy: () => parked.length > 0,
    parkedAfter: async (_queue, sequence) => parked.find(({ source }) => source.sequence > sequence) ?? null,
    nextInOrder: async () => parked[0] ?? null,
    onGivenUp: async ({ id }, deadLetter) => void stops.push(`${id}: ${deadLetter}`),
    removeParked: async (gone) => {
      parked = parked.filter((one) => one !== gone);
    },
    isBroken: () => broken,
    circuitOpen: () => circuitOpen,
    attempt,
    turns: { take: () => "granted" },
    bulkhead: createBulkhead(createManualClock(), { maxInFlight: 8, maxPerDestination: 100, maxWaitMs: 500 }),
    destinationOf: () => "destination",
    inFlight: createInFlight(),
    skipDelivered: async ({ id }) => delivered.has(id),
    handOut: ({ id }) => ({
      begin: async () => (id === poison ? "it kills the process" : null),
      giveBack() {},
      end: () => void survived.push(id),
    }),
    tracing: createTracing(null),
  });
});

const probe = async () => (await probes.prepare(installation))?.();
const waiting = () => parked.map(({ delivery }) => delivery.id);

test("gives up a delivery that kills the process each time, without an attempt, and the next probe takes the one after it", async () => {
  poison = "one";
  expect([await probe(), attempted, applied, waiting()]).toEqual(["failed", [], ["one: dead-letter"], ["two", "three"]]);
  expect([await probe(), attempted, survived]).toEqual(["delivered", ["two"], ["one", "two"]]);
});

test("attempts the oldest delivery, and takes it out of its queue when it was delivered", async () => {
  expect([await probe(), attempted, waiting()]).toEqual(["delivered", ["one"], ["two", "three"]]);
});

test("can be made when something waits and the app's circuit lets it go", () => {
  expect(probes.isPossible(installation)).toBe(true);
  circuitOpen = true;
  expect(probes.isPossible(installation)).toBe(false);
  circuitOpen = false;
  parked = [];
  expect(probes.isPossible(installation)).toBe(false);
});

test("attempts nothing when a person has stopped the installation meanwhile", async () => {
  const claimed = await probes.prepare(installation);
  broken = false;
  expect([await claimed?.(), attempted, waiting().length]).toEqual(["deferred", [], 3]);
});

test("leaves it where it is when it failed, and takes the same one next time", async () => {
  dispositionOf = () => ({ kind: "retry", delay: { dueAt: 0, delayMs: 0, notBefore: false } });
  expect([await probe(), await probe(), attempted, waiting().length]).toEqual(["failed", "failed", ["one", "one"], 3]);
});

test("takes the one behind it after a refusal for good, and begins anew behind the last", async () => {
  dispositionOf = ({ id }) => (id === "three" ? { kind: "delivered" } : { kind: "dead-letter", reason: "rejected" });
  expect([await probe(), await probe(), await probe(), attempted]).toEqual(["failed", "failed", "delivered", ["one", "two", "three"]]);
  expect(waiting()).toEqual(["one", "two"]);
  dispositionOf = () => ({ kind: "dead-letter", reason: "rejected" });
  for (let i = 0; i < 3; i++) await probe();
  expect(attempted.slice(3)).toEqual(["one", "two", "one"]);
});

test("takes the one behind it after a refusal of the endpoint, which may be meant for this delivery, too", async () => {
  const refused = anAttempt({ outcome: "rejected", responseCode: 404 });
  dispositionOf = () => ({ kind: "retry", record: refused, delay: { dueAt: 0, delayMs: 0, notBefore: false } });
  expect([await probe(), await probe(), attempted]).toEqual(["failed", "failed", ["one", "two"]]);
  ordered = true;
  attempted = [];
  expect([await probe(), await probe(), attempted, applied]).toEqual(["failed", "failed", ["one", "one"], []]);
});

test("of an ordered app gives up what is refused for good: nothing is delivered before it", async () => {
  ordered = true;
  dispositionOf = ({ id }) => (id === "one" ? { kind: "dead-letter", reason: "rejected" } : { kind: "delivered" });
  expect([await probe(), applied, waiting()]).toEqual(["failed", ["one: dead-letter"], ["two", "three"]]);
  expect([await probe(), applied.length, attempted]).toEqual(["delivered", 1, ["one", "two"]]);
  expect(stops).toEqual(["one: 7"]);
});

test("skips what was delivered before and not taken out", async () => {
  delivered.add("one");
  expect([await probe(), attempted, waiting()]).toEqual(["delivered", ["two"], ["three"]]);
});

test("is none when nothing waits", async () => {
  parked = [];
  expect(await probes.prepare(installation)).toBeNull();
});

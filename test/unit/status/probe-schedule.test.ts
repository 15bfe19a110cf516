import { beforeEach, expect, test } from "vitest";
import { createProbeSchedule, type Probe, type ProbeSchedule } from "../../../src/status/probe-schedule.ts";
import { anInstallation } from "../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const HOUR_MS = 3_600_000;

let clock: ManualClock;
let probeSchedule: ProbeSchedule;
/** Installation → what its next probe does; not there: nothing is parked. */
let probes: Map<string, Probe>;
let probed: string[];
let recovered: string[];
let claimed: Set<string>;
let recoveryFails: boolean;
let mayAttempt: boolean;
let looks: number;
let lookEnds: Promise<void>;

beforeEach(() => {
  clock = createManualClock();
  probes = new Map();
  probed = [];
  recovered = [];
  claimed = new Set();
  recoveryFails = false;
  mayAttempt = true;
  looks = 0;
  lookEnds = Promise.resolve();
  probeSchedule = createProbeSchedule(
    {
      installation: (uuid) => anInstallation({ uuid, status: "broken" }),
      status: {
        async claimRecoveryProbe(uuid) {
          if (claimed.has(uuid)) return false;
          probeSchedule.update(uuid, clock.now());
          return true;
        },
        async recover(uuid) {
          if (recoveryFails) throw new Error("NATS is away");
          recovered.push(uuid);
          probeSchedule.update(uuid, null);
          return true;
        },
      },
      isProbePossible: ({ uuid }) => probes.has(uuid),
      async prepareProbe({ uuid }) {
        const probe = probes.get(uuid);
        looks++;
        await lookEnds;
        if (probe === undefined || !mayAttempt) return null;
        return () => {
          probed.push(uuid);
          return probe();
        };
      },
      clock,
      logger: silentLogger,
    },
    { intervalMs: HOUR_MS },
  );
  probeSchedule.start();
});

test("a broken integration is probed once an hour until a probe is delivered, and then it has recovered", async () => {
  let succeeds = false;
  probes.set("a", async () => (succeeds ? "delivered" : "failed"));
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS - 1);
  expect(probed).toEqual([]);
  await clock.advance(3 * HOUR_MS);
  expect(probed).toHaveLength(3);
  succeeds = true;
  await clock.advance(HOUR_MS + 10_000);
  await clock.advance(24 * HOUR_MS);
  expect([probed.length, recovered]).toEqual([4, ["a"]]);
});

test("one without anything parked is probed as soon as something is, if its hour is over", async () => {
  probeSchedule.update("a", clock.now());
  await clock.advance(5 * HOUR_MS);
  probes.set("a", async () => "failed");
  await clock.advance(5_000);
  expect(probed).toEqual(["a"]);
});

test("a queue without anything that may be attempted is looked at ever more rarely", async () => {
  probes.set("a", async () => "failed");
  mayAttempt = false;
  probeSchedule.update("a", clock.now());
  await clock.advance(2 * HOUR_MS);
  expect(looks).toBeGreaterThan(3);
  expect(looks).toBeLessThan(70);
  mayAttempt = true;
  await clock.advance(HOUR_MS);
  expect(probed).toEqual(["a"]);
});

test.each([
  ["a dead letter is removed", null],
  ["something is parked for it", "a"],
])("a queue without anything that may be attempted is looked at soon after %s", async (_when, uuid) => {
  probes.set("a", async () => "failed");
  mayAttempt = false;
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS + 300_000);
  const looksBefore = looks;
  while (looks === looksBefore) await clock.advance(1_000);
  mayAttempt = true;
  await clock.advance(5_000);
  expect(probed).toEqual([]);
  probeSchedule.lookSoon("another");
  await clock.advance(5_000);
  expect(probed).toEqual([]);
  probeSchedule.lookSoon(uuid);
  await clock.advance(5_000);
  expect(probed).toEqual(["a"]);
});

test("a look that ends after the stop claims no probe", async () => {
  probes.set("a", async () => "failed");
  probeSchedule.update("a", clock.now());
  let found = (): void => {};
  lookEnds = new Promise((resolve) => (found = resolve));
  await clock.advance(HOUR_MS + 5_000);
  const stopped = probeSchedule.stop();
  found();
  await stopped;
  expect([looks, probed]).toEqual([1, []]);
});

test("a probe belongs to the replica that claimed it", async () => {
  probes.set("a", async () => "delivered");
  claimed.add("a");
  probeSchedule.update("a", clock.now());
  await clock.advance(2 * HOUR_MS);
  expect([probed, recovered]).toEqual([[], []]);
});

test("receivers that hang do not keep the probes of others waiting", async () => {
  for (let i = 0; i < 10; i++) {
    probes.set(`hanging-${i}`, () => new Promise(() => {}));
    probeSchedule.update(`hanging-${i}`, clock.now());
  }
  probes.set("a", async () => "delivered");
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS + 5_000);
  expect(recovered).toEqual(["a"]);
});

test("however many have nothing parked, or fail before their attempt, the others are probed", async () => {
  for (let i = 0; i < 100; i++) probeSchedule.update(`quiet-${i}`, clock.now());
  for (let i = 0; i < 100; i++) {
    probes.set(`unreadable-${i}`, async () => "deferred");
    probeSchedule.update(`unreadable-${i}`, clock.now());
  }
  probes.set("a", async () => "delivered");
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS + 30_000);
  expect(recovered).toEqual(["a"]);
});

test("a recovery that can't be written is written later, without another probe", async () => {
  probes.set("a", async () => "delivered");
  probeSchedule.update("a", clock.now());
  recoveryFails = true;
  await clock.advance(HOUR_MS + 60_000);
  expect([probed, recovered]).toEqual([["a"], []]);
  recoveryFails = false;
  await clock.advance(5_000);
  expect([probed, recovered]).toEqual([["a"], ["a"]]);
});

test("one that was kept from its attempt, as by its app's circuit, is attempted as soon as it may, in the same hour", async () => {
  let mayGo = false;
  probes.set("a", async () => (mayGo ? "delivered" : "deferred"));
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS + 20_000);
  expect(recovered).toEqual([]);
  claimed.add("a");
  mayGo = true;
  probeSchedule.wake();
  await clock.advance(0);
  expect(recovered).toEqual(["a"]);
});

test("a probe that throws is tried again", async () => {
  let failures = 0;
  probes.set("a", async () => {
    if (failures++ === 0) throw new Error("NATS is away");
    return "delivered";
  });
  probeSchedule.update("a", clock.now());
  await clock.advance(2 * HOUR_MS + 10_000);
  expect(recovered).toEqual(["a"]);
});

test("a stop waits for the probe that is under way, and no other begins", async () => {
  let end = (_result: "delivered" | "failed"): void => {};
  probes.set("a", () => new Promise((resolve) => (end = resolve)));
  probeSchedule.update("a", clock.now());
  await clock.advance(HOUR_MS + 5_000);
  const stopped = probeSchedule.stop();
  end("failed");
  await stopped;
  await clock.advance(5 * HOUR_MS);
  expect(probed).toEqual(["a"]);
});

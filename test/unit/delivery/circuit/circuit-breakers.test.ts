import { beforeEach, describe, expect, test } from "vitest";
import { type Circuits, createCircuitBreakers } from "../../../../src/delivery/circuit/circuit-breakers.ts";
import type { CircuitChange } from "../../../../src/delivery/circuit/ports.ts";
import { type CircuitState, CLOSED } from "../../../../src/model/circuit-state.ts";
import { aDelivery, anApp, anAttempt } from "../../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../../support/manual-clock.ts";
import { silentLogger } from "../../../support/silent-logger.ts";

/** What the replicas share: one state, changed by compare-and-set, pushed to all. */
function createSharedState() {
  let state: CircuitState = CLOSED;
  let revision = 0;
  let isDown = false;
  const announced: string[] = [];
  const replicas: Circuits[] = [];
  return {
    announced,
    replicas,
    state: () => state,
    goDown: () => {
      isDown = true;
    },
    comeUp: () => {
      isDown = false;
    },
    async change(app: string, decide: (current: CircuitState) => CircuitChange | null) {
      await Promise.resolve();
      if (isDown) throw new Error("the store is down");
      const change = decide(state);
      if (change === null) return { state, revision };
      state = change.next;
      revision++;
      if (change.announce !== null) announced.push(change.announce);
      for (const replica of replicas) replica.apply(app, state, revision);
      return { state, revision };
    },
  };
}

let clock: ManualClock;
let shared: ReturnType<typeof createSharedState>;
let admitted: number;
let known: boolean;
/** Messages between replicas. */
let broadcasts: number;

function replica(name = "r1"): Circuits {
  const circuits: Circuits = createCircuitBreakers(
    {
      ...{ store: shared, clock, logger: silentLogger, onAdmitting: () => void admitted++, isKnown: () => known },
      broadcast: (counts) => {
        broadcasts++;
        for (const other of shared.replicas) if (other !== circuits) other.receive(name, counts);
      },
    },
    {
      windowMs: 60_000,
      minAttempts: 20,
      failurePercent: 50,
      openTimeMs: 30_000,
      maxOpenTimeMs: 600_000,
      probeLeaseMs: () => 15_000,
      replica: name,
    },
  );
  shared.replicas.push(circuits);
  return circuits;
}

/** Whether attempts have to wait, as a queue with a delivery in hand asks. */
const rejects = (circuits: Circuits): boolean => circuits.isOpen("acme") && !circuits.tryAcquireProbe("acme");

const app = anApp();
const success = anAttempt({ app });
const failure = anAttempt({ app, outcome: "failed", responseCode: 500 });

/** Attempts that start and end now. */
async function attempts(circuits: Circuits, successes: number, failures: number): Promise<void> {
  for (let i = 0; i < successes; i++) circuits.onAttempt({ ...success, startedAt: clock.now() });
  for (let i = 0; i < failures; i++) circuits.onAttempt({ ...failure, startedAt: clock.now() });
  await clock.advance(0);
}

beforeEach(() => {
  clock = createManualClock();
  shared = createSharedState();
  admitted = 0;
  known = true;
  broadcasts = 0;
});

describe("a closed circuit", () => {
  test("stays closed below the floor of attempts", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 19);
    expect(rejects(circuits)).toBe(false);
  });

  test("opens at the floor when half of them failed, once", async () => {
    const circuits = replica();
    await attempts(circuits, 10, 30);
    expect([rejects(circuits), shared.announced]).toEqual([true, ["opened"]]);
  });

  describe("answers that refuse the endpoint, one in half a minute", () => {
    const refuse = async (circuits: Circuits, ids: readonly string[]): Promise<void> => {
      for (const id of ids) {
        circuits.onAttempt(anAttempt({ outcome: "rejected", responseCode: 404, delivery: aDelivery({ id }) }));
        await clock.advance(30_000);
      }
    };

    test("open it when three deliveries have met nothing else", async () => {
      const circuits = replica();
      await refuse(circuits, ["a", "b", "a", "b"]);
      expect(rejects(circuits)).toBe(false);
      await refuse(circuits, ["c"]);
      expect([rejects(circuits), shared.announced]).toEqual([true, ["opened"]]);
    });

    test("don't open it when a single delivery meets them, or another one is delivered between them", async () => {
      const circuits = replica();
      await refuse(circuits, ["a", "a", "a", "a", "a", "a", "a", "a"]);
      circuits.onAttempt(anAttempt());
      for (const pair of [
        ["b", "c"],
        ["d", "e"],
        ["f", "g"],
      ]) {
        circuits.onAttempt(anAttempt());
        await refuse(circuits, [...pair, ...pair]);
      }
      expect(rejects(circuits)).toBe(false);
    });

    test("spare the delivery whose attempt opens it: its schedule may be over", async () => {
      const circuits = replica();
      await refuse(circuits, ["a", "b", "a"]);
      expect(circuits.isOpening("acme")).toBe(false);
      circuits.onAttempt(anAttempt({ outcome: "rejected", responseCode: 404, delivery: aDelivery({ id: "c" }) }));
      expect([circuits.isOpening("acme"), circuits.isOpen("acme")]).toEqual([true, false]);
      await clock.advance(0);
      expect(circuits.isOpen("acme")).toBe(true);
    });

    test("don't open it at once: a busy receiver may refuse some of what it gets", async () => {
      const circuits = replica();
      for (const id of ["a", "b", "c", "d", "e", "f"])
        circuits.onAttempt(anAttempt({ outcome: "rejected", responseCode: 404, delivery: aDelivery({ id }) }));
      await clock.advance(0);
      expect(rejects(circuits)).toBe(false);
    });
  });

  test("50 failures that are spread beyond the window do not open it", async () => {
    const circuits = replica();
    for (let i = 0; i < 50; i++) {
      circuits.onAttempt(failure);
      await clock.advance(10_000);
    }
    expect(rejects(circuits)).toBe(false);
  });

  test("20 failures within the window open it, whenever it began", async () => {
    for (const startMs of [0, 1_200, 2_400]) {
      shared = createSharedState();
      await clock.advance(startMs);
      const circuits = replica();
      for (let i = 0; i < 20; i++) {
        circuits.onAttempt(anAttempt({ ...failure, startedAt: clock.now() }));
        await clock.advance(i < 19 ? 3_150 : 0);
      }
      expect(shared.announced).toEqual(["opened"]);
    }
  });

  test("900 successes and then 100 failures do not open it, 100 and then 200 do", async () => {
    const circuits = replica();
    await attempts(circuits, 900, 100);
    expect(rejects(circuits)).toBe(false);
    shared = createSharedState();
    const others = replica();
    await attempts(others, 100, 200);
    expect(rejects(others)).toBe(true);
  });

  test.each([
    ["429", { outcome: "failed" as const, responseCode: 429 }],
    ["400", { outcome: "rejected" as const, responseCode: 400 }],
    ["410", { outcome: "gone" as const, responseCode: 410 }],
    ["a fault of Posthorn's side", { outcome: "sender_failed" as const, responseCode: 0 }],
    ["an address that is not allowed", { outcome: "blocked" as const, responseCode: 0 }],
  ])("is not opened by %s", async (_what, members) => {
    const circuits = replica();
    for (let i = 0; i < 50; i++) circuits.onAttempt(anAttempt({ app, ...members }));
    await clock.advance(0);
    expect(rejects(circuits)).toBe(false);
  });

  test("opens on refusals of the endpoint, and faults of Posthorn's side in between change nothing", async () => {
    const circuits = replica();
    for (let i = 0; i < 20; i++) {
      circuits.onAttempt(anAttempt({ app, outcome: "rejected", responseCode: 404 }));
      for (let faults = 0; faults < 3; faults++) circuits.onAttempt(anAttempt({ app, outcome: "sender_failed", responseCode: 0 }));
    }
    await clock.advance(0);
    expect([rejects(circuits), shared.announced]).toEqual([true, ["opened"]]);
  });

  test("is opening while the last attempts all failed, as many as its floor and within its window", async () => {
    const circuits = replica();
    await attempts(circuits, 100, 19);
    expect(circuits.isOpening("acme")).toBe(false);
    await attempts(circuits, 0, 1);
    expect([circuits.isOpening("acme"), circuits.isOpen("acme")]).toEqual([true, false]);
    await attempts(circuits, 1, 0);
    expect(circuits.isOpening("acme")).toBe(false);
    for (let i = 0; i < 30; i++) {
      await attempts(circuits, 0, 1);
      await clock.advance(10_000);
    }
    expect(circuits.isOpening("acme")).toBe(false);
  });

  test("does not block when the store is down", async () => {
    const circuits = replica();
    shared.goDown();
    await attempts(circuits, 0, 100);
    expect(rejects(circuits)).toBe(false);
  });
});

describe("an open circuit", () => {
  test("blocks on every replica, for its open time, and then lets one attempt through over all of them", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(first, 0, 20);
    expect([rejects(first), rejects(second)]).toEqual([true, true]);
    await clock.advance(29_000);
    expect([rejects(first), rejects(second)]).toEqual([true, true]);
    await clock.advance(1_000);
    // Asking starts the claim; who has the probe is broadcasts through onAdmitting.
    expect([rejects(first), rejects(second)]).toEqual([true, true]);
    await clock.advance(0);
    expect(admitted).toBe(1);
    expect([rejects(first), rejects(second)].filter((blocked) => !blocked)).toHaveLength(1);
    expect([first.tryStart("acme"), second.tryStart("acme")].filter((entered) => entered)).toHaveLength(1);
    expect([first.tryStart("acme"), second.tryStart("acme")]).toEqual([false, false]);
  });

  test("says without effect when a probe may be made: once it is due, and by the replica that has it", async () => {
    const [one, two] = [replica("r1"), replica("r2")];
    await attempts(one, 0, 20);
    const may = (): boolean[] => [one, two].map((circuits) => circuits.mayProbe("acme"));
    expect(may()).toEqual([false, false]);
    await clock.advance(30_000);
    expect([may(), may()]).toEqual([
      [true, true],
      [true, true],
    ]);
    one.tryAcquireProbe("acme");
    await clock.advance(0);
    expect(may()).toEqual([true, false]);
    await clock.advance(15_000);
    expect(may()).toEqual([true, true]);
  });

  test("closes when the probe succeeds, once", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await probe(circuits);
    await attempts(circuits, 1, 0);
    expect([rejects(circuits), shared.announced]).toEqual([false, ["opened", "closed"]]);
    // What failed before it opened is forgotten.
    await attempts(circuits, 0, 1);
    expect(rejects(circuits)).toBe(false);
  });

  test("doubles its open time with every failed probe, up to its longest", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    const openTimes: number[] = [];
    for (let probes = 0; probes < 7; probes++) {
      openTimes.push(openForMs() / 1000);
      await probe(circuits);
      await attempts(circuits, 0, 1);
    }
    expect(openTimes).toEqual([30, 60, 120, 240, 480, 600, 600]);
    expect(shared.announced).toEqual(["opened"]);
  });

  test.each<[number, string]>([
    [400, "closed"],
    [422, "closed"],
    [500, "open for 60000 ms"],
    [404, "open for 30000 ms"],
    [302, "open for 30000 ms"],
    [410, "open for 30000 ms"],
  ])("is, after a probe that is answered with %i, %s", async (responseCode, wanted) => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await probe(circuits);
    const outcome = responseCode === 410 ? "gone" : responseCode === 500 ? "failed" : "rejected";
    circuits.onAttempt(anAttempt({ app, outcome, responseCode, startedAt: clock.now() }));
    await clock.advance(0);
    const { state } = shared.state();
    expect(state === "closed" ? state : `${state} for ${openForMs()} ms`).toBe(wanted);
  });

  test.each([
    ["429", { outcome: "failed" as const, responseCode: 429 }],
    ["nothing, as its address is not allowed", { outcome: "blocked" as const, responseCode: 0 }],
    ["nothing, as Posthorn could not send it", { outcome: "sender_failed" as const, responseCode: 0 }],
  ])("stays open as long as before when its probe is answered with %s", async (_what, members) => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await probe(circuits);
    circuits.onAttempt(anAttempt({ app, ...members, startedAt: clock.now() }));
    await clock.advance(0);
    expect([shared.state().state, openForMs(), shared.announced]).toEqual(["open", 30_000, ["opened"]]);
    await probe(circuits);
    await attempts(circuits, 1, 0);
    expect(shared.announced).toEqual(["opened", "closed"]);
  });

  test("keeps its probe when an older state is pushed late", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    const opened = shared.state();
    await clock.advance(30_000);
    expect(rejects(circuits)).toBe(true);
    await clock.advance(0);
    circuits.apply("acme", opened, 1);
    expect(circuits.tryStart("acme")).toBe(true);
  });

  test("gets its probe back from a replica that has no delivery to make it with", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(first, 0, 20);
    await clock.advance(30_000);
    expect(rejects(first)).toBe(true);
    await clock.advance(500);
    expect(shared.state()).toMatchObject({ state: "half_open", probeBy: "r1" });
    await clock.advance(1_000);
    expect(shared.state()).toMatchObject({ state: "open", openForMs: 30_000 });
    await probe(second);
    await clock.advance(5_000);
    expect([rejects(first), shared.state().state]).toEqual([true, "half_open"]);
  });

  test("keeps the probe for who waits for a place, as long as its lease", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await clock.advance(30_000);
    expect(rejects(circuits)).toBe(true);
    await clock.advance(0);
    expect(rejects(circuits)).toBe(false);
    await clock.advance(10_000);
    expect(circuits.tryStart("acme")).toBe(true);
    await attempts(circuits, 1, 0);
    expect(shared.announced).toEqual(["opened", "closed"]);
  });

  test("gives the probe to somebody else when its replica died with it", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(first, 0, 20);
    await probe(first);
    await clock.advance(15_000);
    expect(rejects(second)).toBe(true);
    await clock.advance(0);
    expect(second.tryStart("acme")).toBe(true);
  });

  test("can be probed with a resend, and a test call meanwhile says nothing", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await probe(circuits);
    circuits.onAttempt({ ...failure, startedAt: clock.now(), delivery: aDelivery({ counted: false, eventSequence: null }) });
    await clock.advance(0);
    expect(shared.state().state).toBe("half_open");
    circuits.onAttempt({ ...success, startedAt: clock.now(), delivery: aDelivery({ counted: false }) });
    await clock.advance(0);
    expect(shared.announced).toEqual(["opened", "closed"]);
  });

  test("ignores the results of attempts that had started before it opened, also while its probe is under way", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    await attempts(circuits, 5, 5);
    const startedAt = clock.now();
    await probe(circuits);
    for (const late of [success, failure]) circuits.onAttempt({ ...late, startedAt });
    await clock.advance(0);
    expect([shared.state().state, openForMs(), shared.announced]).toEqual(["half_open", 30_000, ["opened"]]);
    await attempts(circuits, 1, 0);
    expect(shared.announced).toEqual(["opened", "closed"]);
  });

  test("keeps its state while the store is down, and its probe is claimed when it is back", async () => {
    const circuits = replica();
    await attempts(circuits, 0, 20);
    shared.goDown();
    await clock.advance(30_000);
    for (let asked = 0; asked < 3; asked++) {
      expect(rejects(circuits)).toBe(true);
      await clock.advance(0);
    }
    shared.comeUp();
    await probe(circuits);
  });
});

/** How long the circuit stays open, and until when; 0 if it is closed. */
function openForMs(): number {
  const state = shared.state();
  return state.state === "closed" ? 0 : state.openForMs;
}

function dueAt(): number {
  const state = shared.state();
  return state.state === "closed" ? 0 : state.openUntil;
}

/** Waits out the open time and takes the probe. */
async function probe(circuits: Circuits): Promise<void> {
  await clock.advance(Math.max(0, dueAt() - clock.now()));
  expect(rejects(circuits)).toBe(true);
  await clock.advance(0);
  expect(rejects(circuits)).toBe(false);
  expect(circuits.tryStart("acme")).toBe(true);
}

describe("over all replicas", () => {
  test("the floor is reached together", async () => {
    const [first, second, third] = [replica("r1"), replica("r2"), replica("r3")];
    await attempts(first, 0, 9);
    await attempts(second, 0, 9);
    await clock.advance(1_000);
    expect(shared.announced).toEqual([]);
    await attempts(third, 0, 2);
    await clock.advance(1_000);
    expect(shared.announced).toEqual(["opened"]);
    expect([first, second, third].map((one) => rejects(one))).toEqual([true, true, true]);
  });

  test("the successes of the others count", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(second, 100, 0);
    await attempts(first, 0, 15);
    await clock.advance(1_000);
    await attempts(first, 0, 15);
    await clock.advance(1_000);
    expect(shared.announced).toEqual([]);
  });

  test("what fell out of the window of one falls out for the others", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(first, 0, 15);
    await clock.advance(65_000);
    await attempts(second, 0, 15);
    await clock.advance(1_000);
    expect(shared.announced).toEqual([]);
  });

  test("what was counted before it closed does not open it again", async () => {
    const [first, second] = [replica("r1"), replica("r2")];
    await attempts(first, 0, 15);
    await attempts(second, 0, 15);
    await clock.advance(1_000);
    await probe(first);
    await attempts(first, 1, 0);
    await clock.advance(10_000);
    expect(shared.announced).toEqual(["opened", "closed"]);
    await attempts(second, 0, 15);
    await clock.advance(1_000);
    expect(shared.announced).toEqual(["opened", "closed"]);
  });
});

test("nobody publishes counts of an app that does not fail any more", async () => {
  const [first, second] = [replica("r1"), replica("r2")];
  await attempts(first, 5, 1);
  await attempts(second, 5, 0);
  await clock.advance(120_000);
  broadcasts = 0;
  for (let i = 0; i < 100; i++) {
    await attempts(first, 5, 0);
    await attempts(second, 5, 0);
    await clock.advance(1_000);
  }
  expect(broadcasts).toBe(0);
});

test("nothing is left of the circuit of an app that is gone, nor made of its deleted record", () => {
  const circuits = replica();
  const open = { state: "open", openForMs: 30_000, openUntil: clock.now() + 30_000 } as const;
  circuits.apply("acme", open, 7);
  circuits.apply("acme", null, 8);
  expect([circuits.isOpen("acme"), admitted]).toEqual([false, 1]);
  circuits.forget("acme");
  circuits.apply("acme", null, 9);
  // Its record is in another bucket.
  circuits.apply("acme", open, 1);
  expect(circuits.isOpen("acme")).toBe(true);
});

test("an app that is gone has none, and the next of its name begins without one", async () => {
  const circuits = replica();
  await attempts(circuits, 0, 19);
  known = false;
  circuits.forget("acme");
  await attempts(circuits, 0, 30);
  known = true;
  await attempts(circuits, 0, 19);
  expect(shared.announced).toEqual([]);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { type BulkheadOptions, createBulkhead } from "../../../../src/delivery/limits/bulkhead.ts";
import { createManualClock } from "../../../support/manual-clock.ts";

/** Every app has a destination of its own, unless a test names one. */
function bulkheadOf(clock: ReturnType<typeof createManualClock>, options: Partial<BulkheadOptions>) {
  const bulkhead = createBulkhead(clock, { maxInFlight: 10, maxPerDestination: 100, maxWaitMs: 100, ...options });
  return {
    ...bulkhead,
    enter: (app: string, limit: number, destination = app) => bulkhead.enter(app, limit, destination),
    tryEnter: (app: string, limit: number, destination = app) => bulkhead.tryEnter(app, limit, destination),
    leave: (app: string, destination = app) => bulkhead.leave(app, destination),
  };
}

test("an app gets its share and no more; the next waits and enters when one leaves", async () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 10 });
  expect(bulkhead.enter("a", 2)).toBe("entered");
  expect(bulkhead.enter("a", 2)).toBe("entered");
  const third = bulkhead.enter("a", 2);
  expect(bulkhead.waiting()).toBe(1);
  bulkhead.leave("a");
  expect(await third).toBe("entered");
  expect(bulkhead.inFlight()).toBe(2);
});

test("who doesn't wait gets a place only if the app, the destination and the process have one", () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 4, maxPerDestination: 2 });
  expect([bulkhead.tryEnter("a", 1, "x"), bulkhead.tryEnter("a", 1, "y")]).toEqual([true, false]);
  expect([bulkhead.tryEnter("b", 9, "x"), bulkhead.tryEnter("c", 9, "x")]).toEqual([true, false]);
  expect([bulkhead.tryEnter("d", 9, "y"), bulkhead.tryEnter("d", 9, "z"), bulkhead.tryEnter("d", 9, "y")]).toEqual([true, true, false]);
  bulkhead.leave("a", "x");
  bulkhead.suspend();
  expect(bulkhead.tryEnter("a", 1, "x")).toBe(false);
  bulkhead.resume();
  expect([bulkhead.tryEnter("a", 1, "x"), bulkhead.inFlight(), bulkhead.waiting()]).toEqual([true, 4, 0]);
  bulkhead.leave("a", "x");
  bulkhead.close();
  expect(bulkhead.tryEnter("a", 1, "x")).toBe(false);
});

test("waiting for the app's share ends: it is full", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxInFlight: 10 });
  void bulkhead.enter("a", 1);
  const second = bulkhead.enter("a", 1);
  await clock.advance(100);
  expect(await second).toBe("full");
  expect(bulkhead.waiting()).toBe(0);
});

test("apps of one destination share its connections; who gets none within the time is full, and another destination is open", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxPerDestination: 2 });
  expect([bulkhead.enter("a", 2, "host"), bulkhead.enter("b", 2, "host")]).toEqual(["entered", "entered"]);
  const third = bulkhead.enter("c", 2, "host");
  const fourth = bulkhead.enter("d", 2, "host");
  expect(bulkhead.enter("e", 2, "other")).toBe("entered");
  bulkhead.leave("a", "host");
  expect(await third).toBe("entered");
  await clock.advance(100);
  expect([await fourth, bulkhead.waiting(), bulkhead.inFlight()]).toEqual(["full", 0, 3]);
});

test("what has nowhere else to wait enters a busy destination in the end, or is sent away when it closes", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxPerDestination: 1 });
  expect(bulkhead.enter("a", 2, "host")).toBe("entered");
  const patient = bulkhead.enterWhenFree("queue", "host");
  for (let n = 0; n < 3; n++) await clock.advance(100);
  expect([bulkhead.inFlight(), bulkhead.waiting()]).toEqual([1, 1]);
  bulkhead.leave("a", "host");
  expect(await patient).toBe("entered");
  const late = bulkhead.enterWhenFree("queue", "host");
  bulkhead.close();
  expect(await late).toBe("closed");
});

test("who waits for a destination takes no place of the process", () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 3, maxPerDestination: 1 });
  for (const app of ["a", "b", "c", "d"]) void bulkhead.enter(app, 2, "slow");
  expect([bulkhead.inFlight(), bulkhead.waiting()]).toEqual([1, 3]);
  expect([bulkhead.enter("e", 2, "quick"), bulkhead.enter("f", 2, "quicker")]).toEqual(["entered", "entered"]);
});

test("one app's full share leaves the others their places", () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 10 });
  for (let i = 0; i < 5; i++) void bulkhead.enter("hangs", 2);
  expect(bulkhead.enter("other", 2)).toBe("entered");
});

test("waiting for the process's share does not end", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxInFlight: 1 });
  void bulkhead.enter("a", 5);
  let entered = false;
  void Promise.resolve(bulkhead.enter("b", 5)).then(() => {
    entered = true;
  });
  await clock.advance(10_000);
  expect(entered).toBe(false);
  bulkhead.leave("a");
  await clock.advance(0);
  expect(entered).toBe(true);
});

test("a full process is no full app: a wait that it causes does not end, and takes nothing of the app's share", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxInFlight: 2 });
  expect([bulkhead.enter("a", 2), bulkhead.enter("b", 2)]).toEqual(["entered", "entered"]);
  const ends: string[] = [];
  for (let n = 0; n < 3; n++) void Promise.resolve(bulkhead.enter("a", 2)).then((end) => ends.push(end));
  await clock.advance(10_000);
  expect([ends, bulkhead.waiting(), bulkhead.stalled()]).toEqual([[], 3, 0]);
  bulkhead.leave("b");
  await clock.advance(0);
  // From here on the app's own attempts fill its share.
  expect([ends, bulkhead.inFlight()]).toEqual([["entered"], 2]);
  await clock.advance(99);
  expect(ends).toEqual(["entered"]);
  await clock.advance(1);
  expect([ends, bulkhead.waiting()]).toEqual([["entered", "full", "full"], 0]);
});

test("only the time counts in which the app's share or its destination is full", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxInFlight: 2, maxPerDestination: 1 });
  expect(bulkhead.enter("a", 1, "host")).toBe("entered");
  const ends: string[] = [];
  void Promise.resolve(bulkhead.enter("a", 1, "host")).then((end) => ends.push(end));
  await clock.advance(60);
  expect([bulkhead.enter("b", 1, "other"), bulkhead.stalled(), bulkhead.isStalled("a"), bulkhead.isStalled("b")]).toEqual([
    "entered",
    1,
    true,
    false,
  ]);
  void bulkhead.enter("c", 1, "third");
  bulkhead.leave("a", "host");
  // The slot was for the one that waited for the process only. From here on the other one does, too.
  await clock.advance(10_000);
  expect([ends, bulkhead.stalled(), bulkhead.inFlight(), bulkhead.waiting()]).toEqual([[], 0, 2, 1]);
  bulkhead.leave("c", "third");
  await clock.advance(0);
  expect(ends).toEqual(["entered"]);
});

test("an app that takes its slots back quickly is not stalled, however many wait", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxWaitMs: 500 });
  let stalls = 0;
  bulkhead.onStalled(() => stalls++);
  void bulkhead.enter("quick", 1);
  for (let n = 0; n < 20; n++) void bulkhead.enter("quick", 1);
  for (let n = 0; n < 19; n++) {
    await clock.advance(15);
    bulkhead.leave("quick");
  }
  expect([stalls, bulkhead.stalled(), bulkhead.waitingOf("quick")]).toEqual([0, 0, 1]);
  await clock.advance(20);
  expect([stalls, bulkhead.stalled(), bulkhead.isStalled("quick")]).toEqual([1, 1, true]);
});

test("a slot that an app can't use is for another one of the destination", async () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 3, maxPerDestination: 1 });
  const entered: string[] = [];
  const enter = (app: string, destination: string): void =>
    void Promise.resolve(bulkhead.enter(app, 1, destination)).then((end) => end === "entered" && entered.push(`${app} ${destination}`));
  for (const [app, destination] of [
    ["a", "x"],
    ["b", "y"],
    ["b", "x"],
    ["c", "x"],
  ] as const)
    enter(app, destination);
  await Promise.resolve();
  bulkhead.leave("a", "x");
  await Promise.resolve();
  expect(entered).toEqual(["a x", "b y", "c x"]);
  bulkhead.leave("b", "y");
  bulkhead.leave("c", "x");
  await Promise.resolve();
  expect(entered).toEqual(["a x", "b y", "c x", "b x"]);
});

test("places that come free go to the apps in turn, however many of one are waiting", async () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 1 });
  const entered: string[] = [];
  const enter = (app: string): void => void Promise.resolve(bulkhead.enter(app, 10)).then(() => entered.push(app));
  enter("crowd");
  for (let i = 0; i < 4; i++) enter("crowd");
  enter("single");
  enter("pair");
  enter("pair");
  for (let i = 0; i < 7; i++) {
    await Promise.resolve();
    bulkhead.leave(entered[i] ?? "");
    await Promise.resolve();
  }
  expect(entered).toEqual(["crowd", "crowd", "single", "pair", "crowd", "pair", "crowd", "crowd"]);
});

test("of those that wait for their app's share each is sent away after its own time", async () => {
  const clock = createManualClock();
  const bulkhead = bulkheadOf(clock, { maxInFlight: 10 });
  void bulkhead.enter("a", 1);
  const first = bulkhead.enter("a", 1);
  await clock.advance(60);
  const second = bulkhead.enter("a", 1);
  await clock.advance(40);
  expect([await first, bulkhead.waiting()]).toEqual(["full", 1]);
  await clock.advance(60);
  expect([await second, bulkhead.waiting()]).toEqual(["full", 0]);
});

test("whatever comes and goes, no limit is exceeded and nothing is left waiting for a free place", async () => {
  const step = fc.record({ app: fc.constantFrom("a", "b", "c"), leave: fc.boolean(), waitMs: fc.constantFrom(0, 0, 50, 200) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = createManualClock();
      const bulkhead = bulkheadOf(clock, { maxInFlight: 4, maxPerDestination: 3 });
      const destinationOf = (app: string): string => (app === "a" ? "alone" : "shared");
      const inside = new Map<string, number>();
      const enter = (app: string): void => void inside.set(app, (inside.get(app) ?? 0) + 1);
      const check = (): void => {
        const total = [...inside.values()].reduce((sum, count) => sum + count, 0);
        expect(total).toBe(bulkhead.inFlight());
        expect(total).toBeLessThanOrEqual(4);
        for (const count of inside.values()) expect(count).toBeLessThanOrEqual(2);
        expect((inside.get("b") ?? 0) + (inside.get("c") ?? 0)).toBeLessThanOrEqual(3);
      };
      for (const { app, leave, waitMs } of steps) {
        if (leave && (inside.get(app) ?? 0) > 0) {
          inside.set(app, (inside.get(app) ?? 0) - 1);
          bulkhead.leave(app, destinationOf(app));
        } else {
          const entered = bulkhead.enter(app, 2, destinationOf(app));
          if (entered === "entered") enter(app);
          else void Promise.resolve(entered).then((late) => late === "entered" && enter(app));
        }
        await clock.advance(waitMs);
        check();
      }
      for (let rounds = 0; bulkhead.inFlight() > 0 && rounds < 200; rounds++) {
        for (const [app, count] of inside) {
          if (count === 0) continue;
          inside.set(app, count - 1);
          bulkhead.leave(app, destinationOf(app));
          await clock.advance(0);
          check();
        }
      }
      expect([bulkhead.inFlight(), bulkhead.waiting()]).toEqual([0, 0]);
    }),
  );
});

test("while it is suspended nobody enters, and who waited enters when it continues", async () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 2 });
  expect(bulkhead.enter("a", 5)).toBe("entered");
  bulkhead.suspend();
  const second = bulkhead.enter("b", 5);
  bulkhead.leave("a");
  expect([bulkhead.inFlight(), bulkhead.waiting(), bulkhead.suspensions()]).toEqual([0, 1, 1]);
  bulkhead.resume();
  expect(await second).toBe("entered");
});

test("when it closes, who waits is sent away, and who comes", async () => {
  const bulkhead = bulkheadOf(createManualClock(), { maxInFlight: 1 });
  expect(bulkhead.enter("a", 1)).toBe("entered");
  const forItsShare = bulkhead.enter("a", 1);
  const forThePlace = bulkhead.enter("b", 1);
  bulkhead.close();
  expect(await Promise.all([forItsShare, forThePlace])).toEqual(["closed", "closed"]);
  expect(bulkhead.enter("c", 1)).toBe("closed");
  bulkhead.leave("a");
  expect([bulkhead.inFlight(), bulkhead.waiting()]).toEqual([0, 0]);
});

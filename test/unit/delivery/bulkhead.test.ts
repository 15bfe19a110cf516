import fc from "fast-check";
import { expect, test } from "vitest";
import { createBulkhead } from "../../../src/delivery/bulkhead.ts";
import { createManualClock } from "../../support/manual-clock.ts";

test("an app gets its share and no more; the next waits and enters when one leaves", async () => {
  const bulkhead = createBulkhead(createManualClock(), { maxInFlight: 10, maxWaitMs: 100 });
  expect(bulkhead.enter("a", 2)).toBe(true);
  expect(bulkhead.enter("a", 2)).toBe(true);
  const third = bulkhead.enter("a", 2);
  expect(bulkhead.waiting()).toBe(1);
  bulkhead.leave("a");
  expect(await third).toBe(true);
  expect(bulkhead.inFlight()).toBe(2);
});

test("waiting for the app's share ends with false", async () => {
  const clock = createManualClock();
  const bulkhead = createBulkhead(clock, { maxInFlight: 10, maxWaitMs: 100 });
  void bulkhead.enter("a", 1);
  const second = bulkhead.enter("a", 1);
  await clock.advance(100);
  expect(await second).toBe(false);
  expect(bulkhead.waiting()).toBe(0);
});

test("one app's full share leaves the others their places", () => {
  const bulkhead = createBulkhead(createManualClock(), { maxInFlight: 10, maxWaitMs: 100 });
  for (let i = 0; i < 5; i++) void bulkhead.enter("hangs", 2);
  expect(bulkhead.enter("other", 2)).toBe(true);
});

test("waiting for the process's share does not end", async () => {
  const clock = createManualClock();
  const bulkhead = createBulkhead(clock, { maxInFlight: 1, maxWaitMs: 100 });
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

test("whatever comes and goes, no limit is exceeded and nothing is left waiting for a free place", async () => {
  const step = fc.record({ app: fc.constantFrom("a", "b", "c"), leave: fc.boolean(), waitMs: fc.constantFrom(0, 0, 50, 200) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const clock = createManualClock();
      const bulkhead = createBulkhead(clock, { maxInFlight: 4, maxWaitMs: 100 });
      const inside = new Map<string, number>();
      const enter = (app: string): void => void inside.set(app, (inside.get(app) ?? 0) + 1);
      const check = (): void => {
        const total = [...inside.values()].reduce((sum, count) => sum + count, 0);
        expect(total).toBe(bulkhead.inFlight());
        expect(total).toBeLessThanOrEqual(4);
        for (const count of inside.values()) expect(count).toBeLessThanOrEqual(2);
      };
      for (const { app, leave, waitMs } of steps) {
        if (leave && (inside.get(app) ?? 0) > 0) {
          inside.set(app, (inside.get(app) ?? 0) - 1);
          bulkhead.leave(app);
        } else {
          const entered = bulkhead.enter(app, 2);
          if (entered === true) enter(app);
          else void Promise.resolve(entered).then((late) => late && enter(app));
        }
        await clock.advance(waitMs);
        check();
      }
      for (let rounds = 0; bulkhead.inFlight() > 0 && rounds < 200; rounds++) {
        for (const [app, count] of inside) {
          if (count === 0) continue;
          inside.set(app, count - 1);
          bulkhead.leave(app);
          await clock.advance(0);
          check();
        }
      }
      expect([bulkhead.inFlight(), bulkhead.waiting()]).toEqual([0, 0]);
    }),
  );
});

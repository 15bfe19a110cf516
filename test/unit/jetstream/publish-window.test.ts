import fc from "fast-check";
import { expect, test } from "vitest";
import { createPublishWindow, type PublishWindow } from "../../../src/jetstream/publish-window.ts";
import { createManualClock } from "../../support/manual-clock.ts";

/** Stores of a budget, ended by the test. */
function storesOf(budget: PublishWindow) {
  /** Begun, in that order. */
  const begun: string[] = [];
  const underWay = new Map<string, { readonly bytes: number; readonly end: (fault: Error | null) => void }>();
  return {
    begun,
    underWay,
    store: (name: string, bytes: number, until: number | null = null): Promise<string> =>
      budget.enter(
        bytes,
        async () => {
          begun.push(name);
          try {
            await new Promise<void>((resolve, reject) => {
              underWay.set(name, { bytes, end: (fault) => (fault === null ? resolve() : reject(fault)) });
            });
            return name;
          } finally {
            underWay.delete(name);
            budget.leave(bytes);
          }
        },
        until,
      ),
    end: (name: string, fault: Error | null = null) => underWay.get(name)?.end(fault),
  };
}

const windowOf = (maxMessages: number, maxBytes: number, clock = createManualClock()) =>
  createPublishWindow(clock, { name: "parked", maxMessages, maxBytes });

test("with room a store begins before the call returns; without, when its turn comes and not before", async () => {
  const budget = windowOf(2, 100);
  const { store, end, begun } = storesOf(budget);
  const stores = [store("a", 10), store("b", 10), store("c", 10)];
  expect(begun).toEqual(["a", "b"]);
  expect(budget.counts()).toEqual({ pending: 2, pendingBytes: 20, waiting: 1 });
  end("b");
  await stores[1];
  expect(begun).toEqual(["a", "b", "c"]);
  end("a");
  end("c");
  expect(await Promise.all(stores)).toEqual(["a", "b", "c"]);
  expect(budget.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
});

test("whatever their sizes, and however they end, stores begin in the order of the calls, all of them, and never exceed the budget", async () => {
  const call = fc.record({
    bytes: fc.integer({ min: 1, max: 150 }),
    fails: fc.boolean(),
    endsBefore: fc.array(fc.nat(), { maxLength: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(call, { maxLength: 40 }), async (calls) => {
      const budget = windowOf(4, 100);
      const { store, end, begun, underWay } = storesOf(budget);
      const check = (): void => {
        const { pending, pendingBytes } = budget.counts();
        expect(pending).toBe(underWay.size);
        expect(pendingBytes).toBe([...underWay.values()].reduce((sum, { bytes }) => sum + bytes, 0));
        expect(pending <= 4 && (pendingBytes <= 100 || pending === 1)).toBe(true);
      };
      const endOne = async (nth: number): Promise<void> => {
        const name = [...underWay.keys()][nth % Math.max(1, underWay.size)];
        if (name === undefined) return;
        end(name, calls[Number(name)]?.fails ? new Error("refused") : null);
        await new Promise(setImmediate);
        check();
      };
      const results: Array<Promise<string>> = [];
      for (const [nth, { bytes, endsBefore }] of calls.entries()) {
        for (const other of endsBefore) await endOne(other);
        const result = store(String(nth), bytes);
        result.catch(() => {});
        results.push(result);
        check();
      }
      while (underWay.size > 0) await endOne(0);
      const ended = (await Promise.allSettled(results)).map(({ status }) => status);
      expect(ended).toEqual(calls.map(({ fails }) => (fails ? "rejected" : "fulfilled")));
      expect(begun).toEqual(calls.map((_, nth) => String(nth)));
      expect(budget.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
    }),
  );
});

test("a call at the very moment when room comes free does not pass who waits", () => {
  const budget = windowOf(2, 100);
  const begun: string[] = [];
  const enter = (name: string) => void budget.enter(10, async () => void begun.push(name), null);
  for (const name of ["a", "b", "c"]) enter(name);
  budget.leave(10);
  budget.leave(10);
  enter("d");
  expect(begun).toEqual(["a", "b", "c", "d"]);
});

test("one that is larger than the budget passes alone", async () => {
  const budget = windowOf(10, 100);
  const { store, end, begun } = storesOf(budget);
  const [small, large] = [store("small", 10), store("large", 500)];
  void store("after", 10);
  expect(begun).toEqual(["small"]);
  end("small");
  await small;
  expect(begun).toEqual(["small", "large"]);
  end("large");
  await large;
  expect(begun).toEqual(["small", "large", "after"]);
});

test("a wait ends at its deadline, before anything is made; who waits behind it continues", async () => {
  const clock = createManualClock();
  const budget = windowOf(10, 100, clock);
  const { store, end, begun } = storesOf(budget);
  void store("a", 60);
  const late = store("late", 90, clock.now() + 5_000);
  const refused = expect(late).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: true, message: /^the parked stream/ });
  void store("b", 40);
  const patient = store("c", 10, clock.now() + 9_000);
  expect(begun).toEqual(["a"]);
  await clock.advance(5_000);
  await refused;
  expect(begun).toEqual(["a", "b"]);
  end("b");
  await clock.advance(1);
  expect(begun).toEqual(["a", "b", "c"]);
  // Its deadline is over, but it has begun.
  await clock.advance(9_000);
  end("c");
  expect(await patient).toBe("c");
  expect(budget.counts()).toEqual({ pending: 1, pendingBytes: 60, waiting: 0 });
});

test("a stop sends away who waits and who would have to, and leaves what is under way", async () => {
  const clock = createManualClock();
  const budget = windowOf(1, 100, clock);
  const { store, end, begun } = storesOf(budget);
  const first = store("a", 10);
  const waiting = [store("b", 10), store("c", 10, clock.now() + 5_000)];
  const refused = Promise.all(waiting.map((one) => expect(one).rejects.toMatchObject({ code: "STREAM_REFUSED", retryable: true })));
  budget.stop();
  await refused;
  await expect(store("d", 10)).rejects.toMatchObject({ code: "STREAM_REFUSED" });
  expect(budget.counts()).toEqual({ pending: 1, pendingBytes: 10, waiting: 0 });
  end("a");
  expect(await first).toBe("a");
  await clock.advance(5_000);
  expect(begun).toEqual(["a"]);
  expect(budget.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
});

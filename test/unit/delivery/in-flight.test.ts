import fc from "fast-check";
import { expect, test } from "vitest";
import { createInFlight } from "../../../src/delivery/in-flight.ts";
import { aDelivery } from "../../support/builders.ts";

const deliveryOf = (id: string, replay: string | null = null) => aDelivery({ id: `dlv_${id}`, replay });
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("work begins within the call when nothing else has the key", () => {
  const inFlight = createInFlight();
  const began: boolean[] = [];
  const work = async (hasWaited: boolean): Promise<void> => void began.push(hasWaited);
  void inFlight.alone(deliveryOf("000"), work);
  void inFlight.alone(deliveryOf("001"), work);
  // Another run of the first one, and another delivery in its bucket.
  void inFlight.alone(deliveryOf("000", "r-1"), work);
  void inFlight.alone(deliveryOf("f000"), work);
  expect(began).toEqual([false, false, false, false]);
});

test("those that wait go one after the other, in the order of their calls, also after a failure", async () => {
  const inFlight = createInFlight();
  const seen: string[] = [];
  const ends: Array<() => void> = [];
  const start = (name: string) =>
    inFlight.alone(deliveryOf("abc"), async (hasWaited) => {
      seen.push(`${name} ${hasWaited}`);
      await new Promise<void>((resolve) => ends.push(resolve));
      if (name === "one") throw new Error("one failed");
      return name;
    });
  const [one, two, three] = [start("one"), start("two"), start("three")];
  await settled();
  expect(seen).toEqual(["one false"]);
  ends[0]?.();
  await expect(one).rejects.toThrow("one failed");
  await settled();
  expect(seen).toEqual(["one false", "two true"]);
  ends[1]?.();
  expect(await two).toBe("two");
  await settled();
  ends[2]?.();
  expect(await three).toBe("three");
  void start("four");
  expect(seen).toEqual(["one false", "two true", "three true", "four false"]);
});

test("no two of one key are ever under way, and nothing stays waiting", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ key: fc.constantFrom("000", "1000", "2000", "abc", "__proto__"), turns: fc.nat(3) }), { maxLength: 40 }),
      async (calls) => {
        const inFlight = createInFlight();
        const underWay = new Set<string>();
        let done = 0;
        await Promise.all(
          calls.map(({ key, turns }) =>
            inFlight.alone(deliveryOf(key), async () => {
              expect(underWay.has(key)).toBe(false);
              underWay.add(key);
              for (let turn = 0; turn < turns; turn++) await settled();
              underWay.delete(key);
              done++;
            }),
          ),
        );
        expect(done).toBe(calls.length);
      },
    ),
    { numRuns: 50 },
  );
});

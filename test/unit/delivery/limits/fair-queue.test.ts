import fc from "fast-check";
import { expect, test } from "vitest";
import { createFairQueue } from "../../../../src/delivery/limits/fair-queue.ts";

test("keys take turns, and each key's items keep their order", () => {
  const queue = createFairQueue<string>();
  for (const item of ["a1", "a2", "a3", "b1", "c1", "c2"]) queue.add(item.charAt(0), item);
  const taken = Array.from({ length: 7 }, () => queue.take());
  expect(taken).toEqual(["a1", "b1", "c1", "a2", "c2", "a3", undefined]);
});

test("whatever is added and taken, the size is right and each item comes out once", () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.constantFrom("a", "b", "c"))), (steps) => {
      const queue = createFairQueue<number>();
      const out: number[] = [];
      let added = 0;
      for (const key of steps) {
        if (key !== null) queue.add(key, added++);
        else if (queue.size() > 0) out.push(queue.take() ?? Number.NaN);
        expect(queue.size()).toBe(added - out.length);
      }
      out.push(...queue.clear());
      expect(out.sort((a, b) => a - b)).toEqual(Array.from({ length: added }, (_, item) => item));
      expect([queue.size(), queue.take()]).toEqual([0, undefined]);
    }),
  );
});

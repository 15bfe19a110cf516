import fc from "fast-check";
import { expect, test } from "vitest";
import { createKeyedQueue, type KeyedItem } from "../../../src/subscribers/ordered/keyed-queue.ts";

const item = (key: string, position: number, dueAt = 0): KeyedItem => ({ key, position, dueAt });

test("one of a key is started at a time, the oldest first, and keys take turns", () => {
  const queue = createKeyedQueue();
  for (const one of [item("a", 3), item("b", 1), item("a", 2), item("a", 5)]) queue.add(one);
  const [first, second] = [queue.start(0), queue.start(0)];
  expect([first, second, queue.start(0)]).toEqual([item("a", 2), item("b", 1), null]);
  if (first !== null) queue.leave(first);
  expect(queue.start(0)).toEqual(item("a", 3));
});

test("a head that waits holds up its own key only, and an older one that comes meanwhile goes before it", () => {
  const queue = createKeyedQueue();
  for (const one of [item("a", 2), item("a", 3), item("b", 4)]) queue.add(one);
  const head = queue.start(0);
  if (head === null) throw new Error("nothing started");
  head.dueAt = 1_000;
  queue.retry(head);
  expect([queue.start(999), queue.start(999)]).toEqual([item("b", 4), null]);
  queue.add(item("a", 1));
  expect(queue.start(999)).toEqual(item("a", 1));
});

test("heads that wait can be made due, but no started one and none that waits for ever", () => {
  const queue = createKeyedQueue();
  for (const one of [item("a", 1, 1_000), item("a", 2), item("b", 3, 9_000), item("c", 4), item("d", 5, 2_000)]) queue.add(one);
  const started = queue.start(0);
  expect([started, queue.start(0), queue.nextDueAt()]).toEqual([item("c", 4), null, 1_000]);
  expect(queue.makeDue(9_000)).toBe(2);
  expect([queue.start(0), queue.start(0), queue.start(0)]).toEqual([item("a", 1), item("d", 5), null]);
  expect(queue.makeDue(9_000)).toBe(0);
});

test("whatever is added, removed, retried and ended, each key's items start in their order", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), key: fc.constantFrom("a", "b", "c"), position: fc.nat({ max: 50 }) }),
    fc.record({ do: fc.constantFrom("start" as const, "end" as const, "retry" as const, "remove" as const), at: fc.nat({ max: 20 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = createKeyedQueue();
      const waiting = new Set<KeyedItem>();
      const started: KeyedItem[] = [];
      for (const one of steps) {
        if (one.do === "add") {
          const added = item(one.key, one.position);
          waiting.add(added);
          queue.add(added);
        } else if (one.do === "start") {
          const next = queue.start(0);
          if (next === null) continue;
          expect(started.some(({ key }) => key === next.key)).toBe(false);
          const older = [...waiting].filter(({ key, position }) => key === next.key && position < next.position);
          expect(older).toEqual([]);
          waiting.delete(next);
          started.push(next);
        } else if (one.do === "remove") {
          const gone = [...waiting][one.at % Math.max(1, waiting.size)];
          if (gone !== undefined && waiting.delete(gone)) queue.leave(gone);
        } else {
          const [ended] = started.splice(one.at % Math.max(1, started.length), 1);
          if (ended === undefined) continue;
          if (one.do === "end") queue.leave(ended);
          else {
            waiting.add(ended);
            queue.retry(ended);
          }
        }
        expect([[...queue.waiting()].length, queue.started.size]).toEqual([waiting.size, started.length]);
      }
    }),
    { numRuns: 500 },
  );
});

import { expect, test } from "vitest";
import { createKeyedSemaphore } from "../../../src/model/keyed-semaphore.ts";
import { createManualClock } from "../../support/manual-clock.ts";

test("each key has permits of its own, and a released permit goes to the first waiter", () => {
  const semaphore = createKeyedSemaphore(createManualClock(), 100);
  const ends: string[] = [];
  expect([semaphore.tryAcquire("a", 1), semaphore.tryAcquire("a", 1), semaphore.tryAcquire("b", 1)]).toEqual([true, false, true]);
  semaphore.wait("a", 1, (result) => ends.push(`first ${result}`));
  semaphore.wait("a", 1, (result) => ends.push(`second ${result}`));
  expect([semaphore.waiting(), semaphore.held("a")]).toEqual([2, 1]);
  semaphore.release("a");
  expect([ends, semaphore.waiting(), semaphore.held("a")]).toEqual([["first entered"], 1, 1]);
  semaphore.release("b");
  expect(semaphore.held("b")).toBe(0);
});

test("a wait ends after its own time, and what is released afterwards is free", async () => {
  const clock = createManualClock();
  const semaphore = createKeyedSemaphore(clock, 100);
  const ends: string[] = [];
  semaphore.tryAcquire("a", 1);
  semaphore.wait("a", 1, (result) => ends.push(`first ${result}`));
  await clock.advance(60);
  semaphore.wait("a", 1, (result) => ends.push(`second ${result}`));
  await clock.advance(40);
  expect(ends).toEqual(["first full"]);
  await clock.advance(60);
  expect(ends).toEqual(["first full", "second full"]);
  semaphore.release("a");
  expect(semaphore.tryAcquire("a", 1)).toBe(true);
});

test("close ends all waits", () => {
  const semaphore = createKeyedSemaphore(createManualClock(), 100);
  const ends: string[] = [];
  semaphore.tryAcquire("a", 1);
  semaphore.wait("a", 1, (result) => ends.push(result));
  semaphore.close();
  expect([ends, semaphore.waiting()]).toEqual([["closed"], 0]);
});

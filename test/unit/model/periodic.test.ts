import { expect, test } from "vitest";
import { every, sleep } from "../../../src/model/periodic.ts";
import { createManualClock } from "../../support/manual-clock.ts";

test("a task runs again one period after its last run ended, and runs never overlap", async () => {
  const clock = createManualClock();
  const began: number[] = [];
  const start = clock.now();
  const task = every(clock, 100, async () => {
    began.push(clock.now() - start);
    await sleep(clock, 250);
  });
  void task.start();
  await clock.advance(800);
  expect(began).toEqual([0, 350, 700]);
});

test("start resolves when the first run has ended; startLater waits one period for it", async () => {
  const clock = createManualClock();
  let runs = 0;
  const task = every(clock, 100, () => void runs++);
  await task.start();
  expect(runs).toBe(1);
  const later = every(clock, 100, () => void runs++);
  later.startLater();
  task.stop();
  await clock.advance(99);
  expect(runs).toBe(1);
  await clock.advance(1);
  expect(runs).toBe(2);
});

test("a task that fails is reported and repeated", async () => {
  const clock = createManualClock();
  const errors: unknown[] = [];
  const fault = new Error("no");
  const task = every(
    clock,
    100,
    () => {
      throw fault;
    },
    (error) => errors.push(error),
  );
  await task.start();
  await clock.advance(200);
  expect(errors).toEqual([fault, fault, fault]);
});

test("a stopped task does not run again, also when it is stopped while it runs", async () => {
  const clock = createManualClock();
  let runs = 0;
  const waiting = every(clock, 100, () => void runs++);
  waiting.startLater();
  waiting.stop();
  const running = every(clock, 100, async () => {
    runs++;
    await sleep(clock, 50);
  });
  void running.start();
  running.stop();
  await clock.advance(1_000);
  expect(runs).toBe(1);
});

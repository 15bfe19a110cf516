import { expect, test } from "vitest";
import { oneAtATime } from "../../../src/model/one-at-a-time.ts";

test("calls during a run share one that follows it, and a failure is that of its own callers", async () => {
  const ends: Array<(error?: Error) => void> = [];
  const run = oneAtATime(
    () =>
      new Promise((resolve, reject) => {
        ends.push((error) => (error === undefined ? resolve() : reject(error)));
      }),
  );
  const first = run();
  const [second, third] = [run(), run()];
  expect(ends.length).toBe(1);
  ends[0]?.(new Error("away"));
  await expect(first).rejects.toThrow("away");
  await new Promise((resolve) => setImmediate(resolve));
  expect(ends.length).toBe(2);
  const fourth = run();
  ends[1]?.();
  await Promise.all([second, third]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(ends.length).toBe(3);
  ends[2]?.();
  await fourth;
});

test("a call as soon as a run has ended, while another waits, runs with none", async () => {
  let running = 0;
  let most = 0;
  const run = oneAtATime(async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  });
  const askAgain = run().then(run);
  const waiting = run();
  await Promise.all([askAgain, waiting]);
  await run();
  expect(most).toBe(1);
});

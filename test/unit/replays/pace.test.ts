import { expect, test } from "vitest";
import { createPace } from "../../../src/replays/pace.ts";
import { createManualClock } from "../../support/manual-clock.ts";

test("starts are spread evenly, and a late one is caught up only in part", async () => {
  const clock = createManualClock();
  const pace = createPace(clock, 10);
  const startedAt: number[] = [];
  const begun = clock.now();
  const run = (async () => {
    for (let n = 0; n < 4; n++) {
      await pace();
      startedAt.push(clock.now() - begun);
    }
  })();
  for (let ms = 0; ms < 300; ms += 50) {
    await Promise.resolve();
    await clock.advance(50);
  }
  await run;
  expect(startedAt).toEqual([0, 100, 200, 300]);
  await clock.advance(10_000);
  // One that is due for long does not let a hundred others start at once.
  await pace();
  await pace();
  let isThird = false;
  void pace().then(() => {
    isThird = true;
  });
  await Promise.resolve();
  expect(isThird).toBe(false);
  await clock.advance(100);
  expect(isThird).toBe(true);
});

import { expect, test } from "vitest";
import { createServerClock } from "../../../src/model/server-clock.ts";

const START = Date.UTC(2026, 0, 5, 12);

/** A process that has run for some time, a wall clock that can be set, and a server whose clock is ahead by a while. */
function aMachine(serverAheadMs: number) {
  let monotonic = 5_000;
  let wall = START;
  const pass = (ms: number): void => {
    monotonic += ms;
    wall += ms;
  };
  const clock = createServerClock({ now: () => wall, after: () => () => {} }, () => monotonic);
  const serverNow = (): number => START + monotonic - 5_000 + serverAheadMs;
  return {
    clock,
    pass,
    serverNow,
    set: (byMs: number) => {
      wall += byMs;
    },
    /** What the server stored arrives so much later. */
    sample(delayMs: number): void {
      const storedAt = serverNow();
      pass(delayMs);
      clock.sample(storedAt);
    },
  };
}

test("is the wall clock's time until the server's is known, and the server's from then on", () => {
  const { clock, sample, serverNow } = aMachine(7_000);
  expect(clock.now()).toBe(START);
  sample(0);
  expect(clock.now()).toBe(serverNow());
});

test.each([-3_600_000, 3_600_000])("is not moved by a wall clock that is set by %i ms", (byMs) => {
  const { clock, sample, set, pass, serverNow } = aMachine(0);
  sample(0);
  set(byMs);
  pass(10_000);
  expect(clock.now()).toBe(serverNow());
  sample(3);
  expect(clock.now()).toBe(serverNow());
});

test("takes the sample that arrived with the least delay, and forgets one that is old", () => {
  const { clock, sample, pass, serverNow } = aMachine(0);
  for (const delayMs of [900, 2, 400]) sample(delayMs);
  expect(serverNow() - clock.now()).toBe(2);
  pass(61_000);
  sample(30);
  expect(serverNow() - clock.now()).toBe(30);
});

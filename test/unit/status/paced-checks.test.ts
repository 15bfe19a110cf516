import { expect, test } from "vitest";
import { sleep } from "../../../src/model/periodic.ts";
import { createPacedChecks } from "../../../src/status/paced-checks.ts";
import { createManualClock } from "../../support/manual-clock.ts";

test("a key is checked at once, and once more at the end of the period however often it was requested in it", async () => {
  const clock = createManualClock();
  const start = clock.now();
  const checked: string[] = [];
  const checks = createPacedChecks(clock, 1_000, async (key) => void checked.push(`${key} at ${clock.now() - start}`));
  for (let n = 0; n < 5; n++) {
    checks.request("a");
    await clock.advance(100);
  }
  checks.request("b");
  await clock.advance(5_000);
  expect(checked).toEqual(["a at 0", "b at 500", "a at 1000"]);
});

test("checks run one after the other, and idle waits for all of them", async () => {
  const clock = createManualClock();
  const events: string[] = [];
  const checks = createPacedChecks(clock, 1_000, async (key) => {
    events.push(`${key} begins`);
    await sleep(clock, 50);
    events.push(`${key} ends`);
  });
  checks.request("a");
  checks.request("b");
  const idle = checks.idle().then(() => events.push("idle"));
  await clock.advance(100);
  await idle;
  expect(events).toEqual(["a begins", "a ends", "b begins", "b ends", "idle"]);
});

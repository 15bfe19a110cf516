import { beforeEach, describe, expect, test } from "vitest";
import { AppError } from "../../../src/model/app-error.ts";
import type { RecentAttempts } from "../../../src/model/recent-attempts.ts";
import { type AppHealth, createAppHealth } from "../../../src/status/app-health.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
let health: AppHealth;
let counts: { delivered: number; failed: number } | AppError;
let changeFails: boolean;
/** Transitions as the shared record would see them. */
let changes: string[];
let reads: number;

beforeEach(() => {
  clock = createManualClock();
  [counts, changeFails, changes, reads] = [{ delivered: 0, failed: 0 }, false, [], 0];
  health = createAppHealth({
    async recentAttempts(): Promise<RecentAttempts> {
      reads++;
      if (counts instanceof AppError) throw counts;
      const minute = { start: clock.now(), delivered: counts.delivered, failures: new Map([[404, counts.failed]]), firstFailureAt: null };
      return { minutes: [minute], lastSuccessAt: null };
    },
    async change(app, state) {
      if (changeFails) throw new Error("no answer");
      changes.push(`${app} ${state}`);
      health.update(app, state === "failing" ? clock.now() : null);
      return true;
    },
    isKnown: (app) => app !== "deleted",
    clock,
    logger: silentLogger,
  });
  health.start();
});

async function written(delivered: number, failed: number, app = "acme"): Promise<void> {
  counts = { delivered, failed };
  health.attemptsWritten(new Map([[app, failed > 0]]));
  await clock.advance(2_000);
}

describe("an app becomes failing", () => {
  test.each([
    [0, 19, false],
    [0, 20, true],
    [10, 10, true],
    [11, 10, false],
    [500, 499, false],
    [500, 500, true],
  ])("after %i deliveries and %i failures: %s", async (delivered, failed, isFailing) => {
    await written(delivered, failed);
    expect(changes).toEqual(isFailing ? ["acme failing"] : []);
    expect(health.failingSince("acme") !== null).toBe(isFailing);
  });
});

describe("a failing app becomes healthy", () => {
  test.each([
    [60, 20, false],
    [61, 20, true],
    [1, 0, true],
    [0, 0, false],
    [0, 1, false],
  ])("after %i deliveries and %i failures: %s", async (delivered, failed, isHealthy) => {
    health.update("acme", clock.now());
    await written(delivered, failed);
    expect(changes).toEqual(isHealthy ? ["acme healthy"] : []);
  });

  test("when its failures leave the window, without an attempt", async () => {
    await written(5, 40);
    counts = { delivered: 5, failed: 1 };
    await clock.advance(20_000);
    expect(changes).toEqual(["acme failing", "acme healthy"]);
  });
});

test("successes of a healthy app are not looked at, and failures at most once a second", async () => {
  for (let n = 0; n < 50; n++) {
    health.attemptsWritten(new Map([["acme", false]]));
    health.attemptsWritten(new Map([["busy", true]]));
    await clock.advance(100);
  }
  expect(reads).toBeLessThanOrEqual(6);
});

test("without Redis nothing changes; once it is back the app is judged, without a further attempt", async () => {
  await written(0, 40);
  counts = new AppError("REDIS_UNREACHABLE", "Redis is not connected");
  health.attemptsWritten(new Map([["other", true]]));
  await clock.advance(60_000);
  expect(changes).toEqual(["acme failing"]);
  counts = { delivered: 0, failed: 50 };
  await clock.advance(20_000);
  expect(changes).toEqual(["acme failing", "other failing"]);
});

test("a change that can't be stored is tried again", async () => {
  changeFails = true;
  await written(0, 40);
  changeFails = false;
  await clock.advance(20_000);
  expect(changes).toEqual(["acme failing"]);
});

test("an app that was removed is not judged", async () => {
  await written(0, 40, "deleted");
  expect(changes).toEqual([]);
});

test("failing apps are known with their attempts", async () => {
  await written(20, 30);
  expect(health.failing()).toEqual(new Map([["acme", 0]]));
  await written(21, 30);
  expect(health.failing()).toEqual(new Map([["acme", 51]]));
});

import { expect, test } from "vitest";
import { createReplayRuns } from "../../../src/dead-letters/replay-runs.ts";
import { AppError } from "../../../src/model/app-error.ts";
import type { Replay, ReplayProgress } from "../../../src/model/replay.ts";
import { createManualClock } from "../../support/manual-clock.ts";

function setUp() {
  const clock = createManualClock();
  const noted: Replay[] = [];
  const others = new Map<string, Replay>();
  const ended = Promise.withResolvers<ReplayProgress>();
  let report: (progress: ReplayProgress) => void = () => {};
  let ids = 0;
  const runs = createReplayRuns({
    replay: {
      all(_filter, { onProgress = () => {} }) {
        report = onProgress;
        return ended.promise;
      },
    },
    notes: {
      note: async (replay) => void noted.push(replay),
      find: async (id) => others.get(id) ?? null,
    },
    newId: () => `replay-${++ids}`,
    clock,
  });
  const start = () => runs.start({ app: "acme" }, { dryRun: false, withinMs: 2_000 });
  return { clock, noted, others, runs, start, ended, report: (progress: ReplayProgress) => report(progress) };
}

test("a replay that ends in time is answered with its result, which is noted and remembered", async () => {
  const { runs, start, ended, noted } = setUp();
  const started = start();
  ended.resolve({ matched: 3, replayed: 2, skipped: 1 });
  const done = { id: "replay-1", app: "acme", state: "done", matched: 3, replayed: 2, skipped: 1, error: null };
  expect(await started).toEqual(done);
  expect(noted.map(({ state }) => state)).toEqual(["running", "done"]);
  expect(await runs.get("replay-1", null)).toEqual(done);
});

test("a longer one is answered while it runs, notes its progress every second, and ends later", async () => {
  const { clock, runs, start, ended, noted, report } = setUp();
  const started = start();
  report({ matched: 50, replayed: 50, skipped: 0 });
  await clock.advance(2_000);
  expect(await started).toMatchObject({ state: "running", replayed: 50 });
  await clock.advance(3_000);
  expect(noted).toHaveLength(6);
  ended.resolve({ matched: 70, replayed: 70, skipped: 0 });
  await clock.advance(60_000);
  expect(noted).toHaveLength(7);
  expect(await runs.get("replay-1", "acme")).toMatchObject({ state: "done", replayed: 70 });
});

test("one that fails keeps its progress and says why", async () => {
  const { start, ended, report } = setUp();
  const started = start();
  report({ matched: 2, replayed: 1, skipped: 0 });
  ended.reject(new AppError("STREAM_REFUSED", "the retries stream is full", { retryable: true }));
  expect(await started).toMatchObject({ state: "failed", replayed: 1, error: "the retries stream is full" });
});

test("one of another replica is found by its note, and by a token of its own app only", async () => {
  const { others, runs } = setUp();
  const replay: Replay = { id: "r", app: "acme", state: "running", matched: 1, replayed: 0, skipped: 0, error: null };
  others.set("r", replay);
  expect(await runs.get("r", null)).toEqual(replay);
  expect(await runs.get("r", "acme")).toEqual(replay);
  await expect(runs.get("r", "other")).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(runs.get("nothing", null)).rejects.toMatchObject({ code: "NOT_FOUND", message: "no replay nothing in the last day" });
});

test("the oldest of very many is forgotten", async () => {
  const { runs, start, ended } = setUp();
  ended.resolve({ matched: 0, replayed: 0, skipped: 0 });
  for (let n = 0; n < 101; n++) await start();
  await expect(runs.get("replay-1", null)).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await runs.get("replay-2", null)).state).toBe("done");
});

import { expect, test } from "vitest";
import type { ReplayOptions, ReplayPosition } from "../../../src/dead-letters/replay.ts";
import { EVERYBODY } from "../../../src/explain/viewer.ts";
import { AppError } from "../../../src/model/app-error.ts";
import { DEAD_LETTER_REPLAYS, type DeadLetterReplay } from "../../../src/replays/dead-letter-replay-record.ts";
import { createDeadLetterReplays, createRunDeadLetterReplay } from "../../../src/replays/dead-letter-replays.ts";
import { createReplayRunner } from "../../../src/replays/replay-runner.ts";
import { createReplayStore, type ReplayBucket } from "../../../src/replays/replay-store.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

/** Records as text, as the bucket keeps them. */
function createBucket(): ReplayBucket {
  const all = new Map<string, { value: string; revision: number }>();
  let revision = 0;
  const put = (key: string, value: string): number => {
    all.set(key, { value, revision: ++revision });
    return revision;
  };
  return {
    readRecord: async (key) => all.get(key) ?? null,
    createRecord: async (key, value) => (all.has(key) ? "conflict" : put(key, value)),
    updateRecord: async (key, value, expected) => (all.get(key)?.revision === expected ? put(key, value) : "conflict"),
    async deleteRecord(key) {
      all.delete(key);
      return ++revision;
    },
  };
}

type All = (from: ReplayPosition, options: ReplayOptions) => Promise<void>;

function setUp(all: All) {
  const clock = createManualClock();
  const store = createReplayStore(createBucket(), DEAD_LETTER_REPLAYS);
  let isOwner = true;
  const runner = createReplayRunner<DeadLetterReplay>({
    ...{ store, clock, logger: silentLogger, replica: "a", keptMs: 1_000_000, moot: () => null, countsOf: () => ({}) },
    ...{ isOwner: () => isOwner, isHeld: () => true },
    runReplay: createRunDeadLetterReplay(all, clock),
  });
  let ids = 0;
  const replays = createDeadLetterReplays({ store, lastSequence: async () => 9, newId: () => `r-${++ids}`, clock });
  const start = () => replays.start({ filter: { app: "acme" }, organizationId: "42", dryRun: false, withinMs: 2_000 });
  const own = (owner: boolean): void => {
    isOwner = owner;
  };
  return { clock, store, runner, replays, start, own };
}

const COUNTS = { matched: 3, replayed: 2, skipped: 1 };

test("a replay that ends in time is answered with its result, which every replica knows and others' tokens don't", async () => {
  const { replays, start } = setUp(async ({ after, last, filter }, { onProgress }) => {
    expect([after, last, filter.app]).toEqual([0, 9, "acme"]);
    await onProgress({ after: 9, ...COUNTS });
  });
  expect(await start()).toMatchObject({ id: "r-1", state: "done", error: null, ...COUNTS });
  expect(await replays.get("r-1", EVERYBODY)).toMatchObject({ state: "done", ...COUNTS });
  expect((await replays.get("r-1", { onlyApp: "acme", onlyOrganization: null })).id).toBe("r-1");
  expect((await replays.get("r-1", { onlyApp: null, onlyOrganization: "42" })).id).toBe("r-1");
  for (const viewer of [
    { onlyApp: "other", onlyOrganization: null },
    { onlyApp: null, onlyOrganization: "7" },
  ])
    await expect(replays.get("r-1", viewer)).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(replays.get("r-2", EVERYBODY)).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("one that takes longer is answered as it is then, and continues", async () => {
  const end = Promise.withResolvers<void>();
  const { clock, replays, start } = setUp(async (_from, { onProgress }) => {
    await onProgress({ after: 4, matched: 1, replayed: 1, skipped: 0 });
    await end.promise;
    await onProgress({ after: 9, ...COUNTS });
  });
  const started = start();
  await clock.advance(2_000);
  expect(await started).toMatchObject({ state: "running", after: 4, matched: 1 });
  end.resolve();
  await clock.advance(1);
  expect(await replays.get("r-1", EVERYBODY)).toMatchObject({ state: "done", ...COUNTS });
});

test("one that the next owner of the queues resumes begins behind what was looked at, with its counts", async () => {
  const begun: number[] = [];
  const { clock, replays, start, own, runner } = setUp(async ({ after, matched }, { isWanted, onProgress }) => {
    begun.push(after);
    await onProgress({ after: after + 4, matched: matched + 1, replayed: 0, skipped: 0 });
    if (begun.length === 1) own(false);
    if (isWanted()) await onProgress({ after: 9, matched: matched + 1, replayed: 1, skipped: 0 });
  });
  runner.start();
  const started = start();
  await clock.advance(2_000);
  expect(await started).toMatchObject({ state: "running", after: 4 });
  own(true);
  await clock.advance(1_000);
  expect(begun).toEqual([0, 4]);
  expect(await replays.get("r-1", EVERYBODY)).toMatchObject({ state: "done", matched: 2, replayed: 1 });
  await runner.stop();
});

test("one whose deliveries can't be stored has failed, and says why", async () => {
  const { start } = setUp(async () => {
    throw new AppError("STREAM_REFUSED", "the retries stream is full", { retryable: true });
  });
  expect(await start()).toMatchObject({ state: "failed", error: "the retries stream is full" });
});

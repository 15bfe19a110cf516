import { expect, test } from "vitest";
import type { BucketEntry } from "../../../src/registry/bucket-entry.ts";
import { createBucketWatch } from "../../../src/registry/bucket-watch.ts";
import { createRevisionWaiters } from "../../../src/registry/revision-waiters.ts";
import type { WatchOptions } from "../../../src/registry/watch-bucket.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const entry = (revision: number): BucketEntry => ({ key: `app.a${revision}`, revision, value: "{}", storedAt: 0 });

function setUp() {
  const clock = createManualClock();
  const revisions = createRevisionWaiters(clock);
  const received: number[] = [];
  const keys = new Set<string>();
  /** The watches that were opened, the last of them alive. */
  const watches: Array<WatchOptions & { end: (error?: Error) => void }> = [];
  const watch = createBucketWatch({
    bucket: {
      name: "registry",
      async watch(options: WatchOptions) {
        const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
        watches.push({ ...options, end: (error) => (error === undefined ? resolve() : reject(error)) });
        return { ended, stop: resolve };
      },
    } as never,
    revisions,
    onEntry: ({ key, revision }) => {
      keys.add(key);
      received.push(revision);
    },
    isNew: (key) => !keys.has(key),
    whenProcessed: async () => {},
    clock,
    logger: silentLogger,
  });
  const turn = (): Promise<void> => clock.advance(0);
  return { clock, revisions, received, watches, watch, turn };
}

test("start resolves when the watch has caught up, and the watch is current from then on", async () => {
  const { watch, watches, received, turn } = setUp();
  let hasStarted = false;
  void watch.start().then(() => {
    hasStarted = true;
  });
  await turn();
  watches[0]?.onEntry(entry(1));
  await turn();
  expect([hasStarted, watch.isCurrent(), received]).toEqual([false, false, [1]]);
  watches[0]?.onCaughtUp();
  await turn();
  expect([hasStarted, watch.isCurrent()]).toEqual([true, true]);
});

test.each([undefined, new Error("lost")])(
  "a watch that ends (%s) is not current and resumes after a pause, without repeating",
  async (error) => {
    const { clock, watch, watches, received, turn } = setUp();
    void watch.start();
    await turn();
    for (const revision of [1, 2]) watches[0]?.onEntry(entry(revision));
    watches[0]?.onCaughtUp();
    await turn();
    watches[0]?.end(error);
    await turn();
    expect([watch.isCurrent(), watches.length]).toEqual([false, 1]);
    await clock.advance(250);
    expect([watches.length, watches[1]?.fromRevision]).toEqual([2, 2]);
    for (const revision of [2, 3]) watches[1]?.onEntry(entry(revision));
    watches[1]?.onCaughtUp();
    await turn();
    expect([received, watch.isCurrent()]).toEqual([[1, 2, 3], true]);
  },
);

test("a stopped watch is not started again and never becomes current", async () => {
  const { clock, watch, watches, turn } = setUp();
  void watch.start();
  await turn();
  watch.stop();
  watches[0]?.onCaughtUp();
  await clock.advance(10_000);
  expect([watch.isCurrent(), watches.length]).toEqual([false, 1]);
});

test("quiet resolves when no entry has arrived for that long", async () => {
  const { clock, watch, watches, turn } = setUp();
  void watch.start();
  await turn();
  let isQuiet = false;
  void watch.quiet(1_000).then(() => {
    isQuiet = true;
  });
  await clock.advance(900);
  watches[0]?.onEntry(entry(1));
  await clock.advance(900);
  expect(isQuiet).toBe(false);
  await clock.advance(500);
  expect(isQuiet).toBe(true);
});

test("a change is reached when its revision was seen, and refused as retryable after five seconds without it", async () => {
  const { clock, revisions } = setUp();
  const [seen, missed] = [revisions.reached(1), revisions.reached(2)];
  const refused = expect(missed).rejects.toMatchObject({ code: "NATS_UNREACHABLE", retryable: true });
  revisions.advance(1);
  await seen;
  await clock.advance(5_000);
  await refused;
});

test("it is quiet when no new key has come for a while, although the replicas rewrite their own", async () => {
  const { clock, watch, watches, turn } = setUp();
  void watch.start();
  await turn();
  let isQuiet = false;
  void watch.quiet(5_000).then(() => {
    isQuiet = true;
  });
  const renew = (revision: number): void => watches[0]?.onEntry({ ...entry(revision), key: "owner.queues" });
  for (const revision of [1, 2]) {
    renew(revision);
    await clock.advance(2_000);
  }
  watches[0]?.onEntry(entry(3));
  for (const revision of [4, 5]) {
    await clock.advance(2_000);
    renew(revision);
  }
  expect(isQuiet).toBe(false);
  await clock.advance(2_000);
  expect(isQuiet).toBe(true);
});

import { beforeEach, describe, expect, test } from "vitest";
import type { DecideThrottle, SharedThrottle } from "../../../../src/delivery/throttle/ports.ts";
import { createThrottles, type Throttles } from "../../../../src/delivery/throttle/throttles.ts";
import type { Logger } from "../../../../src/model/logger.ts";
import { anApp } from "../../../support/builders.ts";
import { createManualClock, type ManualClock } from "../../../support/manual-clock.ts";
import { silentLogger } from "../../../support/silent-logger.ts";

/** What the replicas share: one record, changed by compare-and-set, pushed to all that run. */
function createSharedRecord() {
  let record: SharedThrottle | null = null;
  let revision = 0;
  const shared = {
    announced: [] as string[],
    writes: 0,
    isDown: false,
    replicas: [] as Throttles[],
    record: () => record,
    remove() {
      record = null;
      revision++;
      for (const replica of shared.replicas) replica.apply("acme", null, revision);
    },
    async change(app: string, decide: DecideThrottle) {
      await Promise.resolve();
      if (shared.isDown) throw new Error("the store is down");
      const change = decide(record);
      if (change === null) return { throttle: record, revision };
      record = change.next;
      revision++;
      shared.writes++;
      if (change.announce !== null) shared.announced.push(change.announce);
      for (const replica of shared.replicas) replica.apply(app, record, revision);
      return { throttle: record, revision };
    },
    load: (replica: Throttles) => replica.apply("acme", record, revision),
  };
  return shared;
}

let clock: ManualClock;
let shared: ReturnType<typeof createSharedRecord>;
let known: boolean;
let released: number;
let lines: unknown[];

function replica(): Throttles {
  const logger: Logger = { ...silentLogger, warn: (members: object) => void lines.push(members) };
  const throttles = createThrottles(
    { store: shared, clock, logger, isKnown: () => known, onReleased: () => void released++ },
    { maxThrottleMs: 3_600_000 },
  );
  shared.replicas.push(throttles);
  return throttles;
}

function answered(throttles: Throttles, responseCode: number, pauseMs: number | null): void {
  throttles.onAttempt({ app: anApp(), responseCode, pauseMs, endedAt: clock.now() });
}

beforeEach(() => {
  clock = createManualClock();
  shared = createSharedRecord();
  known = true;
  released = 0;
  lines = [];
});

describe("a throttle", () => {
  test.each<[number, number | null, number | null]>([
    [429, 5_000, 5_000],
    [503, 5_000, 5_000],
    [429, 0, 1_000],
    [429, 24 * 3_600_000, 3_600_000],
    [429, null, null],
  ])("of an answer %i that asks for %s ms lasts %s ms", async (code, pauseMs, lasts) => {
    const throttles = replica();
    const from = clock.now();
    answered(throttles, code, pauseMs);
    expect(throttles.of("acme")).toEqual(lasts === null ? null : { since: from, until: from + lasts + 250, responseCode: code });
    expect(throttles.isThrottled("other")).toBe(false);
    if (lasts === null) return;
    await clock.advance(lasts + 249);
    expect([throttles.isThrottled("acme"), released]).toEqual([true, 0]);
    await clock.advance(1);
    expect([throttles.isThrottled("acme"), throttles.count(), released]).toEqual([false, 0, 1]);
  });

  test("holds for every replica, becomes longer and never shorter, and is logged once", async () => {
    const [one, other] = [replica(), replica()];
    answered(one, 429, 5_000);
    await clock.advance(0);
    const until = clock.now() + 5_250;
    expect(other.of("acme")).toMatchObject({ until });
    answered(other, 503, 2_000);
    await clock.advance(1_000);
    answered(other, 503, 6_000);
    await clock.advance(0);
    for (const replica of [one, other]) expect(replica.of("acme")).toMatchObject({ until: until + 2_000, responseCode: 503 });
    await clock.advance(6_249);
    expect([one.isThrottled("acme"), other.isThrottled("acme")]).toEqual([true, true]);
    await clock.advance(1);
    expect([one.isThrottled("acme"), other.isThrottled("acme"), released, shared.announced, lines.length]).toEqual([
      ...[false, false, 2],
      [],
      1,
    ]);
  });

  test("over 10 s is announced once, and its end once", async () => {
    const [one, other] = [replica(), replica()];
    answered(one, 429, 10_001);
    answered(other, 429, 10_001);
    await clock.advance(10_000);
    expect(shared.announced).toEqual(["throttled"]);
    await clock.advance(1_000);
    answered(one, 429, 10_000);
    await clock.advance(20_000);
    expect([shared.announced, shared.record()?.isAnnounced]).toEqual([["throttled", "released"], false]);
  });

  test("that becomes longer than 10 s is announced then", async () => {
    const throttles = replica();
    answered(throttles, 429, 8_000);
    await clock.advance(5_000);
    expect(shared.announced).toEqual([]);
    answered(throttles, 429, 8_000);
    await clock.advance(0);
    expect(shared.announced).toEqual(["throttled"]);
    await clock.advance(9_000);
    expect(shared.announced).toEqual(["throttled", "released"]);
  });

  test("lasts over a crash of every replica, and ends by its time", async () => {
    answered(replica(), 429, 60_000);
    await clock.advance(0);
    // The crash: the replica's timers run on, but nobody hears of them.
    const before = shared.announced.length;
    shared.isDown = true;
    shared.replicas.length = 0;
    await clock.advance(30_000);
    shared.isDown = false;
    const next = replica();
    shared.load(next);
    expect([next.isThrottled("acme"), before]).toEqual([true, 1]);
    await clock.advance(31_000);
    expect(next.isThrottled("acme")).toBe(false);
    expect(shared.announced).toEqual(["throttled", "released"]);
  });

  test("whose end passed while no replica ran is released by the next one", async () => {
    answered(replica(), 429, 60_000);
    await clock.advance(0);
    shared.isDown = true;
    shared.replicas.length = 0;
    await clock.advance(70_000);
    shared.isDown = false;
    const next = replica();
    shared.load(next);
    expect(next.isThrottled("acme")).toBe(false);
    await clock.advance(2_000);
    expect(shared.announced).toEqual(["throttled", "released"]);
  });

  test("holds on this replica while the store is down, and is stored when that is back", async () => {
    const [one, other] = [replica(), replica()];
    shared.isDown = true;
    answered(one, 429, 30_000);
    await clock.advance(5_000);
    expect([one.isThrottled("acme"), other.isThrottled("acme")]).toEqual([true, false]);
    shared.isDown = false;
    await clock.advance(1_000);
    expect([one.isThrottled("acme"), other.isThrottled("acme"), shared.announced]).toEqual([true, true, ["throttled"]]);
  });

  test("is lifted for all replicas when the app has another receiver", async () => {
    const [one, other] = [replica(), replica()];
    answered(one, 429, 60_000);
    await clock.advance(1_000);
    for (const throttles of [one, other]) throttles.lift("acme");
    await clock.advance(0);
    expect([one.isThrottled("acme"), other.isThrottled("acme"), released, shared.announced]).toEqual([
      ...[false, false, 2],
      ["throttled", "released"],
    ]);
    answered(one, 429, 5_000);
    await clock.advance(0);
    expect(other.isThrottled("acme")).toBe(true);
  });

  test("is lifted here at once while the store is down, and for all when that is back", async () => {
    const [one, other] = [replica(), replica()];
    answered(one, 429, 60_000);
    await clock.advance(0);
    shared.isDown = true;
    one.lift("acme");
    await clock.advance(500);
    expect([one.isThrottled("acme"), released, other.isThrottled("acme")]).toEqual([false, 1, true]);
    // The new receiver asks for less than what the record has.
    answered(one, 429, 5_000);
    shared.isDown = false;
    await clock.advance(1_000);
    const until = clock.now() + 4_250;
    expect([one.of("acme"), other.of("acme")]).toEqual([expect.objectContaining({ until }), expect.objectContaining({ until })]);
    expect(shared.announced).toEqual(["throttled", "released"]);
  });

  test("that is lifted while it is being stored is none", async () => {
    const [one, other] = [replica(), replica()];
    answered(one, 429, 60_000);
    one.lift("acme");
    await clock.advance(2_000);
    expect([one.isThrottled("acme"), other.isThrottled("acme"), released]).toEqual([false, false, 1]);
  });

  test("ends with its app", async () => {
    const throttles = replica();
    answered(throttles, 429, 60_000);
    await clock.advance(0);
    known = false;
    shared.remove();
    expect(throttles.isThrottled("acme")).toBe(false);
    answered(throttles, 429, 60_000);
    await clock.advance(120_000);
    expect([shared.record(), shared.announced]).toEqual([null, ["throttled"]]);
  });

  test("leaves nothing when its app is gone", async () => {
    const throttles = replica();
    throttles.apply("acme", { since: 0, until: clock.now() + 60_000, responseCode: 429, isAnnounced: true }, 7);
    throttles.forget("acme");
    throttles.apply("acme", null, 8);
    await clock.advance(60_250);
    expect([throttles.isThrottled("acme"), released, shared.writes]).toEqual([false, 0, 0]);
    // The record of an app with its slug, in another bucket.
    throttles.apply("acme", { since: 0, until: clock.now() + 60_000, responseCode: 429, isAnnounced: true }, 1);
    expect(throttles.isThrottled("acme")).toBe(true);
  });

  test("from a clock that was wrong lasts no longer than the maximum", async () => {
    const throttles = replica();
    throttles.apply("acme", { since: 0, until: clock.now() + 365 * 86_400_000, responseCode: 429, isAnnounced: true }, 1);
    await clock.advance(3_600_250);
    expect(throttles.isThrottled("acme")).toBe(false);
  });
});

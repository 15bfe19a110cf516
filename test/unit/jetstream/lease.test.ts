import { beforeEach, describe, expect, test } from "vitest";
import { createLease, type Lease } from "../../../src/jetstream/lease.ts";
import type { LeaseNote } from "../../../src/jetstream/lease-record.ts";
import { AppError } from "../../../src/model/app-error.ts";
import { createManualClock, type ManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

let clock: ManualClock;
/** The record in the bucket, and who is told of it. */
let record: { value: string; revision: number } | null;
let revision: number;
let observers: Set<Lease>;
let fault: Error | null;
/** Replicas that the bucket does not answer. */
let cutOff: Set<string>;
/** How long an answer takes. */
let answerMs: number;
/** How far the time is ahead of the timers. */
let stalledMs: number;

beforeEach(() => {
  clock = createManualClock();
  [record, revision, observers, fault, cutOff, answerMs, stalledMs] = [null, 0, new Set(), null, new Set(), 0, 0];
});

interface Holder {
  readonly lease: Lease;
  readonly taken: Array<LeaseNote | null>;
  lost: number;
}

function aReplica(name: string): Holder {
  const write = async (value: string, before: number): Promise<number | "conflict"> => {
    if (cutOff.has(name)) throw new AppError("NATS_UNREACHABLE", "away", { retryable: true });
    if (fault !== null) throw fault;
    if ((record?.revision ?? 0) !== before) return "conflict";
    record = { value, revision: ++revision };
    for (const lease of observers) lease.observe(value, revision);
    const written = revision;
    if (answerMs > 0) await new Promise<void>((resolve) => clock.after(answerMs, resolve));
    return written;
  };
  const holder = { taken: [] as Array<LeaseNote | null>, lost: 0 } as unknown as Holder & { lease: Lease; lost: number };
  const lease = createLease(
    {
      records: {
        readRecord: async () => record,
        createRecord: (_key, value) => write(value, 0),
        updateRecord: (_key, value, at) => write(value, at),
      },
      clock,
      logger: silentLogger,
      monotonicNow: () => clock.now() + stalledMs,
    },
    {
      key: "lease.test",
      holder: name,
      note: () => ({ by: name }),
      onTaken: ({ left }) => void holder.taken.push(left),
      onLost: () => void holder.lost++,
    },
  );
  Object.assign(holder, { lease });
  observers.add(lease);
  if (record !== null) lease.observe(record.value, record.revision);
  lease.start();
  return holder;
}

const holders = (...all: Holder[]): number => all.filter(({ lease }) => lease.isHeld()).length;

describe("a lease", () => {
  test("has one holder, which keeps it", async () => {
    const [one, two] = [aReplica("one"), aReplica("two")];
    for (let n = 0; n < 60; n++) {
      await clock.advance(1_000);
      expect(holders(one, two)).toBe(1);
    }
    expect(one.taken.length + two.taken.length).toBe(1);
  });

  test("goes to another replica at once when it is released, with the note", async () => {
    const one = aReplica("one");
    await clock.advance(5_000);
    const two = aReplica("two");
    await one.lease.stop();
    await clock.advance(500);
    expect([two.lease.isHeld(), two.taken]).toEqual([true, [{ by: "one" }]]);
  });

  test("of a holder that can write no more ends before another one acts", async () => {
    const [one, two] = [aReplica("one"), aReplica("two")];
    await clock.advance(1_000);
    const [name, holder, other] = one.lease.isHeld() ? ["one", one, two] : ["two", two, one];
    observers.delete(holder.lease);
    cutOff.add(name);
    for (let n = 0; n < 200; n++) {
      await clock.advance(100);
      expect(holders(one, two)).toBeLessThanOrEqual(1);
    }
    expect([other.lease.isHeld(), holder.lost]).toEqual([true, 1]);
  });

  test("is kept while the store is full, as long as the record is its own", async () => {
    const one = aReplica("one");
    await clock.advance(1_000);
    fault = new AppError("STORE_FULL", "full", { retryable: true });
    await clock.advance(60_000);
    expect([one.lease.isHeld(), one.taken.length, one.lost]).toEqual([true, 1, 0]);
    fault = null;
    await clock.advance(5_000);
    expect(one.lease.isHeld()).toBe(true);
  });

  test("that ended while the process was suspended is its holder's again while the store is full and nobody else has it", async () => {
    const one = aReplica("one");
    await clock.advance(1_000);
    fault = new AppError("STORE_FULL", "full", { retryable: true });
    cutOff.add("one");
    await clock.advance(20_000);
    expect([one.lease.isHeld(), one.lost]).toEqual([false, 1]);
    cutOff.clear();
    await clock.advance(1_000);
    expect([one.lease.isHeld(), one.taken.length]).toEqual([true, 2]);
  });

  test("that has ended is not extended by a rewrite that was under way: its holder takes it anew", async () => {
    const one = aReplica("one");
    await clock.advance(1_000);
    answerMs = 5_400;
    await clock.advance(6_890);
    expect([one.lease.isHeld(), one.taken.length]).toEqual([true, 1]);
    // The process stands still, and looks at the time after the answer has come.
    stalledMs = 200;
    expect(one.lease.isHeld()).toBe(false);
    answerMs = 0;
    await clock.advance(15);
    expect([one.lease.isHeld(), one.lost]).toEqual([false, 1]);
    await clock.advance(1_000);
    expect([one.lease.isHeld(), one.taken.length]).toEqual([true, 2]);
  });

  test("is lost at the next write when somebody else has taken it", async () => {
    const one = aReplica("one");
    await clock.advance(1_000);
    record = { value: JSON.stringify({ holder: "somebody", note: {} }), revision: ++revision };
    await clock.advance(3_000);
    expect([one.lease.isHeld(), one.lost]).toEqual([false, 1]);
  });
});

import { expect, test } from "vitest";
import { createProgress, type Progress } from "../../../src/replays/progress.ts";
import type { ReplayRecord } from "../../../src/replays/replay-record.ts";

const NOTHING = { failed: 0, missed: 0, delivered: 0, sent: 0, skipped: 0 };

const progressOf = (members: Partial<ReplayRecord> = {}): Progress =>
  createProgress({ events: { first: 5, next: 5, last: 99 }, dead_letters: null, counts: NOTHING, ...members } as ReplayRecord);

test("a message that has not ended keeps the cursor before it, and its counts out", () => {
  const progress = progressOf();
  const [first, second] = [progress.begin("events", 7), progress.begin("events", 9)];
  for (const message of [first, second]) {
    message.found("missed");
    message.sent();
  }
  second?.end();
  expect(progress.snapshot()).toEqual({ events: { first: 5, next: 5, last: 99 }, dead_letters: null, counts: NOTHING });
  expect(progress.sent()).toBe(2);
  first?.end();
  expect(progress.snapshot()).toMatchObject({ events: { next: 10 }, counts: { missed: 2, sent: 2 } });
});

test("the end of a page moves the cursor once everything before it has ended", () => {
  const progress = progressOf();
  const message = progress.begin("events", 7);
  message.found("delivered");
  message.skipped();
  progress.read("events", 42);
  expect(progress.snapshot().events?.next).toBe(5);
  message.end();
  expect(progress.snapshot()).toMatchObject({ events: { next: 43 }, counts: { delivered: 1, skipped: 1 } });
});

test("a resumed replay counts on from its record, and each stream has a cursor of its own", () => {
  const progress = progressOf({ dead_letters: { first: 1, next: 3, last: 8 }, counts: { ...NOTHING, sent: 4, missed: 4 } });
  progress.read("events", 99);
  const message = progress.begin("dead_letters", 3);
  message.found("failed");
  message.sent();
  message.end();
  expect(progress.snapshot()).toEqual({
    events: { first: 5, next: 100, last: 99 },
    dead_letters: { first: 1, next: 4, last: 8 },
    counts: { ...NOTHING, sent: 5, missed: 4, failed: 1 },
  });
});

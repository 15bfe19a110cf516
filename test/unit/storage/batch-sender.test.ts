import { expect, test } from "vitest";
import type { LateBatch } from "../../../src/delivery/tracing-ports.ts";
import { createBatchSender } from "../../../src/storage/batch-sender.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const BATCH = { entries: [], notes: [] };

function setUp(write: (number: number, tries: number) => string[]) {
  const clock = createManualClock();
  const startedAt = clock.now();
  const calls: Array<{ number: number; afterMs: number }> = [];
  const late: LateBatch[] = [];
  const lines: string[] = [];
  const log = (level: string) => (_fields: object, message: string) => void lines.push(`${level} ${message}`);
  const sender = createBatchSender({
    async write(_writer, number) {
      calls.push({ number, afterMs: clock.now() - startedAt });
      return write(number, calls.length);
    },
    clock,
    logger: { ...silentLogger, info: log("info"), warn: log("warn"), error: log("error") },
    onLateBatch: (batch) => void late.push(batch),
    counts: () => ({ buffered: 0, dropped: 0 }),
  });
  return { clock, calls, late, lines, sender };
}

test("a batch that Redis takes is sent once, under the next number", async () => {
  const { calls, late, lines, sender } = setUp(() => []);
  await sender.send(BATCH);
  await sender.send(BATCH);
  expect([calls.map(({ number }) => number), late, lines]).toEqual([[1, 2], [], []]);
});

test("a batch that fails is sent again under its number, after pauses that double up to a second, and logged once", async () => {
  const { clock, calls, late, lines, sender } = setUp((_number, tries) => {
    if (tries <= 6) throw new Error("no Redis");
    return [];
  });
  const sent = sender.send(BATCH);
  await clock.advance(5_000);
  await sent;
  expect(calls.map(({ number, afterMs }) => [number, afterMs])).toEqual(
    [0, 100, 300, 700, 1_500, 2_500, 3_500].map((afterMs) => [1, afterMs]),
  );
  expect(late).toMatchObject([{ tries: 7, error: "no Redis" }]);
  expect(lines).toEqual(["warn request log not written; attempts are buffered", "info request log written again"]);
});

test("wake ends the pause", async () => {
  const { calls, sender } = setUp((_number, tries) => {
    if (tries === 1) throw new Error("no Redis");
    return [];
  });
  const sent = sender.send(BATCH);
  await new Promise((resolve) => setImmediate(resolve));
  sender.wake();
  await sent;
  expect(calls.map(({ afterMs }) => afterMs)).toEqual([0, 0]);
});

test("refused writes to single keys are counted, and logged at most every ten seconds", async () => {
  const { clock, lines, sender } = setUp(() => ["request:{acme}: WRONGTYPE"]);
  for (let batches = 0; batches < 3; batches++) await sender.send(BATCH);
  expect([sender.refused(), lines.length]).toEqual([3, 1]);
  await clock.advance(10_000);
  await sender.send(BATCH);
  expect([sender.refused(), lines.length]).toEqual([4, 2]);
});

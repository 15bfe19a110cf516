import { expect, test } from "vitest";
import { createDiscardRun } from "../../../src/dead-letters/discard-run.ts";
import type { GivenUp } from "../../../src/delivery/give-up.ts";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import { AppError } from "../../../src/model/app-error.ts";
import { encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import { aDelivery } from "../../support/builders.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

function setUp(
  options: {
    wanted?: () => boolean;
    delivered?: readonly string[];
    storeFails?: (givenUp: GivenUp) => AppError | null;
    attempted?: readonly number[];
  } = {},
) {
  const { wanted = () => true, delivered = [], storeFails = () => null, attempted = [] } = options;
  const log: string[] = [];
  const run = createDiscardRun(
    {
      giveUp: {
        async delivery(givenUp) {
          // The first store takes longer than those behind it.
          if (givenUp.delivery.id === "d-1") await new Promise((resolve) => setImmediate(resolve));
          const fault = storeFails(givenUp);
          if (fault !== null) throw fault;
          log.push(`${givenUp.reason} ${givenUp.delivery.id}`);
          return 1;
        },
        async message({ sequence }, reason) {
          log.push(`${reason} message ${sequence}`);
        },
      },
      skipDelivered: async ({ id }) => delivered.includes(id),
      clock: createManualClock(),
      logger: silentLogger,
    },
    {
      app: "acme",
      isEarlier: ({ sequence }) => sequence <= 10,
      isWanted: wanted,
      isAttempted: (sequence) => attempted.includes(sequence),
      onCompleted: () => {},
    },
  );
  const message = (sequence: number, text?: string): ConsumedMessage =>
    ({
      ...{ subject: "p.parked.acme", stream: "P_PARKED", sequence, deliveries: 1 },
      data: Buffer.from(
        text ?? encodeDeliveryMessage({ delivery: aDelivery({ id: `d-${sequence}` }), dueAt: null, delayMs: 0, notBefore: false }),
      ),
      ack: () => void log.push(`ack ${sequence}`),
      nak: (delayMs: number) => void log.push(`nak ${sequence} ${delayMs}`),
    }) as unknown as ConsumedMessage;
  return { run, log, message };
}

test("deliveries become dead letters and are acknowledged in the order of the queue", async () => {
  const { run, log, message } = setUp();
  for (const sequence of [1, 2, 3]) run.take(message(sequence));
  await run.completed();
  expect(log.filter((line) => line.startsWith("ack"))).toEqual(["ack 1", "ack 2", "ack 3"]);
  for (const n of [1, 2, 3]) expect(log.indexOf(`discarded d-${n}`)).toBeLessThan(log.indexOf(`ack ${n}`));
  expect(run.state).toMatchObject({ completed: 3, discarded: 3, spare: 0, refusal: null });
});

test("one that was delivered before is removed, and is no dead letter", async () => {
  const { run, log, message } = setUp({ delivered: ["d-1"] });
  run.take(message(1));
  await run.completed();
  expect(log).toEqual(["ack 1"]);
  expect(run.state).toMatchObject({ completed: 1, discarded: 0 });
});

test("one that can't be read is kept as it is", async () => {
  const { run, log, message } = setUp();
  run.take(message(1, "not JSON"));
  await run.completed();
  expect(log).toEqual(["invalid message 1", "ack 1"]);
});

test("what is parked after the call, or taken when nobody wants the discard any more, is given back once at the end", async () => {
  let wanted = true;
  const { run, log, message } = setUp({ wanted: () => wanted });
  run.take(message(11));
  wanted = false;
  run.take(message(2));
  await run.completed();
  expect([log, run.state.spare]).toEqual([[], 2]);
  run.giveBack();
  expect(log).toEqual(["nak 11 1", "nak 2 1"]);
});

test("a refusal of the dead-letters stream is kept, and its delivery comes again", async () => {
  const refusal = new AppError("STREAM_REFUSED", "the stream is full", { retryable: true });
  const { run, log, message } = setUp({ storeFails: ({ delivery }) => (delivery.id === "d-2" ? refusal : null) });
  for (const sequence of [1, 2]) run.take(message(sequence));
  await run.completed();
  expect(log.slice(-2)).toEqual(["ack 1", "nak 2 1000"]);
  expect(run.state).toMatchObject({ completed: 1, discarded: 1, refusal });
});

test("one that is being attempted comes again: the attempt decides", async () => {
  const { run, log, message } = setUp({ attempted: [2] });
  for (const sequence of [1, 2]) run.take(message(sequence));
  await run.completed();
  expect(log).toEqual(["nak 2 500", "discarded d-1", "ack 1"]);
});

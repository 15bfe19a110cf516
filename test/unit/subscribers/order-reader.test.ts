import { expect, test } from "vitest";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createConsumerDeletions } from "../../../src/jetstream/consumer-deletions.ts";
import { orderConsumer } from "../../../src/jetstream/consumers.ts";
import { createHeldBytes } from "../../../src/jetstream/held-bytes.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { createOrderReader } from "../../../src/subscribers/ordered/order-reader.ts";
import { anEvent, anInstallation } from "../../support/builders.ts";
import { createFakeJetStream } from "../../support/fake-jetstream.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

test("what a reader lets go of does not count as given back by the events' own consumer", async () => {
  const clock = createManualClock();
  const names = createSubjects("t");
  const settings = orderConsumer(names, "1");
  const { connection, manager, connectionState, store } = createFakeJetStream(clock, settings.ackWaitMs, settings, false);
  const givenBack: number[] = [];
  let accepted = 0;
  const reader = createOrderReader(
    {
      ...{ connection, connectionState, clock, names, logger: silentLogger },
      manager: { ...manager, consumers: { ...manager.consumers, async *list() {} } } as never,
      acks: createAckBatcher(connection, connectionState, clock),
      consumerDeletions: createConsumerDeletions(connection, silentLogger),
      giveBacks: { note: ({ sequence }) => void givenBack.push(sequence), mayGiveBack: () => true, count: async () => 0 },
      monotonicNow: clock.now,
      mayPull: () => true,
      registry: { app: () => undefined },
      readEvent: () => ({ ok: true, event: anEvent() }),
      match: () => [anInstallation()],
      isHeld: () => true,
      isTaken: () => true,
      accept: () => void accepted++,
      poisonLimit: { handOut: () => null },
      giveUp: { message: async () => {} },
      heldBytes: createHeldBytes(1_024 * 1_024),
    },
    { term: "1", from: 1 },
  );
  store("an event");
  await reader.start();
  await clock.advance(1_000);
  expect([accepted, reader.readTo(), reader.floor()]).toEqual([1, 1, 0]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
  expect(givenBack).toEqual([]);
});

import { expect, test } from "vitest";
import { createDiscardBacklog } from "../../../src/dead-letters/discard.ts";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createConsumerDeletions } from "../../../src/jetstream/consumer-deletions.ts";
import { parkedConsumer } from "../../../src/jetstream/consumers.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import { encodeDeliveryMessage } from "../../../src/model/delivery-message.ts";
import type { ParkedDelivery } from "../../../src/subscribers/parked/backlog.ts";
import { aDelivery, anEvent, UUID } from "../../support/builders.ts";
import { createFakeJetStream } from "../../support/fake-jetstream.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const names = createSubjects("t");
const settings = parkedConsumer(names, "acme", UUID, 64);

test("a discard ends although more is parked with everything that it reads: it reads no further than what was parked before", async () => {
  const clock = createManualClock();
  const { connection: server, manager, connectionState, store, unacknowledged } = createFakeJetStream(clock, 30_000, settings, false);
  const connection = Object.assign(server, { info: { version: "2.10.25" } });
  const park = (id: number) =>
    store(encodeDeliveryMessage({ delivery: aDelivery({}, anEvent({ id: `e-${id}` })), dueAt: null, delayMs: 0, notBefore: false }));
  for (const id of [1, 2, 3]) park(id);
  const given: string[] = [];
  const discard = createDiscardBacklog({
    ...{ connection, manager, connectionState, clock, names, logger: silentLogger, mayPull: () => true, monotonicNow: clock.now },
    acks: createAckBatcher(connection, connectionState, clock),
    consumerDeletions: createConsumerDeletions(connection, silentLogger),
    giveBacks: { note: () => {}, mayGiveBack: () => true, count: async () => 0 },
    giveUp: { delivery: async ({ delivery }) => given.push(delivery.event.id), message: () => Promise.reject(new Error("not called")) },
    skipDelivered: async () => false,
    inFlightOfReplicas: async () => new Set(),
    backlog: {
      async *read(_queue, { to = Number.POSITIVE_INFINITY } = {}) {
        for (let sequence = unacknowledged()[0] ?? 4; sequence <= to; sequence = park(sequence)) {
          if (sequence > 100) throw new Error("it reads on and on");
          yield { message: { sequence, header: () => undefined } } as unknown as ParkedDelivery;
        }
      },
    },
  });
  const discarding = discard({ app: "acme", installationUuid: UUID }, () => true);
  await clock.advance(5_000);
  expect(await discarding).toEqual({ discarded: 3, inFlight: 0 });
  expect(given).toEqual(["e-1", "e-2", "e-3"]);
});

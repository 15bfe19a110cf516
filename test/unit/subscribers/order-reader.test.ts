import { ErrorCode, NatsError } from "nats";
import { expect, test } from "vitest";
import { createAckBatcher } from "../../../src/jetstream/ack-batcher.ts";
import { createConsumerDeletions } from "../../../src/jetstream/consumer-deletions.ts";
import { orderConsumer } from "../../../src/jetstream/consumers.ts";
import { createHeldBytes } from "../../../src/jetstream/held-bytes.ts";
import type { ConsumedMessage } from "../../../src/jetstream/message.ts";
import { createSubjects } from "../../../src/jetstream/subjects.ts";
import type { ReadEvent } from "../../../src/model/event-reader.ts";
import { createOrderReader, type HeldEvent } from "../../../src/subscribers/ordered/order-reader.ts";
import { anEvent, anInstallation } from "../../support/builders.ts";
import { eventually } from "../../support/eventually.ts";
import { createFakeJetStream } from "../../support/fake-jetstream.ts";
import { heapBytes } from "../../support/fuzz.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

function aReader(readEvent: (message: ConsumedMessage) => ReadEvent = () => ({ ok: true, event: anEvent() }), readAnyEvent = readEvent) {
  const clock = createManualClock();
  const names = createSubjects("t");
  const settings = orderConsumer(names, "1");
  const { connection, manager, connectionState, store } = createFakeJetStream(clock, settings.ackWaitMs, settings, false);
  const givenBack: number[] = [];
  const givenUp: Array<[sequence: number, reason: string, problem: string]> = [];
  /** Sequences that are there to be looked up. */
  const inStream = new Set<number>();
  let looks = 0;
  const getMessage = async (_stream: string, { seq }: { seq: number }) => {
    looks++;
    const [first] = [...inStream].filter((one) => one >= seq);
    const found = { code: 404, err_code: 10_037, description: "no message found" };
    if (first === undefined) throw Object.assign(new NatsError(found.description, ErrorCode.JetStream404NoMessages), { api_error: found });
    return { seq: first };
  };
  const accepted: HeldEvent[] = [];
  const reader = createOrderReader(
    {
      ...{ connection, connectionState, clock, names, logger: silentLogger },
      manager: { ...manager, consumers: { ...manager.consumers, async *list() {} }, streams: { ...manager.streams, getMessage } } as never,
      acks: createAckBatcher(connection, connectionState, clock),
      consumerDeletions: createConsumerDeletions(connection, silentLogger),
      giveBacks: { note: ({ sequence }) => void givenBack.push(sequence), mayGiveBack: () => true, count: async () => 0 },
      monotonicNow: clock.now,
      mayPull: () => true,
      registry: { app: () => undefined },
      ...{ readEvent, readAnyEvent },
      match: () => [anInstallation()],
      isHeld: () => true,
      isTaken: () => true,
      accept: (_delivery, event) => void accepted.push(event),
      poisonLimit: { reading: () => null },
      giveUp: { message: async ({ sequence }, reason, problem) => void givenUp.push([sequence, reason, problem]) },
      heldBytes: createHeldBytes(1_024 * 1_024),
    },
    { term: "1", from: 1 },
  );
  return { clock, store, reader, inStream, givenBack, givenUp, accepted, looks: () => looks };
}

test("what a reader lets go of does not count as given back by the events' own consumer", async () => {
  const { clock, store, reader, givenBack, accepted } = aReader();
  store("an event");
  await reader.start();
  await clock.advance(1_000);
  expect([accepted.length, reader.readTo(), reader.floor()]).toEqual([1, 1, 0]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
  expect(givenBack).toEqual([]);
});

test("an event that is done is not kept while one before it is not", async () => {
  const { clock, store, reader, accepted } = aReader();
  for (const text of ["a", "b", "c"]) store(text);
  await reader.start();
  await clock.advance(1_000);
  const messageOfSecond = (): WeakRef<object> => {
    const [second] = accepted.splice(1, 1);
    second?.done();
    return new WeakRef(second?.message ?? {});
  };
  const message = messageOfSecond();
  await clock.advance(1_000);
  await eventually(() => {
    heapBytes();
    return message.deref() === undefined;
  });
  expect([reader.floor(), reader.readTo(), accepted.length]).toEqual([0, 3, 2]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
});

test("many that ask at once whether their events are read cost one look at the stream", async () => {
  const { reader, inStream, looks } = aReader();
  for (const sequence of [1, 2, 3]) inStream.add(sequence);
  expect(await Promise.all(Array.from({ length: 32 }, () => reader.isReadBefore(3)))).not.toContain(true);
  expect(looks()).toBe(1);
});

test("all events before one are read once they have come, or have left the stream", async () => {
  const { clock, store, reader, inStream } = aReader();
  for (const sequence of [1, 2, 3]) inStream.add(sequence);
  const are = (...sequences: number[]): Promise<boolean[]> => Promise.all(sequences.map((one) => reader.isReadBefore(one)));
  expect(await are(1, 2, 3, 4)).toEqual([true, false, false, false]);
  inStream.delete(1);
  expect(await are(1, 2, 3, 4)).toEqual([true, true, false, false]);
  for (const text of ["a", "b"]) store(text);
  await reader.start();
  await clock.advance(1_000);
  expect([reader.readTo(), await are(3, 4, 5)]).toEqual([2, [true, false, false]]);
  inStream.clear();
  expect(await are(3, 4, 5)).toEqual([true, true, true]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
});

test("an event that an app takes and that is over a limit goes to dead letters, and those behind it are read", async () => {
  const isReadable = { ok: true as const, event: anEvent() };
  const { clock, store, reader, givenUp, accepted } = aReader(
    ({ sequence }) => (sequence === 2 ? { ok: false, problem: "body: found 80 bytes, wanted at most 64" } : isReadable),
    () => isReadable,
  );
  for (const text of ["a", "too large", "c"]) store(text);
  await reader.start();
  await clock.advance(1_000);
  expect(givenUp).toEqual([[2, "invalid", "body: found 80 bytes, wanted at most 64"]]);
  expect([reader.readTo(), reader.floor(), accepted.length]).toEqual([3, 0, 2]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
});

test("an event that nobody can read is left to the events' own consumer", async () => {
  const { clock, store, reader, givenUp } = aReader(() => ({ ok: false, problem: "body: not JSON" }));
  store("x");
  await reader.start();
  await clock.advance(1_000);
  expect([givenUp, reader.readTo(), reader.floor()]).toEqual([[], 1, 1]);
  await Promise.all([reader.stop(), clock.advance(3_000)]);
});

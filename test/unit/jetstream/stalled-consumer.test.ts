import type { JetStreamManager, NatsConnection } from "nats";
import { expect, test } from "vitest";
import { ackFilters } from "../../../src/jetstream/api-subjects.ts";
import { createStalledConsumer } from "../../../src/jetstream/stalled-consumer.ts";
import { createManualClock } from "../../support/manual-clock.ts";
import { silentLogger } from "../../support/silent-logger.ts";

const QUIET_MS = 1_000;
const ACK_WAIT_MS = 3_000;
const settings = {
  ...{ stream: "T_PARKED", consumer: "posthorn-app-acme", filterSubject: "t.parked.acme", isWorkQueue: true },
  ...{ ackWaitMs: ACK_WAIT_MS, maxAckPending: 1 },
};

/** What the server says of the consumer, and what its stream holds. */
interface Facts {
  pending: number;
  ackPending: number;
  delivered: number;
  /** The sequences that are stored. */
  stored: number[];
}

function watch(given: Partial<Facts>) {
  const clock = createManualClock();
  const facts: Facts = { pending: 0, ackPending: 0, delivered: 0, stored: [], ...given };
  const deleted: string[] = [];
  const listeners = new Map<string, (error: Error | null) => void>();
  const connection = {
    flush: async () => {},
    subscribe(subject: string, { callback }: { readonly callback: (error: Error | null) => void }) {
      listeners.set(subject, callback);
      return { unsubscribe: () => listeners.delete(subject) };
    },
  } as unknown as NatsConnection;
  const manager = {
    consumers: {
      info: async () => ({
        ...{ created: "1", num_pending: facts.pending, num_ack_pending: facts.ackPending },
        config: { max_ack_pending: settings.maxAckPending, ack_wait: ACK_WAIT_MS * 1e6 },
        delivered: { consumer_seq: facts.delivered, stream_seq: facts.delivered },
        ack_floor: { consumer_seq: 0, stream_seq: 0 },
      }),
      delete: async (_stream: string, consumer: string) => void deleted.push(consumer),
    },
    streams: {
      info: async () => ({ state: { subjects: facts.stored.length === 0 ? {} : { "t.parked.acme": facts.stored.length } } }),
      async getMessage(_stream: string, { seq }: { readonly seq: number }) {
        return facts.stored.includes(seq) ? { seq } : null;
      },
    },
  } as unknown as JetStreamManager;
  const connectionState = { onReconnect: () => () => {}, onDisconnect: () => () => {} };
  const stalled = createStalledConsumer(
    { connection, connectionState, manager, clock, logger: silentLogger },
    { settings, quietMs: QUIET_MS },
  );
  const since = clock.now();
  /** Checks once a second, as a pull consumer does that gets no message. */
  const checkFor = async (ms: number): Promise<void> => {
    for (const until = clock.now() + ms; clock.now() < until; ) {
      await clock.advance(1_000);
      stalled.check(since);
    }
    await clock.advance(0);
  };
  return { facts, deleted, listeners, checkFor };
}

test.each<[string, Partial<Facts>]>([
  ["with pending messages and room for them", { pending: 3, stored: [1, 2, 3] }],
  ["whose work queue holds messages that it does not count", { stored: [1] }],
  ["that waits for acks of messages which are not stored any more", { ackPending: 1, delivered: 2, stored: [3] }],
])("STALL-1: a consumer %s is recreated at the second check", async (_case, facts) => {
  const { deleted, checkFor } = watch(facts);
  await checkFor(QUIET_MS);
  expect(deleted).toEqual([]);
  await checkFor(QUIET_MS);
  expect(deleted).toEqual([settings.consumer]);
});

test.each<[string, Partial<Facts>]>([
  ["of an empty queue", {}],
  ["whose limit of unacknowledged messages is reached, for the first while", { pending: 5, ackPending: 1, delivered: 1, stored: [1, 2] }],
])("a consumer %s is left alone", async (_case, facts) => {
  const { deleted, checkFor } = watch(facts);
  await checkFor(2 * ACK_WAIT_MS);
  expect(deleted).toEqual([]);
});

test("a consumer that hands out messages between two checks is left alone", async () => {
  const { facts, deleted, checkFor } = watch({ pending: 100, stored: [1] });
  for (let nth = 0; nth < 10; nth++) {
    facts.delivered++;
    await checkFor(QUIET_MS);
  }
  expect(deleted).toEqual([]);
});

test("STALL-2: a consumer that waits for acks is recreated when nobody says anything of its messages for several ack_waits", async () => {
  const { deleted, checkFor } = watch({ ackPending: 1, delivered: 1, stored: [1] });
  await checkFor(3 * ACK_WAIT_MS);
  expect(deleted).toEqual([]);
  await checkFor(3 * ACK_WAIT_MS);
  expect(deleted).toEqual([settings.consumer]);
});

test.each(ackFilters(settings.stream, settings.consumer))("STALL-2: it is left alone while a holder answers on %s", async (subject) => {
  const { deleted, listeners, checkFor } = watch({ ackPending: 1, delivered: 1, stored: [1] });
  for (let nth = 0; nth < 30; nth++) {
    await checkFor(1_000);
    listeners.get(subject)?.(null);
  }
  expect(deleted).toEqual([]);
});

test("STALL-2: it is left alone where the server does not permit to listen to its holders", async () => {
  const { deleted, listeners, checkFor } = watch({ ackPending: 1, delivered: 1, stored: [1] });
  for (let nth = 0; nth < 30; nth++) {
    await checkFor(1_000);
    for (const notify of [...listeners.values()]) notify(new Error("permissions violation"));
  }
  expect(deleted).toEqual([]);
  expect(listeners.size).toBe(0);
});

/**
 * Every stored message is read, also where the server has lost it from its index of subjects (INDEX-1), as releases before 2.10.25 do.
 * The index is damaged by three messages in five operations, or by some hundred random ones.
 */
import {
  AckPolicy,
  connect,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  RetentionPolicy,
  type StreamConfig,
} from "nats";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type ConsumerSettings, ensureConsumer } from "../../src/jetstream/consumers.ts";
import { unlessNotFound } from "../../src/jetstream/nats-errors.ts";
import { queueSpansOf, readNewestFirst, spansOf } from "../../src/jetstream/read-newest-first.ts";
import { readForwards } from "../../src/jetstream/read-stream.ts";
import { firstMessageOf, readSubject, restoreLost, type SubjectQuery } from "../../src/jetstream/read-subject.ts";
import { createStalledConsumer } from "../../src/jetstream/stalled-consumer.ts";
import { nextMessage } from "../../src/jetstream/stored-message.ts";
import { countBySubject, subjectState } from "../../src/jetstream/subject-counts.ts";
import { mayLoseMessages } from "../../src/jetstream/subject-index.ts";
import { eventually } from "../support/eventually.ts";
import { createManualClock } from "../support/manual-clock.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let nats: Server;
let connection: NatsConnection;
let manager: JetStreamManager;
let jetStream: JetStreamClient;
let streams = 0;
let stream: string;
let prefix: string;

beforeAll(async () => {
  nats = await startNatsServer();
  connection = await connect({ servers: nats.url });
  manager = await connection.jetstreamManager();
  jetStream = connection.jetstream();
});
afterAll(async () => {
  await connection.close();
  await nats.stop();
});
beforeEach(() => {
  [stream, prefix] = [`S${++streams}`, `s${streams}`];
});

const createStream = (retention: RetentionPolicy, limits: Partial<StreamConfig> = {}) =>
  manager.streams.add({ name: stream, subjects: [`${prefix}.>`], retention, ...limits });
const publish = async (subject: string): Promise<number> => (await jetStream.publish(`${prefix}.${subject}`, subject)).seq;
const remove = (sequence: number) => manager.streams.deleteMessage(stream, sequence, false);

/** Sequence 2 of a.x is lost; 4 to 8 are b.x, and 9 is a.y. */
async function loseTheSecond(retention = RetentionPolicy.Workqueue): Promise<void> {
  await createStream(retention);
  for (const subject of ["a.x", "a.x", "a.x", "b.x", "b.x", "b.x", "b.x", "b.x", "a.y"]) await publish(subject);
  await remove(3);
  await remove(1);
  const found = await nextMessage(manager, stream, `${prefix}.a.x`, 1);
  expect(found === null).toBe(mayLoseMessages(connection));
}

const sequencesOf = async (query: Omit<SubjectQuery, "stream">): Promise<number[]> => {
  const found: number[] = [];
  const subject = `${prefix}.${query.subject}`;
  for await (const { seq } of readSubject(connection, manager, { ...query, stream, subject })) found.push(seq);
  return found.sort((a, b) => a - b);
};

test("a message that the index has lost is read by its subject, a wildcard, and within bounds", async () => {
  await loseTheSecond();
  expect(await sequencesOf({ subject: "a.x" })).toEqual([2]);
  expect(await sequencesOf({ subject: "a.*" })).toEqual([2, 9]);
  expect(await sequencesOf({ subject: "*.x" })).toEqual([2, 4, 5, 6, 7, 8]);
  expect(await sequencesOf({ subject: ">" })).toEqual([2, 4, 5, 6, 7, 8, 9]);
  expect(await sequencesOf({ subject: "a.x", from: 2, to: 2 })).toEqual([2]);
  expect(await sequencesOf({ subject: "a.*", from: 2, to: 8 })).toEqual([2]);
  expect(await sequencesOf({ subject: "a.*", from: 3 })).toEqual([9]);
  expect(await sequencesOf({ subject: "a.x", from: 3 })).toEqual([]);
  expect(await sequencesOf({ subject: "a.*", state: { count: 2, last: 9 } })).toEqual([2, 9]);
  expect((await firstMessageOf(connection, manager, { stream, subject: `${prefix}.a.x` }))?.seq).toBe(2);
});

/** Counts the look-ups of messages. */
function counted(): { readonly manager: JetStreamManager; readonly lookUps: () => number } {
  let lookUps = 0;
  const getMessage: JetStreamManager["streams"]["getMessage"] = (...query) => {
    lookUps++;
    return manager.streams.getMessage(...query);
  };
  const streams: unknown = Object.assign(Object.create(manager.streams), { getMessage });
  return { manager: Object.assign(Object.create(manager), { streams }) as JetStreamManager, lookUps: () => lookUps };
}

const fill = (count: number): Promise<number[]> => Promise.all(Array.from({ length: count }, () => publish("b.x")));

test("a subject is counted and read whole although the block of its first messages is gone", async () => {
  // Its blocks are of 32 KB.
  await createStream(RetentionPolicy.Workqueue, { max_bytes: 120_000 });
  for (let n = 0; n < 12; n++) await jetStream.publish(`${prefix}.a.x`, new Uint8Array(8_000));
  for (let sequence = 1; sequence <= 8; sequence++) await remove(sequence);
  const subject = `${prefix}.a.x`;
  expect((await subjectState(manager, stream, subject)).count).toBe(4);
  expect([...(await countBySubject(manager, stream, subject))]).toEqual([[subject, 4]]);
  expect(await sequencesOf({ subject: "a.x" })).toEqual([9, 10, 11, 12]);
});

test("a reader that continues from the last sequence passes over nothing that was stored and lost meanwhile", async () => {
  await loseTheSecond();
  const found: number[] = [];
  const read = async (from: number): Promise<void> => {
    for await (const { seq } of readSubject(connection, manager, { stream, subject: `${prefix}.a.*`, from })) {
      found.push(seq);
      if (found.length > 1) continue;
      for (let n = 0; n < 3; n++) await publish("a.z");
      await remove(12);
      await remove(10);
      await publish("a.z");
    }
  };
  await read(1);
  await read(Math.max(...found) + 1);
  expect(found.sort((a, b) => a - b)).toEqual([2, 9, 11, 13]);
});

test("what is stored during the reading does not put off the lost one", async () => {
  await loseTheSecond();
  const found: number[] = [];
  for await (const { seq } of readSubject(connection, manager, { stream, subject: `${prefix}.a.*` })) {
    found.push(seq);
    if (found.length < 5) await publish("a.y");
    else break;
  }
  expect(found).toContain(2);
});

test("a message that is deleted during the reading costs no search among the others", async () => {
  await loseTheSecond();
  await fill(200);
  for (let n = 0; n < 5; n++) await publish("c.x");
  const { manager: counting, lookUps } = counted();
  const found: number[] = [];
  for await (const { seq } of readSubject(connection, counting, { stream, subject: `${prefix}.c.x` })) {
    found.push(seq);
    if (found.length === 2) await remove(seq + 1);
  }
  expect([found.length, lookUps() < 30]).toEqual([4, true]);
});

test("one who looks for the first message looks at few others", { timeout: 30_000 }, async () => {
  await loseTheSecond();
  await fill(4_000);
  const [first = 0, , third = 0] = [await publish("c.x"), await publish("c.x"), await publish("c.x")];
  await remove(third);
  await remove(first);
  const { manager: counting, lookUps } = counted();
  await firstMessageOf(connection, counting, { stream, subject: `${prefix}.c.x` });
  await firstMessageOf(connection, counting, { stream, subject: `${prefix}.d` });
  expect(lookUps()).toBeLessThan(2_100);
});

test("a list with bounds looks at few messages outside them", async () => {
  await createStream(RetentionPolicy.Workqueue);
  for (let n = 0; n < 60; n++) await publish("a.x");
  await fill(100);
  const { manager: counting, lookUps } = counted();
  const query = { stream, subject: `${prefix}.a.x`, from: 61, mostOthers: 5 };
  for await (const _ of readSubject(connection, counting, query));
  expect(lookUps()).toBeLessThan(30);
});

test("a list has it in its place", async () => {
  await loseTheSecond();
  const { items } = await readNewestFirst({
    ...{ from: 1, to: 9, read: queueSpansOf(connection, manager, stream, `${prefix}.a.>`) },
    ...{ take: ({ sequence }) => sequence, isEnough: () => false },
  });
  expect(items.map(({ value }) => value)).toEqual([9, 2]);
});

test("a limits stream is read with it", async () => {
  await loseTheSecond(RetentionPolicy.Limits);
  const found: number[] = [];
  const query = { stream, subject: `${prefix}.*.x`, from: 1, to: Number.POSITIVE_INFINITY, batch: 3 };
  for await (const { sequence } of readForwards(connection, manager, query)) found.push(sequence);
  expect(found).toEqual([2, 4, 5, 6, 7, 8]);
});

test("a rare subject of a limits stream is read without the others, unless one of its messages is lost", async () => {
  await loseTheSecond(RetentionPolicy.Limits);
  await fill(100);
  await publish("c.x");
  const read = async (subject: string): Promise<[found: number[], others: number]> => {
    const found: number[] = [];
    let others = 0;
    const query = {
      stream,
      subject: `${prefix}.${subject}`,
      from: 1,
      to: Number.POSITIVE_INFINITY,
      batch: 50,
      onOther: () => void others++,
    };
    for await (const { sequence } of readForwards(connection, manager, query)) found.push(sequence);
    return [found, others];
  };
  expect(await read("c.x")).toEqual([[110], 0]);
  expect(await read("d")).toEqual([[], 0]);
  expect(await read("a.x")).toEqual([[2], mayLoseMessages(connection) ? 107 : 0]);
});

test("a list that had to read others says how far back it has looked", async () => {
  await loseTheSecond(RetentionPolicy.Limits);
  await fill(40);
  const { items, below, oldestAt } = await readNewestFirst({
    ...{ from: 1, to: 49, read: spansOf(connection, manager, stream, `${prefix}.a.x`), maxMessages: 0 },
    ...{ take: ({ sequence }) => sequence, isEnough: () => false },
  });
  expect([items.length, below, oldestAt !== null]).toEqual([0, 33, mayLoseMessages(connection)]);
});

test("after random publishing and deleting, every message of every subject is read", { timeout: 60_000 }, async () => {
  await createStream(RetentionPolicy.Workqueue);
  let state = 7;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  const live = new Map<number, string>();
  let lost = 0;
  for (let round = 0; round < 60; round++) {
    for (let count = 1 + random(6); count > 0; count--) {
      const subject = ["a", "a.x", "a.y"][random(3)] ?? "a";
      live.set(await publish(subject), subject);
    }
    const front = [...live.keys()].slice(0, 8);
    for (const sequence of front.filter(() => random(4) > 0).sort(() => random(3) - 1)) {
      await remove(sequence);
      live.delete(sequence);
    }
    for (const subject of ["a", "a.x", "a.y", "a.*"]) {
      const of = (sequence: number): boolean => (subject === "a.*" ? live.get(sequence) !== "a" : live.get(sequence) === subject);
      const wanted = [...live.keys()].filter(of);
      const from = 1 + random(wanted.at(-1) ?? 1);
      expect(await sequencesOf({ subject })).toEqual(wanted);
      expect(await sequencesOf({ subject, from })).toEqual(wanted.filter((sequence) => sequence >= from));
      if (wanted[0] !== undefined) lost += (await nextMessage(manager, stream, `${prefix}.${subject}`, 1))?.seq === wanted[0] ? 0 : 1;
    }
  }
  // Otherwise the server had nothing to hide.
  expect(lost > 0).toBe(mayLoseMessages(connection));
});

test("a new consumer is handed it, also when several replicas create the consumer", async () => {
  await loseTheSecond();
  const settings: ConsumerSettings = {
    ...{ stream, consumer: "c", filterSubject: `${prefix}.a.*`, isWorkQueue: true, ackWaitMs: 10_000, maxAckPending: 10 },
  };
  await Promise.all([1, 2, 3].map(() => ensureConsumer({ connection, manager }, settings)));
  const found: string[] = [];
  for await (const message of jetStream.fetch(stream, "c", { batch: 2, expires: 10_000 })) found.push(message.string());
  expect(found.sort()).toEqual(["a.x", "a.y"]);
  expect(await sequencesOf({ subject: "a.*" })).toEqual(mayLoseMessages(connection) ? [9, 10] : [2, 9]);
});

test("what is in the hands of a consumer is not stored again", async () => {
  await loseTheSecond();
  await restoreLost(connection, manager, { stream, subject: `${prefix}.a.*` }, async () => false);
  expect(await sequencesOf({ subject: "a.*" })).toEqual([2, 9]);
});

/** A consumer of a.x is there when the second is lost. */
async function aConsumerWithALost() {
  await createStream(RetentionPolicy.Workqueue);
  await manager.consumers.add(stream, { durable_name: "c", filter_subject: `${prefix}.a.x`, ack_policy: AckPolicy.Explicit });
  for (const subject of ["a.x", "a.x", "a.x", "b.x"]) await publish(subject);
  await remove(3);
  await remove(1);
  const clock = createManualClock();
  const settings: ConsumerSettings = {
    ...{ stream, consumer: "c", filterSubject: `${prefix}.a.x`, isWorkQueue: true, ackWaitMs: 1_000, maxAckPending: 10 },
  };
  const connectionState = { onReconnect: () => () => {}, onDisconnect: () => () => {} };
  const stalled = createStalledConsumer(
    { connection, connectionState, manager, clock, logger: silentLogger },
    { settings, quietMs: 1_000 },
  );
  return { clock, stalled };
}

test("a message that its consumer lost makes it stalled: it is deleted, to be created again", async () => {
  const { clock, stalled } = await aConsumerWithALost();
  const since = clock.now();
  await eventually(async () => {
    await clock.advance(1_000);
    stalled.check(since);
    return (await unlessNotFound(manager.consumers.info(stream, "c"))) === null;
  });
});

test("a consumer that is never idle is handed what it lost, too", async () => {
  const { clock, stalled } = await aConsumerWithALost();
  await publish("a.x");
  const handedOut: number[] = [];
  const pullOne = async (): Promise<void> => {
    for await (const message of jetStream.fetch(stream, "c", { batch: 1, no_wait: true, expires: 1_000 })) {
      handedOut.push(message.seq);
      await message.ackAck();
    }
  };
  await eventually(async () => {
    await pullOne();
    await clock.advance(60_000);
    stalled.check(clock.now());
    return handedOut.length === 2;
  });
  expect(handedOut.includes(6)).toBe(mayLoseMessages(connection));
});

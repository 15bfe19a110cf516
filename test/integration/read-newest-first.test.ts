/** Streams read backwards: a dense one, a work queue with gaps, within times and within bounds. */
import { connect, type JetStreamClient, type JetStreamManager, type NatsConnection, RetentionPolicy } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type NewestFirst,
  queueSpansOf,
  type ReadSpan,
  readNewestFirst,
  sequencesWithin,
  spansOf,
} from "../../src/jetstream/read-newest-first.ts";
import { type Server, startNatsServer } from "../support/servers.ts";

let nats: Server;
let connection: NatsConnection;
let manager: JetStreamManager;
let jetStream: JetStreamClient;

beforeAll(async () => {
  nats = await startNatsServer();
  connection = await connect({ servers: nats.url });
  manager = await connection.jetstreamManager();
  jetStream = connection.jetstream();
  await manager.streams.add({ name: "DENSE", subjects: ["dense.*"] });
  await manager.streams.add({ name: "QUEUE", subjects: ["queue.*"], retention: RetentionPolicy.Workqueue });
  for (let number = 1; number <= 1_500; number++) connection.publish(number % 500 === 0 ? "dense.rare" : "dense.usual", String(number));
  await connection.flush();
  for (let number = 1; number <= 40; number++) await jetStream.publish("queue.a", String(number));
  // Handled in the meantime: all but three, far apart.
  for (let sequence = 1; sequence <= 40; sequence++)
    if (![1, 2, 39].includes(sequence)) await manager.streams.deleteMessage("QUEUE", sequence);
});
afterAll(async () => {
  await connection.close();
  await nats.stop();
});

const all = async (stream: string, read: ReadSpan, limit: number) => {
  const { from, to } = await sequencesWithin(manager, stream, { start: null, end: null });
  const requests: number[] = [];
  const counted: ReadSpan = (span, onOther) => {
    requests.push(span.to - span.from + 1);
    return read(span, onOther);
  };
  const found = await readNewestFirst({
    ...{ from, to, read: counted },
    take: ({ data }) => Number(Buffer.from(data).toString()),
    isEnough: ({ items }) => items.length >= limit,
  });
  return { ...found, values: found.items.map(({ value }) => value), requests };
};

describe("a stream is read from its end", () => {
  test("as far as the caller needs", async () => {
    const { values, below } = await all("DENSE", spansOf(connection, manager, "DENSE", "dense.*"), 20);
    expect(values).toEqual(Array.from({ length: values.length }, (_, at) => 1_500 - at));
    expect(values.length).toBeLessThan(200);
    expect(below).toBe(1_500 - values.length);
  });

  test("as a whole, in spans of a bounded size", async () => {
    const { values, below, requests } = await all("DENSE", spansOf(connection, manager, "DENSE", "dense.*"), 5_000);
    expect([values.length, values[0], values.at(-1), below]).toEqual([1_500, 1_500, 1, null]);
    expect(Math.max(...requests)).toBeLessThanOrEqual(600);
  });

  test("for a rare subject in few spans", async () => {
    const { values, requests } = await all("DENSE", spansOf(connection, manager, "DENSE", "dense.rare"), 5_000);
    expect(values).toEqual([1_500, 1_000, 500]);
    expect(requests.length).toBeLessThan(8);
  });

  test("for a work queue with gaps, which nothing of this takes from", async () => {
    const { values, below } = await all("QUEUE", queueSpansOf(connection, manager, "QUEUE", "queue.*"), 100);
    expect([values, below]).toEqual([[39, 2, 1], null]);
    expect((await manager.streams.info("QUEUE")).state.messages).toBe(3);
  });

  test("that is empty is nothing", async () => {
    await manager.streams.add({ name: "EMPTY", subjects: ["empty"] });
    expect(await all("EMPTY", spansOf(connection, manager, "EMPTY", "empty"), 1)).toMatchObject({
      values: [],
      below: null,
      oldestAt: null,
    });
  });
});

test("a span with too many messages is read again in smaller parts, and none is lost", async () => {
  const stored = 3_000;
  const read: ReadSpan = async function* ({ from, to }) {
    // Sparse at the end, dense before it: the spans have grown when they reach it.
    for (let sequence = from; sequence <= to; sequence++)
      if (sequence <= stored || sequence % 1_000 === 0)
        yield { sequence, subject: "s", data: Buffer.alloc(10), headers: undefined, storedAt: sequence };
  };
  const values: number[] = [];
  let calls = 0;
  for (let to: number | null = 100_000; to !== null; calls++) {
    const { items, below }: NewestFirst<number> = await readNewestFirst<number>({
      from: 1,
      to,
      read,
      take: ({ sequence }) => sequence,
      isEnough: () => false,
    });
    values.push(...items.map(({ value }) => value));
    to = below;
  }
  expect(values).toEqual([
    ...Array.from({ length: 97 }, (_, at) => (100 - at) * 1_000),
    ...Array.from({ length: stored }, (_, at) => stored - at),
  ]);
  expect(calls).toBeLessThanOrEqual(2);
});

test("large messages end a call early, and it says where", async () => {
  const read: ReadSpan = async function* ({ from, to }) {
    for (let sequence = from; sequence <= to; sequence++)
      yield { sequence, subject: "s", data: Buffer.alloc(1024 * 1024), headers: undefined, storedAt: sequence };
  };
  const { items, below, oldestAt } = await readNewestFirst({ from: 1, to: 1_000, read, take: () => 1, isEnough: () => false });
  expect(items.length).toBeLessThan(50);
  expect([below, oldestAt]).toEqual([1_000 - items.length, 1_000 - items.length + 1]);
});

test("the sequences of a span of time are found by bisection, over gaps and beyond the ends", async () => {
  const at = async (sequence: number): Promise<number> => (await manager.streams.getMessage("QUEUE", { seq: sequence })).time.getTime();
  const within = async (start: number | null, end: number | null): Promise<[number, number]> => {
    const { from, to } = await sequencesWithin(manager, "QUEUE", { start, end });
    return [from, to];
  };
  const [second, last] = [await at(2), await at(39)];
  expect(await within(null, null)).toEqual([1, 40]);
  expect((await within(last, null))[0]).toBeGreaterThan(2);
  expect((await within(last, null))[0]).toBeLessThanOrEqual(39);
  expect((await within(null, second + 1))[1]).toBeGreaterThanOrEqual(2);
  expect((await within(null, last))[1]).toBeLessThan(39);
  // Nothing is stored there: the last message was the 39th.
  expect((await within(Date.now() + 60_000, null))[0]).toBeGreaterThan(39);
});

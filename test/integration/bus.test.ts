/** What Posthorn finds on a NATS server: nothing, its own streams, somebody else's. */
import {
  AckPolicy,
  connect,
  DiscardPolicy,
  type JetStreamManager,
  type NatsConnection,
  nanos,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDeadLetters } from "../../src/dead-letters/dead-letters.ts";
import { createReplay } from "../../src/dead-letters/replay.ts";
import { createConfirmations } from "../../src/jetstream/confirmations.ts";
import { connectNats, createConnectionState } from "../../src/jetstream/connection.ts";
import { ensureConsumer, eventsConsumer, parkedConsumer, tierConsumer } from "../../src/jetstream/consumers.ts";
import { createDeliveryStreams, type DeliveryStreamsDependencies } from "../../src/jetstream/delivery-streams.ts";
import { createFailureExchange } from "../../src/jetstream/failure-exchange.ts";
import { isDeletedAlready, natsReason } from "../../src/jetstream/nats-errors.ts";
import { createPipelinedPublish } from "../../src/jetstream/pipelined-publish.ts";
import { type ForwardsQuery, readForwards, sequenceAt, textOf } from "../../src/jetstream/read-stream.ts";
import { createReplicas } from "../../src/jetstream/replicas.ts";
import { createStalledConsumer } from "../../src/jetstream/stalled-consumer.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { covers, createSubjects, type Subjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import type { Event } from "../../src/model/event.ts";
import { createRevisionWaiters } from "../../src/registry/revision-waiters.ts";
import { connectRedis } from "../../src/storage/redis.ts";
import { createTracing } from "../../src/telemetry/tracing.ts";
import { aDelivery, anEvent, UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { replayAll, storeUnorderedAgain } from "../support/replay-all.ts";
import { freePort, type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

let server: Server;
let connection: NatsConnection;
let manager: JetStreamManager;
let prefixes = 0;

beforeAll(async () => {
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
  manager = await connection.jetstreamManager();
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

const freshNames = () => createSubjects(`bus-${++prefixes}`);
const streamsOf = (names: Subjects, onStored: DeliveryStreamsDependencies["onStored"] = () => {}) =>
  createDeliveryStreams({
    ...{ publish: createPipelinedPublish(connection, systemClock), names, clock: systemClock, logger: silentLogger, isUsable: () => true },
    ...{ maxPayloadBytes: () => 1_048_576, onStored },
  });

describe.concurrent("the stalledConsumer", () => {
  // The longest test comes first: nothing may change for three ack_waits of 3 s (STALL-2).
  test("recreates a consumer whose messages nobody has and that does not hand them out again, and leaves alone what somebody has", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const stream = names.streams.retries;
    const jetStream = connection.jetstream();
    const connectionState = createConnectionState(connection);
    // Nobody asks these consumers: that is why they hand nothing out again. The one that is left would have been first.
    const held = [1, 2].map(async (tierS) => {
      const consumer = names.tierConsumer(tierS);
      const subject = names.retry(tierS, "acme");
      await manager.consumers.add(stream, {
        ...{ durable_name: consumer, filter_subject: subject, ack_policy: AckPolicy.Explicit, ack_wait: nanos(1_500 * tierS) },
      });
      await jetStream.publish(subject, "{}");
      const message = await (await jetStream.consumers.get(stream, consumer)).next({ expires: 5_000 });
      const stalledConsumer = createStalledConsumer(
        { connection, connectionState, manager, clock: systemClock, logger: silentLogger },
        { settings: { ...tierConsumer(names, tierS), filterSubject: subject }, quietMs: 50 },
      );
      return { consumer, message, stalledConsumer };
    });
    const [inSomebodysHands, inNobodys] = await Promise.all(held);
    const working = setInterval(() => inSomebodysHands?.message?.working(), 100);
    try {
      await eventually(async () => {
        for (const { stalledConsumer } of [inSomebodysHands, inNobodys].flatMap((one) => one ?? [])) stalledConsumer.check(0);
        const left = await manager.consumers.list(stream).next();
        return left.length === 1 && left[0]?.name === inSomebodysHands?.consumer;
      });
    } finally {
      clearInterval(working);
    }
  });

  test("recreates a consumer that waits for the ack of a message that is not stored any more", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const stream = names.streams.parked;
    const consumer = names.parkedConsumer("acme", null);
    const subject = names.parked("acme", null);
    const jetStream = connection.jetstream();
    const limits = { ack_wait: nanos(3_600_000), max_ack_pending: 1 };
    await manager.consumers.add(stream, { durable_name: consumer, filter_subject: subject, ack_policy: AckPolicy.Explicit, ...limits });
    for (const text of ["1", "2"]) await jetStream.publish(subject, text);
    const message = await (await jetStream.consumers.get(stream, consumer)).next({ expires: 5_000 });
    const stalledConsumer = createStalledConsumer(
      { connection, connectionState: createConnectionState(connection), manager, clock: systemClock, logger: silentLogger },
      { settings: parkedConsumer(names, "acme", null, 1), quietMs: 0 },
    );
    const look = async () => {
      stalledConsumer.check(0);
      return (await manager.consumers.list(stream).next()).length;
    };
    for (let looks = 0; looks < 20; looks++) expect(await look()).toBe(1);
    // As after a kill of the server that had lost the ack and kept the removal.
    await manager.streams.deleteMessage(stream, message?.seq ?? 0);
    await eventually(async () => (await look()) === 0);
  });
});

describe.concurrent("the streams", () => {
  test("are made as the contract says, and found again", async () => {
    const names = createSubjects("app-platform");
    await ensureTopology(manager, names, 1);
    await ensureTopology(manager, names, 1);
    const configs = Object.fromEntries(
      await Promise.all(Object.values(names.streams).map(async (name) => [name, (await manager.streams.info(name)).config] as const)),
    );
    const shown = ({ subjects, retention, max_age, discard, duplicate_window }: Partial<StreamConfig>) => ({
      subjects,
      retention,
      days: (max_age ?? 0) / nanos(86_400_000),
      discard,
      windowMinutes: (duplicate_window ?? 0) / nanos(60_000),
    });
    const limits = { retention: "limits", discard: "old", windowMinutes: 10 };
    const workQueue = { retention: "workqueue", discard: "new", days: 0, windowMinutes: 10 };
    expect(Object.fromEntries(Object.entries(configs).map(([name, config]) => [name, shown(config ?? {})]))).toEqual({
      APP_PLATFORM_EVENTS: { subjects: ["app-platform.events.*.*"], days: 7, ...limits },
      APP_PLATFORM_RETRIES: { subjects: ["app-platform.retries.*.*"], ...workQueue },
      APP_PLATFORM_PARKED: { subjects: ["app-platform.parked.*", "app-platform.parked.*.*"], ...workQueue },
      APP_PLATFORM_DEAD_LETTERS: { subjects: ["app-platform.dead-letters.*"], days: 30, ...limits },
      APP_PLATFORM_STATUS: { subjects: ["app-platform.status.*.*.*", "app-platform.status.*.*.*.*"], days: 30, ...limits },
    });
  });

  test("that somebody has tuned without harm are accepted", async () => {
    const names = freshNames();
    await manager.streams.add({
      name: names.streams.events,
      subjects: [`${names.prefix}.events.>`],
      max_age: nanos(86_400_000),
      max_bytes: 1_000_000,
    });
    await manager.streams.add({
      name: names.streams.retries,
      subjects: [...names.filters.retries],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_msgs: 1_000,
    });
    await expect(ensureTopology(manager, names, 1)).resolves.toBeUndefined();
  });

  test("that Posthorn can't work with stop it, each setting named with found and wanted", async () => {
    const names = freshNames();
    await manager.streams.add({
      name: names.streams.events,
      subjects: [`${names.prefix}.events.issue.*`],
      retention: RetentionPolicy.Workqueue,
    });
    await manager.streams.add({ name: names.streams.retries, subjects: [...names.filters.retries], max_age: nanos(1_000_000_000) });
    await manager.streams.add({
      name: names.streams.parked,
      subjects: [...names.filters.parked],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.Old,
      max_msgs: 10,
    });
    const error = (await ensureTopology(manager, names, 1).catch((reason: unknown) => reason)) as Error & { code: string };
    expect(error.code).toBe("STREAM_MISMATCH");
    for (const line of [
      `stream ${names.streams.events}: retention: found "workqueue", wanted "limits"`,
      `stream ${names.streams.events}: subjects: found ["${names.prefix}.events.issue.*"], wanted one that covers ${names.prefix}.events.*.*`,
      `stream ${names.streams.retries}: retention: found "limits", wanted "workqueue"`,
      `stream ${names.streams.retries}: max_age: found ${nanos(1_000_000_000)}, wanted 0`,
      `stream ${names.streams.parked}: discard with a limit: found "old", wanted "new"`,
    ]) {
      expect(error.message).toContain(line);
    }
  });

  test("that would drop, hide or keep to themselves what Posthorn stores in them stop it, too", async () => {
    const names = freshNames();
    const { streams, filters: subjects } = names;
    const workQueue = { retention: RetentionPolicy.Workqueue, discard: DiscardPolicy.New };
    const asked: Array<Partial<StreamConfig> & Record<string, unknown> & { name: string }> = [
      { name: streams.events, subjects: [...subjects.events], max_msgs_per_subject: 5, duplicate_window: nanos(60_000) },
      { name: streams.retries, subjects: [...subjects.retries], ...workQueue, max_consumers: 10, storage: StorageType.Memory },
      { name: streams.parked, subjects: [...subjects.parked], ...workQueue, max_msgs_per_subject: 3, deny_delete: true },
      { name: streams.deadLetters, subjects: [...subjects.deadLetters], deny_delete: true, max_msg_size: 500, persist_mode: "async" },
      { name: streams.status, subjects: [...subjects.status], sources: [{ name: streams.deadLetters }], max_msgs_per_subject: 1 },
    ];
    for (const config of asked) await manager.streams.add(config as Partial<StreamConfig>);
    // Older servers know of no persist_mode.
    const known: object = (await manager.streams.info(streams.deadLetters)).config;
    const error = (await ensureTopology(manager, names, 1).catch((reason: unknown) => reason)) as Error;
    expect(error.message.split("\n").slice(1)).toEqual([
      `  stream ${streams.events}: duplicate_window: found 60000000000, wanted 120000000000 or more`,
      `  stream ${streams.events}: max_msgs_per_subject: found 5, wanted -1, or "discard": "new" with "discard_new_per_subject": true`,
      `  stream ${streams.retries}: storage: found "memory", wanted "file"`,
      `  stream ${streams.retries}: max_consumers: found 10, wanted -1`,
      `  stream ${streams.parked}: max_msgs_per_subject: found 3, wanted -1, or "discard": "new" with "discard_new_per_subject": true`,
      `  stream ${streams.parked}: deny_delete: found true, wanted false`,
      ...("persist_mode" in known ? [`  stream ${streams.deadLetters}: persist_mode: found "async", wanted "default"`] : []),
      `  stream ${streams.deadLetters}: deny_delete: found true, wanted false`,
      `  stream ${streams.deadLetters}: max_msg_size: found 500, wanted -1, or 16384 or more`,
      `  stream ${streams.status}: sources: found ["${streams.deadLetters}"], wanted none`,
    ]);
  });

  test("a limit of each subject that refuses is none that drops", async () => {
    const names = freshNames();
    const refusing = { discard: DiscardPolicy.New, max_msgs_per_subject: 3, discard_new_per_subject: true };
    await manager.streams.add({ name: names.streams.events, subjects: [...names.filters.events], ...refusing });
    await manager.streams.add({
      name: names.streams.parked,
      subjects: [...names.filters.parked],
      retention: RetentionPolicy.Workqueue,
      ...refusing,
    });
    await expect(ensureTopology(manager, names, 1)).resolves.toBeUndefined();
  });

  test("a consumer of a work queue that is somebody else's, or gives up, stops it, and so does a registry whose records expire", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    await manager.consumers.add(names.streams.retries, {
      durable_name: "somebody",
      ack_policy: AckPolicy.Explicit,
      filter_subject: names.tierFilter(1),
    });
    await manager.consumers.add(names.streams.parked, {
      durable_name: names.parkedConsumer("acme", null),
      ack_policy: AckPolicy.Explicit,
      filter_subject: names.parked("acme", null),
      max_deliver: 5,
    });
    await connection.jetstream().views.kv(`${names.prefix}-registry`, { ttl: 5_000 });
    const error = (await ensureTopology(manager, names, 1).catch((reason: unknown) => reason)) as Error;
    for (const line of [
      `consumer somebody of ${names.streams.retries}: found one that is not Posthorn's`,
      `consumer posthorn-app-acme of ${names.streams.parked}: max_deliver: found 5, wanted -1`,
      `stream KV_${names.prefix}-registry (the registry bucket): max_age: found 5000000000, wanted 0`,
    ]) {
      expect(error.message).toContain(line);
    }
  });

  test("a consumer that gives up after some deliveries stops it", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    await manager.consumers.add(names.streams.events, {
      durable_name: names.eventsConsumer,
      ack_policy: "explicit" as never,
      max_deliver: 5,
    });
    await expect(ensureConsumer({ connection, manager }, eventsConsumer(names))).rejects.toThrow(
      `consumer posthorn-events of ${names.streams.events}: max_deliver: found 5, wanted -1`,
    );
  });

  test.each([
    ["a.*.c", "a.b.c", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    ["a.*", "a.*", true],
    ["a.b", "a.*", false],
    ["*.*", "a.b.c", false],
  ])("the pattern %s covers %s: %s", (wide, narrow, wanted) => {
    expect(covers(wide, narrow)).toBe(wanted);
  });
});

test.concurrent("a source is stored once, and what has its sequence after the stream was deleted and made again is another one", async () => {
  const names = freshNames();
  await ensureTopology(manager, names, 1);
  const streams = streamsOf(names);
  const source = { stream: names.streams.events, sequence: 1 };
  const delay = { dueAt: Date.now() + 60_000, delayMs: 60_000, notBefore: false };
  const trace = { traceparent: null, tracestate: null };
  const [before, after] = [1_000, 2_000].map((publishedAt) => anEvent({ id: `${names.streams.events}:1`, publishedAt }));
  const stored = async () => (await manager.streams.info(names.streams.retries)).state.messages;
  for (const [event, count] of [
    [before, 1],
    [before, 1],
    [after, 2],
  ] as const) {
    await streams.retry(aDelivery({ eventSequence: 1 }, event), delay, source);
    expect(await stored()).toBe(count);
  }
  for (const event of [before, before, after] as Event[]) {
    await streams.fanOut({ event, eventSequence: 1, targets: [{ app: "constructor", uuid: UUID }] }, source, trace);
  }
  expect(await stored()).toBe(4);
});

test.concurrent("to delete a message that is gone is no fault, whatever else is", async () => {
  const names = freshNames();
  await ensureTopology(manager, names, 1);
  for (let n = 0; n < 3; n++) await connection.jetstream().publish(names.parked("acme", null), "{}");
  const { parked } = names.streams;
  const failure = (stream: string, sequence: number) =>
    manager.streams.deleteMessage(stream, sequence, false).then(
      () => null,
      (error: unknown) => isDeletedAlready(error),
    );
  // The oldest, and one in the middle.
  for (const sequence of [1, 2]) expect(await failure(parked, sequence)).toBe(null);
  for (const sequence of [1, 2]) expect(await failure(parked, sequence)).toBe(true);
  expect(await failure(parked, 4)).toBe(false);
  expect(isDeletedAlready(new Error("no message found"))).toBe(false);
});

describe.concurrent("dead letters", () => {
  const deadLettersOf = (names: Subjects, over: { connection: NatsConnection; manager: JetStreamManager }) =>
    createDeadLetters({ ...over, names, appCreatedAt: () => null, onRemoved() {} });

  test("are listed in answers of a bounded size, however large each is", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const jetStream = connection.jetstream();
    const letter = JSON.stringify({
      reason: "invalid",
      error: "no JSON",
      dead_lettered_at: new Date().toISOString(),
      body: "x".repeat(900_000),
    });
    for (let n = 0; n < 25; n++) await jetStream.publish(names.deadLetter("acme"), letter);
    const deadLetters = deadLettersOf(names, { connection, manager });
    const first = await deadLetters.list({ app: "acme" }, 0, 1_000);
    expect([first.items.length, first.next]).toEqual([19, 19]);
    const rest = await deadLetters.list({ app: "acme" }, first.next ?? 0, 1_000);
    expect([rest.items.length, rest.next]).toEqual([6, null]);
  });

  test("that are too large to be stored again are passed by when all are replayed", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const streams = streamsOf(names);
    for (const [nth, size] of [10, 60_000, 10].entries()) {
      const event = anEvent({ id: `e-${nth}`, dataJson: JSON.stringify({ pad: "x".repeat(size) }) });
      const source = { stream: names.streams.retries, sequence: nth + 1 };
      await streams.deadLetter(aDelivery({ id: `d-${nth}`, app: "acme" }, event), "exhausted", null, source);
    }
    const { config } = await manager.streams.info(names.streams.retries);
    await manager.streams.update(names.streams.retries, { ...config, max_msg_size: 20_000 });
    const deadLetters = deadLettersOf(names, { connection, manager });
    const storeAgain = storeUnorderedAgain(streams);
    const replay = createReplay({ deadLetters, storeAgain, streams, names, match: () => [], tracing: createTracing(null) });
    await expect(replay.one(2)).rejects.toMatchObject({ code: "TOO_LARGE", message: expect.stringContaining("max_msg_size") });
    expect(await replayAll(replay, { app: null })).toEqual({ matched: 3, replayed: 2, skipped: 1 });
    expect((await deadLetters.list({ app: "acme" }, 0, 10)).items.map(({ sequence }) => sequence)).toEqual([2]);
  });

  test("are all listed and replayed over a slow connection, and over one that brings nothing there is no end of them", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const streams = streamsOf(names);
    const dataJson = JSON.stringify({ pad: "x".repeat(200_000) });
    for (let n = 1; n <= 24; n++) {
      const delivery = aDelivery({ id: `d-${n}`, app: "acme" }, anEvent({ id: `e-${n}`, dataJson }));
      await streams.deadLetter(delivery, "exhausted", "answered with status 500", { stream: names.streams.retries, sequence: n });
    }
    const proxy = await startTcpProxy(Number(new URL(server.url).port));
    const slow = await connect({ servers: `127.0.0.1:${proxy.port}` });
    try {
      proxy.throttle(1_600_000);
      const deadLetters = deadLettersOf(names, { connection: slow, manager: await slow.jetstreamManager() });
      const { items, next } = await deadLetters.list({ app: "acme" }, 0, 1_000);
      expect([items.map(({ sequence }) => sequence), next]).toEqual([Array.from({ length: 24 }, (_, n) => n + 1), null]);
      const storeAgain = storeUnorderedAgain(streams);
      const replay = createReplay({ deadLetters, storeAgain, streams, names, match: () => [], tracing: createTracing(null) });
      expect(await replayAll(replay, { app: null })).toEqual({ matched: 24, replayed: 24, skipped: 0 });
      expect((await manager.streams.info(names.streams.deadLetters)).state.messages).toBe(0);
      expect((await manager.streams.info(names.streams.retries)).state.messages).toBe(24);

      const impatient = deadLettersOf(names, { connection: slow, manager: await slow.jetstreamManager({ timeout: 500 }) });
      proxy.freeze();
      await expect(impatient.list({ app: null }, 0, 10)).rejects.toMatchObject({ code: "NATS_UNREACHABLE" });
    } finally {
      await proxy.stop();
      await slow.close();
    }
  });
});

describe.concurrent("a stream read in passing", () => {
  const NUMBER = 1_203;
  const pattern = (names: Subjects) => ({ stream: names.streams.status, subject: `${names.prefix}.status.circuit.opened.*` });

  async function aStream(): Promise<Subjects> {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const jetStream = connection.jetstream();
    const publish = (n: number) => jetStream.publish(`${names.prefix}.status.circuit.opened.${n % 3 === 0 ? "acme" : "other"}`, `${n}`);
    for (let n = 1; n <= NUMBER; n++) await publish(n);
    return names;
  }

  async function readAll(over: Pick<NatsConnection, "requestMany">, query: ForwardsQuery): Promise<number[]> {
    const read: number[] = [];
    for await (const { sequence, data } of readForwards(over as NatsConnection, manager, query)) {
      expect(textOf(data)).toBe(`${sequence}`);
      read.push(sequence);
    }
    expect((await manager.streams.info(query.stream)).state.consumer_count).toBe(0);
    return read;
  }

  const sequences = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

  test("is read whole, from one sequence to another, without what was deleted", async () => {
    const names = await aStream();
    const all = { ...pattern(names), from: 1, to: Number.POSITIVE_INFINITY, batch: 500 };
    expect(await readAll(connection, all)).toEqual(sequences(1, NUMBER));
    expect(await readAll(connection, { ...all, from: 17, to: 517, batch: 50 })).toEqual(sequences(17, 517));
    expect(await readAll(connection, { ...all, from: NUMBER + 1 })).toEqual([]);
    for (const gone of [1, 700, 701, NUMBER]) await manager.streams.deleteMessage(names.streams.status, gone, false);
    const rest = [...sequences(2, 699), ...sequences(702, NUMBER - 1)];
    expect(await readAll(connection, all)).toEqual(rest);
    const ofAcme = { ...all, subject: `${names.prefix}.status.circuit.opened.acme` };
    expect(await readAll(connection, ofAcme)).toEqual(rest.filter((sequence) => sequence % 3 === 0));
  });

  test("is read whole when pulls lose a message, or all that comes late", async () => {
    const names = await aStream();
    let pulls = 0;
    const losing: Pick<NatsConnection, "requestMany"> = {
      async requestMany(subject, data, options) {
        const answers = await connection.requestMany(subject, data, options);
        const late = ++pulls % 2 === 0;
        return (async function* () {
          let n = 0;
          for await (const answer of answers) {
            if (++n === 200) {
              if (late) return;
              continue;
            }
            yield answer;
          }
        })();
      },
    };
    const all = { ...pattern(names), from: 1, to: Number.POSITIVE_INFINITY, batch: 500 };
    expect(await readAll(losing, all)).toEqual(sequences(1, NUMBER));
  });

  test("is read from a time on", async () => {
    const names = await aStream();
    const { stream } = pattern(names);
    const timeOf = async (seq: number) => (await manager.streams.getMessage(stream, { seq })).time.getTime();
    const first = await timeOf(1);
    const late = (await timeOf(NUMBER)) + 1_000;
    expect(await sequenceAt(manager, stream, first - 1_000)).toBe(1);
    expect(await sequenceAt(manager, stream, late)).toBe(NUMBER + 1);
    const middle = await timeOf(600);
    const from = await sequenceAt(manager, stream, middle);
    expect([(await timeOf(from)) >= middle, (await timeOf(from - 1)) < middle]).toEqual([true, true]);
  });
});

describe.concurrent("stores in the streams", () => {
  const queue = { app: "acme", installationUuid: null };
  const now = { dueAt: 0, delayMs: 0, notBefore: false };
  const source = (sequence: number) => ({ stream: "EVENTS", sequence });

  test.each([
    { deliveries: 2_000, size: 20_000 },
    { deliveries: 60, size: 900_000 },
  ])("are few at once, and made in the order of the calls: $deliveries of $size characters", async ({ deliveries, size }) => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const places = new Map<string, number>();
    const seen = { pending: 0, bytes: 0, waiting: 0 };
    const look = (): void => {
      const { pending, pendingBytes, waiting } = streams.counts();
      seen.pending = Math.max(seen.pending, pending);
      seen.bytes = Math.max(seen.bytes, pendingBytes);
      seen.waiting = Math.max(seen.waiting, waiting);
    };
    const streams = streamsOf(names, ({ id }, { sequence }) => {
      places.set(id, sequence);
      look();
    });
    const event = anEvent({ dataJson: JSON.stringify("x".repeat(size)) });
    const calls = Array.from({ length: deliveries }, (_, nth) => aDelivery({ id: `dlv_${nth}` }, event));
    const stores = calls.map((delivery) => streams.park(delivery, queue, null, source(1)));
    look();
    await Promise.all(stores);
    expect(seen.waiting).toBe(deliveries - seen.pending);
    expect(seen.pending).toBeLessThanOrEqual(256);
    expect(seen.bytes).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(calls.map(({ id }) => places.get(id))).toEqual(calls.map((_, nth) => nth + 1));
    expect(streams.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
  });

  test("that a full stream holds back hold up neither another stream nor a caller, and end with the stop", async () => {
    const names = freshNames();
    await ensureTopology(manager, names, 1);
    const { config } = await manager.streams.info(names.streams.parked);
    await manager.streams.update(names.streams.parked, { ...config, max_msgs: 1 });
    const streams = streamsOf(names);
    const parks = Array.from({ length: 600 }, (_, nth) => streams.park(aDelivery({ id: `dlv_${nth}` }), queue, null, source(1)));
    const parked = Promise.allSettled(parks);
    await eventually(() => streams.refusing().length === 1);
    await streams.retry(aDelivery(), now, source(1));
    await streams.deadLetter(aDelivery(), "exhausted", null, source(2));
    await expect(streams.within(50).park(aDelivery(), queue, null, source(3))).rejects.toMatchObject({
      code: "STREAM_REFUSED",
      retryable: true,
    });
    expect(streams.counts().waiting).toBeGreaterThan(300);
    streams.stop();
    const ends = (await parked).map(({ status }) => status);
    expect(ends.filter((status) => status === "fulfilled")).toHaveLength(1);
    expect(streams.counts()).toEqual({ pending: 0, pendingBytes: 0, waiting: 0 });
    expect((await manager.streams.info(names.streams.parked)).state.messages).toBe(1);
  });
});

test.concurrent("a message that the user may not publish is refused at once, and says why; another one is not", async ({
  onTestFinished,
}) => {
  const denied = "denied.parked.acme";
  const user = { user: "posthorn", pass: "secret" };
  const permissions = `permissions: { publish: { deny: "${denied}" } }`;
  const own = await startNatsServer({
    config: `authorization { users: [{ user: "${user.user}", password: "${user.pass}", ${permissions} }] }`,
  });
  const limited = await connect({ servers: own.url, ...user });
  onTestFinished(async () => {
    await limited.close();
    await own.stop();
  });
  const limitedManager = await limited.jetstreamManager();
  await limitedManager.streams.add({ name: "PARKED", subjects: ["denied.>", "allowed.>"] });
  const publish = createPipelinedPublish(limited, systemClock);
  const other = publish({ subject: "allowed.parked.acme", body: "1", headers: {} });
  const fault: unknown = await publish({ subject: denied, body: "1", headers: {} }).catch((error: unknown) => error);
  expect(fault).toMatchObject({ code: "PERMISSIONS_VIOLATION", message: `permissions violation for publish to ${denied}` });
  expect(natsReason(fault)).toMatch(/permission, see docs\/security\.md/);
  expect(await other).toMatchObject({ seq: 1 });
});

test.concurrent("replicas receive each other's counts, not their own, and a connection that ends receives nothing", async () => {
  const names = freshNames();
  const replica = async (name: string) => {
    const own = await connect({ servers: server.url });
    return { own, channel: createFailureExchange(own, createConnectionState(own), names, name, silentLogger) };
  };
  const [one, two] = [await replica("r1"), await replica("r2")];
  const heard: string[] = [];
  for (const { channel } of [one, two]) channel.subscribe((from, [counts]) => heard.push(`${from} ${counts?.app} ${counts?.failures}`));
  await Promise.all([one.own.flush(), two.own.flush()]);
  const counts = [{ app: "acme", attempts: 3, failures: 2, revision: 1 }];
  one.channel.broadcast(counts);
  await eventually(() => heard.length === 1);
  // At every moment of its end, as from a timer, where a fault would end the process.
  let isOver = false;
  const ended = one.own.drain().finally(() => {
    isOver = true;
  });
  while (!isOver) {
    one.channel.broadcast(counts);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  one.channel.broadcast(counts);
  await two.own.flush();
  expect(heard).toEqual(["r1 acme 2"]);
  await two.own.close();
});

test.concurrent("a change is confirmed by the replicas that are alive; one that is silent is waited for once, one that leaves not at all", async () => {
  const names = freshNames();
  const replica = async (name: string) => {
    const connection = await connect({ servers: server.url });
    const revisions = createRevisionWaiters(systemClock);
    const [clock, logger, connectionState] = [systemClock, silentLogger, createConnectionState(connection)];
    const replicas = createReplicas(
      { connection, connectionState, names, seen: revisions.seen, clock, logger },
      { id: name, version: "1" },
    );
    const confirmations = createConfirmations({ replicas, reached: revisions.reached, clock, logger });
    replicas.start();
    return { connection, revisions, confirmations, replicas };
  };
  const all = await Promise.all(["r1", "r2", "r3"].map(replica));
  const [one, two, three] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
  await eventually(() => expect(all.map(({ confirmations }) => confirmations.awaited())).toEqual([2, 2, 2]));

  const seen: string[] = [];
  const answered = one.confirmations.haveSeen(7).then(() => seen.push("answered"));
  two.revisions.advance(7);
  await two.connection.flush();
  seen.push("third");
  three.revisions.advance(8);
  await answered;
  expect(seen).toEqual(["third", "answered"]);

  // The third does not see the next one; after a time-out nobody waits for it.
  two.revisions.advance(9);
  await one.confirmations.haveSeen(9);
  two.replicas.stop();
  await eventually(() => one.confirmations.awaited() === 0);
  expect(one.replicas.all().map(({ id }) => id)).toEqual(["r1", "r3"]);
  const next = one.confirmations.haveSeen(10).then(() => "at once");
  expect(await Promise.race([next, Promise.resolve().then(() => Promise.resolve("a wait"))])).toBe("at once");

  for (const { replicas } of [one, three]) replicas.stop();
  await Promise.all(all.map(({ connection }) => connection.close()));
});

describe.concurrent("a server that is not there", () => {
  test("is waited for, and then the start gives up naming the setting", async () => {
    const warned: string[] = [];
    const logger = { ...silentLogger, warn: (_fields: object, message: string) => void warned.push(message) };
    const port = await freePort();
    await expect(
      connectNats({ url: `nats://user:pass@127.0.0.1:${port}`, credsFile: null, startupTimeoutMs: 1_200 }, systemClock, logger),
    ).rejects.toMatchObject({
      code: "NATS_UNREACHABLE",
      message: expect.stringMatching(
        new RegExp(`^POSTHORN_NATS_URL: no NATS server answered at nats://127\\.0\\.0\\.1:${port} within 1200 ms`),
      ),
    });
    await expect(
      connectRedis({ url: `redis://user:pass@127.0.0.1:${port}/2`, startupTimeoutMs: 1_200 }, systemClock, logger),
    ).rejects.toMatchObject({
      code: "REDIS_UNREACHABLE",
      message: expect.stringMatching(
        new RegExp(`^POSTHORN_REDIS_URL: no Redis server answered at redis://127\\.0\\.0\\.1:${port}/2 within 1200 ms`),
      ),
    });
    expect(warned).toEqual(["waiting for NATS", "waiting for Redis"]);
  });

  test("is found when it comes up while waiting", async () => {
    const port = await freePort();
    const connecting = connectNats(
      { url: `nats://127.0.0.1:${port}`, credsFile: null, startupTimeoutMs: 20_000 },
      systemClock,
      silentLogger,
    );
    const late = await startNatsServer({ port });
    const found = await connecting;
    expect(found.isClosed()).toBe(false);
    await found.close();
    await late.stop();
  });
});

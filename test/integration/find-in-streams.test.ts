/** Deliveries found again in the streams, in each of the forms that they can rest there. */
import { connect, type NatsConnection } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createFindInStreams, type FindInStreams } from "../../src/explain/find-in-streams.ts";
import { createDeliveryStreams, type DeliveryStreamWriter } from "../../src/jetstream/delivery-streams.ts";
import type { ConsumedMessage } from "../../src/jetstream/message.ts";
import { createPipelinedPublish } from "../../src/jetstream/pipelined-publish.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { systemClock } from "../../src/model/clock.ts";
import type { StreamLocation } from "../../src/model/delivery-location.ts";
import { aDelivery, anEvent, deliveryIdOf, UUID } from "../support/builders.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { silentLogger } from "../support/silent-logger.ts";

let nats: Server;
let connection: NatsConnection;
let streams: DeliveryStreamWriter;
let search: FindInStreams;
const names = createSubjects("find");
const places = new Map<string, StreamLocation>();

beforeAll(async () => {
  nats = await startNatsServer();
  connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  await ensureTopology(manager, names, 1);
  const publish = createPipelinedPublish(connection, systemClock);
  streams = createDeliveryStreams({
    ...{ publish, names, clock: systemClock, logger: silentLogger, isUsable: () => true, maxPayloadBytes: () => 1_000_000 },
    onStored: ({ id }, place) => void places.set(id, place),
  });
  search = createFindInStreams(connection, manager, names);
});
afterAll(async () => {
  await connection.close();
  await nats.stop();
});

let sequence = 0;
const source = () => ({ stream: "FIND_EVENTS", sequence: ++sequence });
const deliveryOf = (eventId: string, app = "acme") => aDelivery({ id: deliveryIdOf(eventId, UUID), app }, anEvent({ id: eventId }));
const found = async (eventId: string, app: string | null = "acme") => (await search.search(new Set([deliveryIdOf(eventId, UUID)]), app))[0];
const rawMessage = (stream: string, text: string): ConsumedMessage => ({
  ...{
    subject: "find.retries.4.acme",
    data: Buffer.from(text),
    stream,
    consumer: "",
    sequence: ++sequence,
    deliveries: 12,
    pending: 0,
    slot: -1,
    heartbeatAt: 0,
    leaseUntil: 0,
    storedAt: 0,
  },
  ...{
    header: () => undefined,
    headers: () => ({}),
    headerCount: () => 0,
    ack() {},
    nak() {},
    fail() {},
    renew() {},
    working() {},
    isOurs: () => true,
    lose() {},
    drop() {},
  },
});

test("a retry, by its place and by a search, of its app or of all", async () => {
  const dueAt = Date.now() + 60_000;
  await streams.retry(deliveryOf("retried"), { dueAt, delayMs: 60_000, notBefore: false }, source());
  const { id } = deliveryOf("retried");
  const place = places.get(id) as StreamLocation;
  const located = { stream: "retries", sequence: place.sequence, dueAt, tierS: 32, delivery: { id } };
  expect(await search.at(id, place)).toMatchObject(located);
  expect(await found("retried")).toMatchObject(located);
  expect(await found("retried", null)).toMatchObject(located);
  expect(await found("retried", "other")).toBeUndefined();
  expect(await search.at(deliveryOf("never").id, place)).toBeNull();
  expect(await search.at(id, { ...place, sequence: 9_999 })).toBeNull();
});

test("what is parked for an app and for an installation", async () => {
  await streams.park(deliveryOf("waiting"), { app: "acme", installationUuid: null }, null, source());
  await streams.park(deliveryOf("broken"), { app: "acme", installationUuid: UUID }, null, source());
  expect(await found("waiting")).toMatchObject({ stream: "parked", queue: "find.parked.acme", ofInstallation: false });
  expect(await found("broken")).toMatchObject({ stream: "parked", queue: `find.parked.acme.${UUID}`, ofInstallation: true });
});

test("a dead letter, and the whole message of one that was redelivered too often", async () => {
  await streams.deadLetter(deliveryOf("given-up"), "exhausted", "answered with status 500", source());
  expect(await found("given-up")).toMatchObject({ stream: "dead-letters", reason: "exhausted", error: "answered with status 500" });
  await streams.retry(deliveryOf("poison"), { dueAt: 0, delayMs: 0, notBefore: false }, source());
  const place = places.get(deliveryOf("poison").id) as StreamLocation;
  const manager = await connection.jetstreamManager();
  const stored = await manager.streams.getMessage(names.streams.retries, { seq: place.sequence });
  await manager.streams.deleteMessage(names.streams.retries, place.sequence);
  await streams.deadLetterRaw(rawMessage(names.streams.retries, stored.string()), "redelivered", "redelivered 11 times", "acme");
  expect(await found("poison")).toMatchObject({ stream: "dead-letters", reason: "redelivered", delivery: { app: "acme" } });
});

test("what rests of an event: parts that are not dealt out, or a dead letter of its own", async () => {
  const targets = Array.from({ length: 600 }, (_, at) => ({
    app: "acme",
    uuid: `00000000-0000-4000-8000-${String(at).padStart(12, "0")}`,
  }));
  await streams.fanOut({ event: anEvent(), eventSequence: 77, targets }, source(), anEvent());
  const unreadable = rawMessage(names.streams.events, "{");
  await streams.deadLetterRaw(unreadable, "invalid", "body: not valid JSON", null);
  expect(await search.remainingOf(77)).toEqual({ kind: "batches" });
  expect(await search.remainingOf(unreadable.sequence)).toMatchObject({
    kind: "dead-letter",
    reason: "invalid",
    error: "body: not valid JSON",
  });
  expect(await search.remainingOf(78)).toBeNull();
});

/** The status stream and the dead letters read from their newest message on. */
import { connect, type JetStreamClient, type JetStreamManager, type NatsConnection } from "nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createConnectionState } from "../../src/jetstream/connection.ts";
import { createStatusHistory } from "../../src/jetstream/status-history.ts";
import { ensureTopology } from "../../src/jetstream/streams.ts";
import { createSubjectCounts } from "../../src/jetstream/subject-counts.ts";
import { createSubjects, type Subjects } from "../../src/jetstream/subjects.ts";
import {
  appHealthChanged,
  circuitChanged,
  deliveriesSuppressed,
  integrationChanged,
  STATUS_TOPICS,
  type StatusEvent,
  type StatusTopic,
} from "../../src/model/status-event.ts";
import { UUID } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Server, startNatsServer } from "../support/servers.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

let server: Server;
let connection: NatsConnection;
let jetStream: JetStreamClient;
let manager: JetStreamManager;
let prefixes = 0;

beforeAll(async () => {
  server = await startNatsServer();
  connection = await connect({ servers: server.url });
  jetStream = connection.jetstream();
  manager = await connection.jetstreamManager();
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

async function freshStreams(): Promise<Subjects> {
  const names = createSubjects(`history-${++prefixes}`);
  await ensureTopology(manager, names, 1);
  return names;
}

function disabled(prefix: string, app: string, n: number): StatusEvent {
  return integrationChanged({ id: `${app}:${n}`, time: "2026-01-05T10:00:00.000Z", prefix }, "disabled", {
    app,
    installation_uuid: UUID,
    organization_id: "42",
    webhook_url: "https://hooks.acme.example",
    previous_status: "active",
    status: "disabled",
    dashboard_url: null,
    reason: { by: "person" },
  });
}

function opened(prefix: string, app: string, n: number): StatusEvent {
  return circuitChanged({ id: `${app}:circuit:${n}`, time: "2026-01-05T10:00:00.000Z", prefix }, "opened", {
    app,
    previous_state: "closed",
    state: "open",
    reason: null,
    open_until: null,
    dashboard_url: null,
  });
}

const publish = (names: Subjects, event: StatusEvent) => jetStream.publish(names.statusOf(event), JSON.stringify(event));
const ALL = STATUS_TOPICS;

test("topics have the events of installations and those of apps", async () => {
  const names = await freshStreams();
  const time = "2026-01-05T10:00:00.000Z";
  const data = { app: "acme", count: 200, since: time, until: "2026-01-05T10:01:00.000Z", dashboard_url: null };
  await publish(names, deliveriesSuppressed({ id: "acme:suppressed:1", time, prefix: names.prefix }, data));
  await publish(names, opened(names.prefix, "acme", 2));
  const health = { app: "acme", since: time, attempts: 20, failures: 10, last_success_at: null, by_code: { 404: 10 }, dashboard_url: null };
  await publish(names, appHealthChanged({ id: "acme:health:1", time, prefix: names.prefix }, "failing", health));
  const history = createStatusHistory(connection, manager, names);
  const ids = async (topic: StatusTopic) =>
    (await history.list({ app: "acme", topics: [topic] }, null, 10)).items.map(({ event }) => event.id);
  expect([await ids("delivery"), await ids("app")]).toEqual([["acme:suppressed:1"], ["acme:health:1"]]);
});

test("the past comes newest first, in pages, by app and topic, however rare it is among the rest", async () => {
  const names = await freshStreams();
  const history = createStatusHistory(connection, manager, names);
  expect(await history.list({ app: null, topics: ALL }, null, 10)).toEqual({ items: [], next: null });

  await publish(names, opened(names.prefix, "rare", 1));
  await publish(names, disabled(names.prefix, "rare", 1));
  await Promise.all(Array.from({ length: 1_500 }, (_, n) => publish(names, disabled(names.prefix, "busy", n))));
  await publish(names, disabled(names.prefix, "rare", 2));
  await jetStream.publish(`${names.prefix}.status.integration.disabled.rare.${UUID}`, "not JSON");

  const ids = async (app: string | null, topics: typeof ALL | readonly ["circuit"], before: number | null = null, limit = 10) => {
    const { items, next } = await history.list({ app, topics }, before, limit);
    return { ids: items.map(({ event }) => event.id), next };
  };
  expect(await ids("rare", ALL)).toEqual({ ids: ["rare:2", "rare:1", "rare:circuit:1"], next: null });
  expect(await ids("rare", ["circuit"])).toEqual({ ids: ["rare:circuit:1"], next: null });
  expect(await ids("nobody", ALL)).toEqual({ ids: [], next: null });
  const first = await ids("rare", ALL, null, 2);
  expect(first.ids).toEqual(["rare:2", "rare:1"]);
  expect(await ids("rare", ALL, first.next, 2)).toEqual({ ids: ["rare:circuit:1"], next: null });

  let seen = 0;
  for (let before: number | null = null; ; ) {
    const { items, next } = await history.list({ app: null, topics: ALL }, before, 400);
    expect(items.map(({ sequence }) => sequence)).toEqual(items.map(({ sequence }) => sequence).sort((a, b) => b - a));
    seen += items.length;
    if (next === null) break;
    before = next;
  }
  expect(seen).toBe(1_503);
  expect((await manager.streams.info(names.streams.status)).state.consumer_count).toBe(0);
});

test("the past is whole when the newest of it was deleted", async () => {
  const names = await freshStreams();
  const history = createStatusHistory(connection, manager, names);
  for (const n of [1, 2, 3, 4]) await publish(names, opened(names.prefix, "acme", n));
  await publish(names, opened(names.prefix, "other", 1));
  for (const gone of [4, 2]) await manager.streams.deleteMessage(names.streams.status, gone, false);
  const { items, next } = await history.list({ app: "acme", topics: ALL }, null, 10);
  expect([items.map(({ sequence }) => sequence), next]).toEqual([[3, 1], null]);
});

test("a reader asks a consumer only for messages that are there: nats-server 2.9 may leave any other request unanswered", async () => {
  const names = await freshStreams();
  const history = createStatusHistory(connection, manager, names);
  for (const n of [1, 2, 3]) await publish(names, opened(names.prefix, "acme", n));
  await publish(names, disabled(names.prefix, "acme", 1));
  const pulls: string[] = [];
  const watching = connection.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${names.streams.status}.>`, {
    callback: (_error, { subject }) => void pulls.push(subject),
  });
  const { items } = await history.list({ app: null, topics: ALL }, null, 10);
  await connection.flush();
  watching.unsubscribe();
  expect([items.map(({ sequence }) => sequence), pulls.length]).toEqual([[4, 3, 2, 1], 1]);
});

test("what happens now is passed on until nobody follows", async () => {
  const names = await freshStreams();
  const history = createStatusHistory(connection, manager, names);
  const heard: string[] = [];
  const following = history.follow(({ id }) => void heard.push(id));
  await jetStream.publish(`${names.prefix}.status.circuit.opened.acme`, "{");
  await publish(names, opened(names.prefix, "acme", 1));
  await eventually(() => heard.length === 1);
  following.end();
  await publish(names, opened(names.prefix, "acme", 2));
  await connection.flush();
  expect(heard).toEqual(["acme:circuit:1"]);
});

test("once it is confirmed, nothing that happens is missed, and after a reconnect it is confirmed again", async () => {
  const names = await freshStreams();
  const proxy = await startTcpProxy(server.port);
  const distant = await connect({ servers: `nats://127.0.0.1:${proxy.port}`, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
  const { onReconnect } = createConnectionState(distant);
  const reconnected = new Promise<void>((resolve) => void onReconnect(resolve));
  const heard: string[] = [];
  proxy.lag(50);
  const following = createStatusHistory(distant, await distant.jetstreamManager({ checkAPI: false }), names).follow(
    ({ id }) => void heard.push(id),
  );
  await publish(names, opened(names.prefix, "acme", 1));
  await following.confirm();
  await publish(names, opened(names.prefix, "acme", 2));
  await eventually(() => heard.includes("acme:circuit:2"));

  proxy.freeze();
  const lost = following.confirm();
  proxy.thaw();
  await expect(lost).rejects.toThrow();
  await publish(names, opened(names.prefix, "acme", 3));
  await reconnected;
  await following.confirm();
  await publish(names, opened(names.prefix, "acme", 4));
  await eventually(() => heard.includes("acme:circuit:4"));
  await distant.close();
  await proxy.stop();
});

test("what is parked and dead is counted by app and installation", async () => {
  const names = await freshStreams();
  for (const [app, uuid, count] of [["acme", null, 2] as const, ["acme", UUID, 3] as const, ["other", null, 1] as const]) {
    for (let n = 0; n < count; n++) await jetStream.publish(names.parked(app, uuid), "{}");
  }
  for (const app of ["acme", "acme", "_invalid"]) await jetStream.publish(names.deadLetter(app), "{}");
  const counts = await createSubjectCounts(manager, names)();
  expect(counts).toEqual({
    parked: new Map([
      ["acme", 5],
      ["other", 1],
    ]),
    parkedInAppQueue: new Map([
      ["acme", 2],
      ["other", 1],
    ]),
    parkedOfInstallation: new Map([[UUID, 3]]),
    deadLetters: new Map([["acme", 2]]),
    unreadable: 1,
  });
});

/** Somebody deletes a stream or the registry bucket while Posthorn runs: it says so, comes back by itself, and everything works. */
import { RetentionPolicy } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, everywhere, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents } from "../support/status-events.ts";

let servers: Server[];
let replicas: Posthorn[];
let posthorn: Posthorn;
let bus: Bus;
let receiver: Receiver;
let installations: Record<"plain" | "ordered" | "retried" | "paused", string>;
let published = 0;
let isPublishing = true;
let load: Promise<void>;

const streamOf = (name: string) => `${bus.prefix}_${name}`.toUpperCase().replaceAll("-", "_");
const readiness = async (of = posthorn) =>
  (await of.api("GET", "/readyz")).body as { checks: Record<string, { ok: boolean; detail: string }> };
const isReady = async () =>
  (await Promise.all(replicas.map((replica) => replica.api("GET", "/readyz")))).every(({ status }) => status === 200);
const metric = async (line: string) =>
  String((await posthorn.api("GET", "/metrics")).body)
    .split("\n")
    .includes(line);
const has = (log: Posthorn["log"], text: string) => log.filter(({ message }) => String(message).includes(text));

/** An event for the app, whose first attempt fails where it is to be retried. */
const publish = async (app: string): Promise<string> => {
  const id = `${app}-${published++}`;
  await bus.publish("issue.created", { id, organization_id: "42", app, data: { id } });
  return id;
};
const arrived = (id: string): number => receiver.requests.filter((request) => request.json().data["id"] === id).length;

beforeAll(async () => {
  const [nats, redis, started] = await Promise.all([startNatsServer(), startRedisServer(), startReceiver()]);
  servers = [nats, redis];
  receiver = started;
  const seen = new Set<unknown>();
  receiver.behave((request, response) => {
    const { id } = request.json().data;
    const isFirst = !seen.has(id);
    seen.add(id);
    response.writeHead(String(id).startsWith("retried") && isFirst ? 503 : 200).end();
  });
  const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000", POSTHORN_BROKEN_RULES: "none" };
  posthorn = await startPosthornHere({ nats, redis, settings });
  replicas = [posthorn, await startPosthornHere({ nats, redis, settings, prefix: posthorn.prefix })];
  bus = await connectBus(nats, posthorn.prefix);
  const install = async (slug: string, app: object = {}) => (await posthorn.install({ slug, webhook_url: receiver.url, ...app })).uuid;
  installations = {
    plain: await install("plain"),
    ordered: await install("ordered", { ordered: true }),
    retried: await install("retried", { retry_schedule_s: [1] }),
    paused: await install("paused"),
  };
  load = (async () => {
    for (; isPublishing; await new Promise((resolve) => setTimeout(resolve, 250)))
      for (const app of ["plain", "ordered", "retried"]) await publish(app).catch(() => {});
  })();
});
afterAll(async () => {
  isPublishing = false;
  await load;
  await bus.close();
  await Promise.all(replicas.map((replica) => replica.end()));
  await Promise.all([...servers.map((server) => server.stop()), receiver.stop()]);
});

/** Direct, ordered, retried and parked deliveries arrive, and a change of status is published. */
async function expectEverythingWorks(): Promise<void> {
  const ids = await Promise.all(["plain", "ordered", "retried"].map(publish));
  const path = `/v1/installations/${installations.paused}`;
  const statusBefore = (await statusEvents(bus)).length;
  expect(await posthorn.api("POST", `${path}/disable`)).toMatchObject({ status: 200, body: { status: "disabled" } });
  await everywhere(replicas, 'posthorn_integrations{status="disabled"} 1');
  const parked = await publish("paused");
  await eventually(async () => (await posthorn.api("GET", `${path}/health`)).body.parked.deliveries > 0);
  expect(await posthorn.api("POST", `${path}/enable`)).toMatchObject({ status: 200, body: { status: "active" } });
  for (const id of [...ids, parked])
    await eventually(() => arrived(id) >= (id.startsWith("retried") ? 2 : 1) || Promise.reject(new Error(id)));
  const types = (await statusEvents(bus)).slice(statusBefore).map(({ type }) => type);
  expect(types).toEqual(expect.arrayContaining(["integration.disabled", "integration.enabled"]));
  // The watch brings changes to every replica.
  const uuid = installations.plain;
  const organization_id = `42-${published}`;
  expect((await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: "plain", organization_id })).status).toBeLessThan(300);
  const moved: string[] = [];
  // The other replica may take an event before it has heard of the change.
  await eventually(async () => {
    const id = `plain-${published++}`;
    moved.push(id);
    await bus.publish("issue.created", { id, organization_id, app: "plain", data: { id } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    return moved.some((other) => arrived(other) > 0);
  });
  await posthorn.api("PUT", `/v1/installations/${uuid}`, { app: "plain", organization_id: "42" });
  // What comes next is for nobody at a replica that has not heard of it.
  for (const replica of replicas)
    await eventually(async () => (await replica.api("GET", "/v1/installations?app=plain&organization_id=42")).body.items.length === 1);
}

describe.each([
  { name: "EVENTS", dependency: "events", check: "events" },
  { name: "RETRIES", dependency: "retries", check: "streams" },
  { name: "PARKED", dependency: "parked", check: "streams" },
  { name: "DEAD_LETTERS", dependency: "dead-letters", check: "streams" },
  { name: "STATUS", dependency: "status", check: "streams" },
])("without its $name stream", ({ name, dependency, check }) => {
  test("Posthorn is not ready and says which; it makes the stream again and everything works", async () => {
    await expectEverythingWorks();
    const manager = await bus.connection.jetstreamManager();
    await manager.streams.delete(streamOf(name));
    await eventually(async () => (await readiness()).checks[check]?.detail.includes(`stream ${streamOf(name)} is missing`));
    expect(await metric(`posthorn_dependency_up{dependency="${dependency}"} 0`)).toBe(true);
    if (name === "PARKED" || name === "DEAD_LETTERS") {
      await eventually(async () => (await posthorn.api("GET", "/v1/overview")).body.problems[0]?.code === "NATS_UNREACHABLE");
    }
    // After 5 s of real time: with a settable clock the file takes half of the time, and more of the processor.
    await eventually(isReady);
    expect(await metric(`posthorn_dependency_up{dependency="${dependency}"} 1`)).toBe(true);
    expect((await manager.streams.info(streamOf(name))).config.retention).toBe(
      name === "RETRIES" || name === "PARKED" ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    );
    await eventually(() =>
      replicas.flatMap(({ log }) => has(log, "missing stream recreated")).some(({ stream }) => stream === streamOf(name)),
    );
    await expectEverythingWorks();
  });
});

describe("without its registry bucket", () => {
  test.each(["by itself", "by an operator's hand"])("Posthorn is not ready; when it is back %s, its records are, too", async (how) => {
    const manager = await bus.connection.jetstreamManager();
    const stream = `KV_${bus.prefix}-registry`;
    const apps = (await posthorn.api("GET", "/v1/apps")).body.items;
    await manager.streams.delete(stream);
    if (how === "by itself") {
      await eventually(async () => (await readiness()).checks["registry"]?.detail === `the registry bucket (stream ${stream}) is missing`);
      expect(await metric('posthorn_dependency_up{dependency="registry"} 0')).toBe(true);
    } else await bus.jetStream.views.kv(`${bus.prefix}-registry`, { history: 1 });
    const line = `posthorn_registry_apps ${apps.length}`;
    await eventually(
      async () => (await isReady()) && (await metric(line)) && (await posthorn.api("GET", "/v1/apps/ordered")).status === 200,
    );
    expect((await posthorn.api("GET", "/v1/apps")).body.items).toEqual(apps);
    await eventually(() => has(posthorn.log, "the registry bucket was replaced").length > 0);
    await expectEverythingWorks();
  });
});

test("an events consumer that was deleted, or that somebody has replaced, is named, and events are consumed again", async () => {
  const manager = await bus.connection.jetstreamManager();
  await manager.consumers.delete(streamOf("EVENTS"), "posthorn-events");
  await eventually(async () => (await manager.consumers.info(streamOf("EVENTS"), "posthorn-events")).config.ack_policy === "explicit");
  await expectEverythingWorks();
  await manager.consumers.delete(streamOf("EVENTS"), "posthorn-events");
  await manager.consumers.add(streamOf("EVENTS"), { durable_name: "posthorn-events", ack_policy: "none" as never });
  await eventually(async () => (await readiness()).checks["events"]?.detail.includes('ack_policy: found "none", wanted "explicit"'));
  await manager.consumers.delete(streamOf("EVENTS"), "posthorn-events");
  await eventually(isReady);
  await expectEverythingWorks();
});

test("a stream that is full, or that has other settings than Posthorn needs, is named, and is used again when it is right", async () => {
  const manager = await bus.connection.jetstreamManager();
  const { config } = await manager.streams.info(streamOf("DEAD_LETTERS"));
  await bus.jetStream.publish(`${bus.prefix}.dead-letters.acme`, "{}");
  await manager.streams.update(streamOf("DEAD_LETTERS"), { ...config, max_msgs: 1, discard: "new" as never });
  const { state } = await manager.streams.info(streamOf("DEAD_LETTERS"));
  expect(state.messages).toBeGreaterThan(0);
  await eventually(async () => (await readiness()).checks["streams"]?.detail === `stream ${streamOf("DEAD_LETTERS")} is full: max_msgs: 1`);
  await manager.streams.update(streamOf("DEAD_LETTERS"), { ...config, subjects: [`${bus.prefix}.dead-letters.other`] });
  await eventually(async () => (await readiness()).checks["streams"]?.detail.includes("wanted one that covers"));
  await manager.streams.update(streamOf("DEAD_LETTERS"), config);
  await eventually(isReady);
});

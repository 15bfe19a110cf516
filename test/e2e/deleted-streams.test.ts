/** Somebody deletes a stream or the registry bucket while Posthorn runs: it says so, comes back by itself, and everything works. */
import { randomUUID } from "node:crypto";
import { type JetStreamManager, RetentionPolicy } from "nats";
import { afterAll, beforeAll, expect, type TestContext, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, everywhere, type Posthorn, startPosthornHere } from "../support/posthorn.ts";
import { startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { statusEvents } from "../support/status-events.ts";

let nats: Server;
let redis: Server;

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  await Promise.all([nats.stop(), redis.stop()]);
});

/** The kinds of apps of a world; a retried one fails the first attempt of each delivery. */
const APPS = { plain: {}, ordered: { ordered: true }, retried: { retry_schedule_s: [1] }, paused: {} };
type Kind = keyof typeof APPS;
const KINDS = Object.keys(APPS) as Kind[];
const LOADED: readonly Kind[] = ["plain", "ordered", "retried"];

/** Two replicas with apps of their own, which get deliveries all the time. */
interface World {
  readonly bus: Bus;
  readonly manager: JetStreamManager;
  readonly replicas: readonly Posthorn[];
  readonly posthorn: Posthorn;
  readonly apps: Readonly<Record<Kind, { readonly slug: string; readonly uuid: string }>>;
  streamOf(name: string): string;
  /** The detail of a check of /readyz. */
  detailOf(check: string): Promise<string | undefined>;
  isReady(): Promise<boolean>;
  hasMetric(line: string): Promise<boolean>;
  /** Lines of the log of every replica. */
  logged(text: string): Array<Record<string, unknown>>;
  /** @returns the event's id */
  publish(kind: Kind, organizationId?: string): Promise<string>;
  /** How many requests of the event came. */
  arrived(id: string): number;
}

async function startWorld({ onTestFinished }: Pick<TestContext, "onTestFinished">): Promise<World> {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const receiver = await startReceiver();
  onTestFinished(receiver.stop);
  const seen = new Set<unknown>();
  receiver.behave((request, response) => {
    const { id } = request.json().data;
    const isFirst = !seen.has(id);
    seen.add(id);
    response.writeHead(String(id).startsWith("retried") && isFirst ? 503 : 200).end();
  });
  const settings = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000", POSTHORN_BROKEN_RULES: "none" };
  const start = async (): Promise<Posthorn> => {
    const started = await startPosthornHere({ nats, redis, settings, prefix });
    onTestFinished(async () => void (await started.end()));
    return started;
  };
  const posthorn = await start();
  const replicas = [posthorn, await start()];
  const bus = await connectBus(nats, prefix);
  onTestFinished(bus.close);
  const install = async (kind: Kind) => [kind, await posthorn.install({ webhook_url: receiver.url, ...APPS[kind] })];
  const apps: World["apps"] = Object.fromEntries(await Promise.all(KINDS.map(install)));
  let published = 0;
  const world: World = {
    ...{ bus, replicas, posthorn, apps },
    manager: await bus.connection.jetstreamManager(),
    streamOf: (name) => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_"),
    detailOf: async (check) => (await posthorn.api("GET", "/readyz")).body.checks[check]?.detail,
    isReady: async () =>
      (await Promise.all(replicas.map((replica) => replica.api("GET", "/readyz")))).every(({ status }) => status === 200),
    hasMetric: async (line) =>
      String((await posthorn.api("GET", "/metrics")).body)
        .split("\n")
        .includes(line),
    logged: (text) => replicas.flatMap(({ log }) => log.filter(({ message }) => String(message).includes(text))),
    async publish(kind, organization_id = "42") {
      const id = `${kind}-${published++}`;
      await bus.publish("issue.created", { id, organization_id, app: apps[kind].slug, data: { id } });
      return id;
    },
    arrived: (id) => receiver.requests.filter((request) => request.json().data["id"] === id).length,
  };
  onTestFinished(startLoad(world));
  return world;
}

/** @returns what ends it */
function startLoad({ publish }: World): () => Promise<void> {
  let isPublishing = true;
  const load = (async () => {
    for (; isPublishing; await new Promise((resolve) => setTimeout(resolve, 250)))
      for (const kind of LOADED) await publish(kind).catch(() => {});
  })();
  return () => {
    isPublishing = false;
    return load;
  };
}

/** Direct, ordered, retried and parked deliveries arrive, and a change of status is published. */
async function expectEverythingWorks({ bus, replicas, posthorn, apps, publish, arrived }: World): Promise<void> {
  const ids = await Promise.all(LOADED.map((kind) => publish(kind)));
  const path = `/v1/installations/${apps.paused.uuid}`;
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
  const { slug: app, uuid } = apps.plain;
  const organization_id = `42-${parked}`;
  expect((await posthorn.api("PUT", `/v1/installations/${uuid}`, { app, organization_id })).status).toBeLessThan(300);
  const moved: string[] = [];
  // The other replica may take an event before it has heard of the change.
  await eventually(async () => {
    moved.push(await publish("plain", organization_id));
    await new Promise((resolve) => setTimeout(resolve, 100));
    return moved.some((id) => arrived(id) > 0);
  });
  await posthorn.api("PUT", `/v1/installations/${uuid}`, { app, organization_id: "42" });
  // What comes next is for nobody at a replica that has not heard of it.
  for (const replica of replicas)
    await eventually(async () => (await replica.api("GET", `/v1/installations?app=${app}&organization_id=42`)).body.items.length === 1);
}

test.concurrent.for([
  { name: "EVENTS", dependency: "events", check: "events" },
  { name: "RETRIES", dependency: "retries", check: "streams" },
  { name: "PARKED", dependency: "parked", check: "streams" },
  { name: "DEAD_LETTERS", dependency: "dead-letters", check: "streams" },
  { name: "STATUS", dependency: "status", check: "streams" },
])(
  "without its $name stream Posthorn is not ready and says which; it makes the stream again and everything works",
  async ({ name, dependency, check }, context) => {
    const world = await startWorld(context);
    const { manager, posthorn, detailOf, hasMetric, isReady, logged } = world;
    await expectEverythingWorks(world);
    const stream = world.streamOf(name);
    await manager.streams.delete(stream);
    await eventually(async () => (await detailOf(check))?.includes(`stream ${stream} is missing`));
    expect(await hasMetric(`posthorn_dependency_up{dependency="${dependency}"} 0`)).toBe(true);
    if (name === "PARKED" || name === "DEAD_LETTERS") {
      await eventually(async () => (await posthorn.api("GET", "/v1/overview")).body.problems[0]?.code === "NATS_UNREACHABLE");
    }
    // It makes the stream again after 5 s of real time: the processors have less to do than with a settable clock.
    await eventually(isReady);
    expect(await hasMetric(`posthorn_dependency_up{dependency="${dependency}"} 1`)).toBe(true);
    expect((await manager.streams.info(stream)).config.retention).toBe(
      name === "RETRIES" || name === "PARKED" ? RetentionPolicy.Workqueue : RetentionPolicy.Limits,
    );
    await eventually(() => logged("missing stream recreated").some((line) => line["stream"] === stream));
    await expectEverythingWorks(world);
  },
);

test.concurrent.for(["by itself", "by an operator's hand"])(
  "without its registry bucket Posthorn is not ready; when it is back %s, its records are, too",
  async (how, context) => {
    const world = await startWorld(context);
    const { bus, manager, posthorn, detailOf, hasMetric, isReady } = world;
    await expectEverythingWorks(world);
    const bucket = `${bus.prefix}-registry`;
    const apps = (await posthorn.api("GET", "/v1/apps")).body.items;
    await manager.streams.delete(`KV_${bucket}`);
    if (how === "by itself") {
      await eventually(async () => (await detailOf("registry")) === `the registry bucket (stream KV_${bucket}) is missing`);
      expect(await hasMetric('posthorn_dependency_up{dependency="registry"} 0')).toBe(true);
    } else await bus.jetStream.views.kv(bucket, { history: 1 });
    const path = `/v1/apps/${world.apps.ordered.slug}`;
    const isBack = async () =>
      (await hasMetric(`posthorn_registry_apps ${apps.length}`)) && (await posthorn.api("GET", path)).status === 200;
    await eventually(async () => (await isReady()) && (await isBack()));
    expect((await posthorn.api("GET", "/v1/apps")).body.items).toEqual(apps);
    await eventually(() => posthorn.log.some(({ message }) => String(message).includes("the registry bucket was replaced")));
    await expectEverythingWorks(world);
  },
);

test.concurrent("an events consumer that was deleted, or that somebody has replaced, is named, and events are consumed again", async (context) => {
  const world = await startWorld(context);
  const { manager, streamOf, detailOf, isReady } = world;
  const [stream, consumer] = [streamOf("EVENTS"), "posthorn-events"];
  await manager.consumers.delete(stream, consumer);
  await eventually(async () => (await manager.consumers.info(stream, consumer)).config.ack_policy === "explicit");
  await expectEverythingWorks(world);
  await manager.consumers.delete(stream, consumer);
  await manager.consumers.add(stream, { durable_name: consumer, ack_policy: "none" as never });
  await eventually(async () => (await detailOf("events"))?.includes('ack_policy: found "none", wanted "explicit"'));
  await manager.consumers.delete(stream, consumer);
  // Its next try comes within 5 s of real time.
  await eventually(isReady);
  await expectEverythingWorks(world);
});

test.concurrent("a stream that is full, or that has other settings than Posthorn needs, is named, and is used again when it is right", async (context) => {
  const { bus, manager, streamOf, detailOf, isReady } = await startWorld(context);
  const stream = streamOf("DEAD_LETTERS");
  const { config } = await manager.streams.info(stream);
  await bus.jetStream.publish(`${bus.prefix}.dead-letters.acme`, "{}");
  await manager.streams.update(stream, { ...config, max_msgs: 1, discard: "new" as never });
  const { state } = await manager.streams.info(stream);
  expect(state.messages).toBeGreaterThan(0);
  await eventually(async () => (await detailOf("streams")) === `stream ${stream} is full: max_msgs: 1`);
  await manager.streams.update(stream, { ...config, subjects: [`${bus.prefix}.dead-letters.other`] });
  await eventually(async () => (await detailOf("streams"))?.includes("wanted one that covers"));
  await manager.streams.update(stream, config);
  await eventually(isReady);
});

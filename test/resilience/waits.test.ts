/** What waits: retries, parked and ordered deliveries under kills, pauses, deleted consumers, a full store and clocks that jump. */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { headers, type JetStreamManager, NatsError } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeDeliveryMessage } from "../../src/model/delivery-message.ts";
import { aDelivery, deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type Bus, connectBus, type Posthorn, type PosthornProcess, startPosthorn, startPosthornHere } from "../support/posthorn.ts";
import { answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { type Server, startNatsServer, startRedisServer } from "../support/servers.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

let redis: Server;
let nats: Server;
const stopping: Array<() => Promise<unknown> | unknown> = [];

beforeAll(async () => {
  [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
});
afterAll(async () => {
  for (const stop of stopping.reverse()) await stop();
  await Promise.all([nats.stop(), redis.stop()]);
});

interface Platform {
  readonly bus: Bus;
  readonly manager: JetStreamManager;
  readonly receiver: Receiver;
  readonly streamOf: (name: string) => string;
  start(settings?: Readonly<Record<string, string>>): Promise<Posthorn>;
  /** One that can be killed. */
  startProcess(settings?: Readonly<Record<string, string>>): Promise<PosthornProcess>;
}

async function aPlatform(server: Server = nats): Promise<Platform> {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  const bus = await connectBus(server, prefix);
  const receiver = await startReceiver();
  stopping.push(bus.close, receiver.stop);
  return {
    bus,
    receiver,
    manager: await bus.connection.jetstreamManager(),
    streamOf: (name) => `${prefix}_${name}`.toUpperCase().replaceAll("-", "_"),
    async start(settings = {}) {
      const posthorn = await startPosthornHere({ nats: server, redis, prefix, settings });
      stopping.push(posthorn.end);
      return posthorn;
    },
    async startProcess(settings = {}) {
      const posthorn = await startPosthorn({ nats: server, redis, prefix, settings });
      stopping.push(() => posthorn.end("SIGKILL"));
      return posthorn;
    },
  };
}

let published = 0;
const publish = (bus: Bus, data: object, more: object = {}): Promise<number> =>
  bus.publish("issue.created", { id: `e-${++published}`, organization_id: "42", data, ...more });

interface Seen {
  readonly id: string;
  readonly sequence: number;
  readonly key: string;
}

const seen = ({ requests }: Receiver): Seen[] =>
  requests.map((request) => ({
    id: String(request.headers["webhook-id"]),
    sequence: Number(request.headers["webhook-sequence"]),
    key: String(request.json().data["k"] ?? ""),
  }));

/** Deliveries whose first request came after that of a later event with the same key. */
function inversions(receiver: Receiver): number {
  const newest = new Map<string, number>();
  const known = new Set<string>();
  let found = 0;
  for (const { id, sequence, key } of seen(receiver)) {
    if (known.has(id)) continue;
    known.add(id);
    if ((newest.get(key) ?? 0) > sequence) found++;
    newest.set(key, Math.max(newest.get(key) ?? 0, sequence));
  }
  return found;
}

const twice = (receiver: Receiver): number => receiver.requests.length - new Set(seen(receiver).map(({ id }) => id)).size;
const unique = (receiver: Receiver): number => new Set(seen(receiver).map(({ id }) => id)).size;
const isOwner = ({ log }: Posthorn): boolean => log.some(({ message }) => message === "lease taken");

// The longest first.
describe.concurrent("a message in hand", () => {
  test("is let go of when the consumers of the retries are deleted: the replica that has it then delivers it, once", async () => {
    const { bus, receiver, manager, streamOf, start } = await aPlatform();
    const replicas = [await start({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" }), await start({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" })];
    receiver.behave(answer(503));
    await replicas[0]?.install({ webhook_url: receiver.url, retry_schedule_s: [6] });
    for (let n = 0; n < 40; n++) await publish(bus, { n });
    await receiver.waitFor(40);
    receiver.behave((_request, response) => void setTimeout(() => response.end("ok"), 40));
    const retries = streamOf("RETRIES");
    await eventually(async () => (await manager.streams.info(retries)).state.messages === 40);
    for (let round = 0; round < 2; round++) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      for await (const { name } of manager.consumers.list(retries)) await manager.consumers.delete(retries, name).catch(() => {});
    }
    await eventually(async () => (await manager.streams.info(retries)).state.messages === 0);
    expect(receiver.requests.length).toBe(80);
    for (const replica of replicas) await replica.end();
  });

  test("is let go of by a replica that was suspended while others delivered it", async () => {
    const { bus, receiver, manager, streamOf, start, startProcess } = await aPlatform();
    const circuit = { POSTHORN_CIRCUIT_MIN_ATTEMPTS: "6", POSTHORN_CIRCUIT_OPEN_TIME: "4s", POSTHORN_CIRCUIT_MAX_OPEN_TIME: "4s" };
    const settings = { ...circuit, POSTHORN_TARGET_MAX_CONNECTIONS: "1" };
    const [one, two] = [await startProcess(settings), await start(settings)];
    receiver.behave(answer(503));
    await one.install({ webhook_url: receiver.url, retry_schedule_s: [1, 1, 1, 1], max_in_flight: 40 });
    for (let n = 0; n < 40; n++) await publish(bus, { n });
    const parked = streamOf("PARKED");
    const consumers = async () => {
      const found = [];
      for await (const { num_ack_pending: pending } of manager.consumers.list(parked)) found.push(pending);
      return found;
    };
    await eventually(async () => (await manager.streams.info(parked)).state.messages >= 30);
    const failed = receiver.requests.length;
    // Each replica attempts one at a time, and has others in its hands that wait for the connection.
    receiver.behave((_request, response) => void setTimeout(() => response.end("ok"), 500));
    await eventually(async () => (await consumers()).some((pending) => pending >= 15));
    one.child.kill("SIGSTOP");
    receiver.behave((_request, response) => void setTimeout(() => response.end("ok"), 20));
    const delivered = new Map<string, number>();
    const countDelivered = (): number => {
      delivered.clear();
      for (const [at, { id }] of seen(receiver).entries()) if (isOk(at)) delivered.set(id, (delivered.get(id) ?? 0) + 1);
      return delivered.size;
    };
    const isOk = (at: number): boolean => at >= failed;
    await eventually(() => countDelivered() === 40);
    one.child.kill("SIGCONT");
    // Longer than what it had in its hands would wait, in real time: it was suspended, and its own clocks did not stop.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    countDelivered();
    // The attempt that was under way when it was suspended.
    expect([...delivered.values()].filter((times) => times > 1).length).toBeLessThanOrEqual(1);
    await Promise.all([one.end(), two.end()]);
  });
});

describe.concurrent("an owner of the queues that comes back late", () => {
  test("was suspended, and ends only the attempt that it had begun: nothing comes out of its order, and nothing else twice", async () => {
    const { bus, receiver, manager, streamOf, startProcess } = await aPlatform();
    const replicas = [await startProcess(), await startProcess()];
    await replicas[0]?.install({ webhook_url: receiver.url, ordered: true, retry_schedule_s: [1, 1, 1, 1] });
    receiver.behave((request, response) => {
      const n = Number(request.json().data["n"]);
      const isFirst = receiver.requests.filter((one) => one.json().data["n"] === n).length === 1;
      setTimeout(() => response.writeHead(n % 10 === 3 && isFirst ? 503 : 200).end(), 20);
    });
    const total = 60;
    for (let n = 0; n < total / 2; n++) await publish(bus, { n });
    await receiver.waitFor(8);
    const owner = replicas.find(isOwner);
    owner?.child.kill("SIGSTOP");
    for (let n = total / 2; n < total; n++) await publish(bus, { n });
    // The suspended owner's lease expires after 10 s of real time.
    await eventually(() => unique(receiver) > total / 2);
    owner?.child.kill("SIGCONT");
    await eventually(() => unique(receiver) === total);
    await eventually(async () => (await manager.streams.info(streamOf("PARKED"))).state.messages === 0);
    expect(inversions(receiver)).toBe(0);
    // Each tenth delivery fails once. At each change of the owner (on a busy machine there are several) one attempt is in flight, and
    // the records of some that were answered are not written yet. They are written within 50 ms; a busy machine gets six times as long,
    // in which fifteen are answered.
    const terms = replicas.flatMap(({ log }) => log.filter(({ message }) => message === "lease taken"));
    expect(twice(receiver)).toBeLessThanOrEqual(total / 10 + (terms.length - 1) * (1 + 15));
    await Promise.all(replicas.map((replica) => replica.end()));
  });

  test("has stored something after another one took over: it has no effect", async () => {
    const { bus, receiver, manager, streamOf, start } = await aPlatform();
    const posthorn = await start();
    const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url, ordered: true });
    await publish(bus, { n: 0 });
    await receiver.waitFor(1);
    const park = async (n: number, token: string | null): Promise<void> => {
      const delivery = { ...aDelivery({ app: slug, installationUuid: uuid, id: `dlv_${n}`, eventSequence: n }), firstParkedAt: Date.now() };
      const stored = { ...delivery, stores: 1, event: { ...delivery.event, dataJson: JSON.stringify({ n }) } };
      const body = encodeDeliveryMessage({ delivery: stored, dueAt: null, delayMs: 0, notBefore: false });
      const fence = headers();
      if (token !== null) fence.set("Posthorn-Fence", token);
      await bus.jetStream.publish(`${bus.prefix}.parked.${slug}`, body, { headers: fence });
    };
    await park(5, "0");
    await park(6, null);
    await eventually(async () => (await manager.streams.info(streamOf("PARKED"))).state.messages === 0);
    expect(receiver.requests.map((request) => request.json().data["n"])).toEqual([0, 6]);
    await posthorn.end();
  });
});

describe.concurrent("an app with order_by", () => {
  test("gets each key's deliveries in order over the kill of their owner, and says where each event stands", async () => {
    const { bus, receiver, startProcess } = await aPlatform();
    const [one, two] = [await startProcess(), await startProcess()];
    await one.install({ webhook_url: receiver.url, order_by: "/k" });
    const total = 90;
    for (let n = 0; n < total; n++) {
      await publish(bus, { k: `k${n % 3}`, n });
      if (n === 45) {
        await receiver.waitFor(20);
        await (isOwner(one) ? one : two).end("SIGKILL");
      }
    }
    // The killed owner's lease expires after 10 s of real time.
    await eventually(() => unique(receiver) === total);
    expect(inversions(receiver)).toBe(0);
    await Promise.all([one.end("SIGKILL"), two.end("SIGKILL")]);
  });

  test("lets a key that waits for its retry hold up no other, and keeps its order", async () => {
    const { bus, receiver, start } = await aPlatform();
    const posthorn = await start({ POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" });
    const { uuid } = await posthorn.install({ webhook_url: receiver.url, order_by: "/k", retry_schedule_s: [12] });
    let failures = 1;
    receiver.behave((request, response) => {
      const isIll = request.json().data["k"] === "ill" && failures-- > 0;
      response.writeHead(isIll ? 503 : 200).end();
    });
    for (let n = 0; n < 20; n++) await publish(bus, { k: n % 2 === 0 ? "ill" : "well", n });
    await eventually(() => seen(receiver).filter(({ key }) => key === "well").length === 10);
    expect(seen(receiver).filter(({ key }) => key === "ill").length).toBe(1);
    // A second message of an event that waits: it becomes one with the first, which is not kept silent.
    const twinEvent = { id: "twin", organization_id: "42", data: { k: "ill" } };
    const first = await bus.publish("issue.created", twinEvent);
    const second = await bus.publish("issue.created", twinEvent);
    const twin = await eventually(async () => {
      const { body } = await posthorn.api("GET", `/v1/deliveries/${deliveryIdOf("twin", uuid)}`);
      return body.delivery?.skipped.length === 1 && body.delivery;
    });
    expect(twin.skipped).toMatchObject([{ event_sequence: second, delivered_event_sequence: first }]);
    expect(twin.skipped[0].detail).toBe(
      `event message ${second} has the same event as message ${first}, which waited for its turn already: skipped`,
    );
    const [line, ...others] = await eventually(() => {
      const lines = posthorn.log.filter(({ message }) => message === "delivery.skipped");
      return lines.length > 0 && lines;
    });
    expect([line, others]).toMatchObject([{ why: "stored", event_sequence: second, delivered_event_sequence: first }, []]);
    await eventually(() => unique(receiver) === 21);
    expect([inversions(receiver), receiver.requests.length]).toEqual([0, 22]);
    await posthorn.end();
  });

  test("is probed with the next one of an order, not with one that was stored behind it", async () => {
    const { bus, receiver, start } = await aPlatform();
    const posthorn = await start({ POSTHORN_BROKEN_PROBE_INTERVAL: "200ms", POSTHORN_CIRCUIT_MIN_ATTEMPTS: "100000" });
    const { uuid } = await posthorn.install({ webhook_url: receiver.url, order_by: "/k", retry_schedule_s: [3_600] });
    const asked = (): string[] => receiver.requests.map((request) => `${request.json().data["k"]}${request.json().data["n"]}`);
    const status = async () => (await posthorn.api("GET", `/v1/installations/${uuid}`)).body.status;
    await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
    for (const data of [
      { k: "a", n: 1 },
      { k: "a", n: 2 },
      { k: "b", n: 1 },
      { k: "a", n: 3 },
    ])
      await publish(bus, data);
    await eventually(async () => (await posthorn.api("GET", `/v1/installations/${uuid}/health`)).body.parked.deliveries === 4);
    // The first of one key waits for its retry when that of the other breaks the installation.
    receiver.behave((request, response) => void response.writeHead(request.json().data["k"] === "b" ? 410 : 503).end());
    await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    await eventually(async () => (await status()) === "broken" && receiver.requests.length >= 2);
    await eventually(() => receiver.requests.length > 2);
    expect(new Set(asked())).toEqual(new Set(["a1", "b1"]));
    receiver.behave(answer(200));
    await eventually(async () => asked().includes("a3"));
    expect([await status(), inversions(receiver), asked().slice(-3)]).toEqual(["active", 0, ["a1", "a2", "a3"]]);
    await posthorn.end();
  });

  test.each(["disabled", "broken"])("expires while its installation is %s, also behind a stopped key, and stops its key", async (how) => {
    const { bus, receiver, start } = await aPlatform();
    const posthorn = await start({ POSTHORN_MAX_PARKED_AGE: "1s" });
    receiver.behave((request, response) => void response.writeHead(request.json().data["k"] === "gone" ? 410 : 503).end());
    const { slug, uuid } = await posthorn.install({
      ...{ webhook_url: receiver.url, order_by: "/k", on_exhausted: "stop", retry_schedule_s: [] },
    });
    const letters = async (): Promise<Array<{ reason: string; event: { data: { k: string } } }>> =>
      (await posthorn.api("GET", `/v1/dead-letters?app=${slug}`)).body.items;
    const glance = async () => (await posthorn.api("GET", `/v1/apps/${slug}/overview`)).body.items[0];
    await publish(bus, { k: "a" });
    await eventually(async () => (await glance()).stopped?.keys === 1);
    for (let n = 0; n < 2; n++) await publish(bus, { k: "a" });
    await (how === "broken" ? publish(bus, { k: "gone" }) : posthorn.api("POST", `/v1/installations/${uuid}/disable`));
    await eventually(async () => (await posthorn.api("GET", `/v1/installations/${uuid}`)).body.status === how);
    for (const k of ["a", "b"]) await publish(bus, { k });
    const expired = await eventually(async () => {
      const found = (await letters()).filter(({ reason }) => reason === "expired");
      return found.length === 4 && found;
    });
    expect(expired.map(({ event }) => event.data.k).sort()).toEqual(["a", "a", "a", "b"]);
    const { stopped } = await eventually(async () => {
      const app = await glance();
      return app.stopped?.keys === (how === "broken" ? 3 : 2) && app.parked === 0 && app;
    });
    expect(stopped.oldest.dead_letter).toBe(1);
    await posthorn.end();
  });

  test("is given nothing up when its installation is stopped and started over and over", async () => {
    const { bus, receiver, start } = await aPlatform();
    const posthorn = await start();
    const { uuid } = await posthorn.install({ webhook_url: receiver.url, ordered: true });
    receiver.behave((_request, response) => void setTimeout(() => response.end("ok"), 30));
    for (let n = 0; n < 60; n++) void publish(bus, { n });
    await receiver.waitFor(3);
    for (let n = 0; n < 14; n++) {
      await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
      await posthorn.api("POST", `/v1/installations/${uuid}/enable`);
    }
    await eventually(() => unique(receiver) === 60);
    expect([inversions(receiver), twice(receiver)]).toEqual([0, 0]);
    expect((await posthorn.api("GET", "/v1/dead-letters")).body.items).toEqual([]);
    await posthorn.end();
  });
});

describe.concurrent("a key that a dead letter stops", () => {
  async function twoReplicas() {
    const platform = await aPlatform();
    const replicas = [await platform.start(), await platform.start()];
    let asked = 0;
    /** The owner of the queues and another replica in turn. */
    const any = (): Posthorn => replicas[asked++ % replicas.length] as Posthorn;
    return { ...platform, replicas, any };
  }
  type Replicas = Awaited<ReturnType<typeof twoReplicas>>;

  let shared: Replicas;
  beforeAll(async () => {
    shared = await twoReplicas();
  });

  /** One fails of four with the same key, in an organization of its own; another key is well. */
  async function stopped({ any, bus, manager, streamOf }: Replicas = shared) {
    const receiver = await startReceiver();
    stopping.push(receiver.stop);
    receiver.behave((request, response) => void response.writeHead(request.json().data["n"] === 1 ? 503 : 200).end());
    const organization_id = randomUUID();
    const { slug, uuid } = await any().install({
      ...{ webhook_url: receiver.url, order_by: "/k", retry_schedule_s: [], on_exhausted: "stop", organization_id },
    });
    const ids = [0, 1, 2, 3].map((n) => `${slug}-${n}`);
    for (const [n, id] of ids.entries()) await publish(bus, { k: "a", n }, { id, organization_id, project_id: "7" });
    await publish(bus, { k: "b", n: 9 }, { organization_id, project_id: "8" });
    const deliveryId = (n: number): string => deliveryIdOf(ids[n] ?? "", uuid);
    const api: Posthorn["api"] = (method, path, body) => any().api(method, path, body);
    const letters = async (): Promise<Array<{ sequence: number; delivery_id: string }>> =>
      (await api("GET", `/v1/dead-letters?app=${slug}`)).body.items;
    const stop = async () => (await api("GET", `/v1/apps/${slug}/overview`)).body.items[0].stopped;
    const explained = async (n: number) => (await api("GET", `/v1/deliveries/${deliveryId(n)}`)).body.delivery;
    const [letter] = await eventually(async () => (await letters()).length === 1 && letters());
    await eventually(async () => (await stop())?.keys === 1 && (await explained(1))?.stopped_by);
    const numbers = (): unknown[] => receiver.requests.map((request) => request.json().data["n"]);
    const ofKey = (): unknown[] => numbers().filter((n) => n !== 9);
    const sequence = letter?.sequence ?? 0;
    const nothingIsParked = () =>
      eventually(async () => {
        const { state } = await manager.streams.info(streamOf("PARKED"), { subjects_filter: ">" });
        return Object.keys(state.subjects ?? {}).every((subject) => !subject.endsWith(slug));
      });
    return { receiver, slug, deliveryId, explained, api, letters, sequence, stop, numbers, ofKey, nothingIsParked };
  }

  test("says so wherever it is looked at: which dead letter, since when, and what to do", async () => {
    const { slug, sequence, deliveryId, explained, stop, api } = await stopped();
    const shown = { delivery_id: deliveryId(1), dead_letter: sequence, since: expect.stringMatching(/Z$/) };
    const { since } = (await explained(1)).stopped_by;
    const why = `dead letter ${sequence} (delivery ${deliveryId(1)}) has stopped its order key since ${since}`;
    const whatToDo = "replay, resend or delete the dead letter, or set the app's on_exhausted to continue";
    // Each replica counts once a second.
    expect(await eventually(stop)).toEqual({ keys: 1, oldest: shown });
    expect(await explained(1)).toMatchObject({
      ...{ state: "dead_letter", stopped_by: shown, parked: null },
      detail: expect.stringContaining(`dead letter ${sequence} has stopped its order key since ${since}; ${whatToDo}`),
    });
    const waiting = await eventually(async () => {
      const { items } = (await api("GET", `/v1/deliveries?app=${slug}&state=parked`)).body;
      return items.length === 2 && items;
    });
    expect(waiting.map(({ delivery_id: id }: { delivery_id: string }) => id).sort()).toEqual([deliveryId(2), deliveryId(3)].sort());
    for (const one of [...waiting, await explained(3)])
      expect(one).toMatchObject({
        ...{ state: "parked", stopped_by: shown, parked: { because: "stopped" } },
        detail: expect.stringContaining(`: ${why}; ${whatToDo}`),
      });
    // Its own message in the queue is no second delivery.
    const { items: all } = (await api("GET", `/v1/deliveries?app=${slug}&limit=100`)).body;
    expect(all.map(({ state }: { state: string }) => state).sort()).toEqual(["dead_letter", "delivered", "delivered", "parked", "parked"]);
  });

  test("is no parked delivery: only what waits behind it is counted, at every replica", async () => {
    const { any, bus, replicas } = shared;
    const receiver = await startReceiver();
    stopping.push(receiver.stop);
    receiver.behave(answer(503));
    const organization_id = randomUUID();
    const { slug } = await any().install({
      ...{ webhook_url: receiver.url, order_by: "/k", retry_schedule_s: [], on_exhausted: "stop", organization_id },
    });
    const glance = async (of: Posthorn) => (await of.api("GET", `/v1/apps/${slug}/overview`)).body.items[0];
    const metrics = async (of: Posthorn): Promise<unknown[]> => {
      const text = String((await of.api("GET", "/metrics")).body);
      return ["messages", "oldest_age_seconds"].map((name) => text.match(`posthorn_parked_${name}{app="${slug}"} (.*)`)?.[1]);
    };
    for (let k = 0; k < 5; k++) await publish(bus, { k }, { organization_id });
    for (const replica of replicas) {
      const {
        parked,
        parked_in_app_queue: own,
        dead_letters: dead,
      } = await eventually(async () => {
        const app = await glance(replica);
        return app.stopped?.keys === 5 && app;
      });
      expect([parked, own, dead]).toEqual([0, 0, 5]);
    }
    const before = Date.now();
    await publish(bus, { k: 0 }, { organization_id });
    for (const replica of replicas) {
      await eventually(async () => (await glance(replica)).parked > 0);
      expect(await glance(replica)).toMatchObject({ parked: 1, parked_in_app_queue: 1, dead_letters: 5 });
      const [messages, age] = await eventually(async () => {
        const found = await metrics(replica);
        return found[0] !== undefined && found;
      });
      expect([messages, Number(age) <= (Date.now() - before) / 1000]).toEqual(["1", true]);
    }
  });

  test.each(["replay", "resend", "replay of a period"])("continues with its %s, which settles the dead letter", async (how) => {
    const { receiver, api, slug, sequence, deliveryId, ofKey, letters, nothingIsParked } = await stopped();
    expect(ofKey()).toEqual([0, 1]);
    receiver.behave(answer(200));
    const path = how === "replay" ? `/v1/dead-letters/${sequence}/replay` : `/v1/deliveries/${deliveryId(1)}/resend`;
    const asked = how.endsWith("period") ? api("POST", "/v1/replays", { app: slug, what: "failed" }) : api("POST", path);
    expect((await asked).status).toBeLessThan(300);
    await eventually(() => ofKey().length === 5);
    await eventually(async () => (await letters()).length === 0);
    expect((await api("POST", "/v1/dead-letters/replay", { app: slug })).body).toMatchObject({ matched: 0 });
    expect(ofKey()).toEqual([0, 1, 1, 2, 3]);
    await nothingIsParked();
  });

  test("stops again with the dead letter of a replay that fails, over a change of the owner", async () => {
    const own = await twoReplicas();
    const { receiver, api, sequence, ofKey, letters, stop, nothingIsParked } = await stopped(own);
    await api("POST", `/v1/dead-letters/${sequence}/replay`);
    const again = await eventually(async () => {
      const [letter] = await letters();
      return letter !== undefined && letter.sequence !== sequence && (await stop())?.oldest.dead_letter === letter.sequence && letter;
    });
    const [gone] = own.replicas.splice(own.replicas.findIndex(isOwner), 1);
    await gone?.end();
    own.replicas.push(await own.start());
    await eventually(async () => (await stop())?.oldest.dead_letter === again.sequence);
    expect(ofKey()).toEqual([0, 1, 1]);
    receiver.behave(answer(200));
    await api("POST", `/v1/dead-letters/${again.sequence}/replay`);
    await eventually(() => ofKey().length === 6);
    expect(ofKey()).toEqual([0, 1, 1, 1, 2, 3]);
    await nothingIsParked();
  });

  test.each([
    ["its dead letter is deleted", {}, "DELETE", ({ sequence }: { sequence: number }) => `/v1/dead-letters/${sequence}`],
    ["on_exhausted becomes continue", { on_exhausted: "continue" }, "PATCH", ({ slug }: { slug: string }) => `/v1/apps/${slug}`],
    ["the order is that of the app", { order_by: "app" }, "PATCH", ({ slug }: { slug: string }) => `/v1/apps/${slug}`],
    ["there is no order any more", { order_by: "none" }, "PATCH", ({ slug }: { slug: string }) => `/v1/apps/${slug}`],
  ])("continues without what stopped it when %s", async (_when, change, method, path) => {
    const platform = await stopped();
    const { api, ofKey, stop, nothingIsParked } = platform;
    const body = method === "PATCH" ? change : undefined;
    expect((await api(method, path(platform), body)).status).toBeLessThan(300);
    await eventually(() => ofKey().length === 4);
    expect(ofKey().slice(0, 2)).toEqual([0, 1]);
    if (!("order_by" in change && change.order_by === "none")) expect(ofKey()).toEqual([0, 1, 2, 3]);
    await eventually(async () => (await stop()) === null);
    await nothingIsParked();
  });
});

test.concurrent("events that were on their way when the connection broke don't come behind younger ones", async () => {
  const proxy = await startTcpProxy(Number(new URL(nats.url).port));
  stopping.push(proxy.stop);
  const { bus, receiver, start } = await aPlatform();
  const posthorn = await start({ POSTHORN_NATS_URL: `nats://127.0.0.1:${proxy.port}` });
  await posthorn.install({ webhook_url: receiver.url, order_by: "/k" });
  const some = () => Promise.all(Array.from({ length: 20 }, (_, n) => publish(bus, { k: `k${n % 3}` })));
  await some();
  await receiver.waitFor(20);
  proxy.freeze();
  // The server hands them out to a connection that is dead, and again after ack_wait only.
  await some();
  await sleep(100);
  proxy.thaw();
  await some();
  await receiver.waitFor(60);
  expect(inversions(receiver)).toBe(0);
});

describe.concurrent("many queues", () => {
  test.each([true, false])(
    "of recovered installations are emptied side by side, without a consumer for each (ordered: %s)",
    async (ordered) => {
      const { bus, receiver, manager, streamOf, start } = await aPlatform();
      const posthorn = await start();
      const { slug, uuid } = await posthorn.install({ webhook_url: receiver.url, ordered });
      const uuids = [uuid, ...Array.from({ length: 29 }, () => randomUUID())];
      for (const one of uuids) {
        await posthorn.api("PUT", `/v1/installations/${one}`, { app: slug, organization_id: "42", allow_duplicate: true });
        await posthorn.api("POST", `/v1/installations/${one}/disable`);
      }
      for (let n = 0; n < 3; n++) await publish(bus, { n });
      const parked = streamOf("PARKED");
      await eventually(async () => (await manager.streams.info(parked)).state.messages === 90);
      expect((await manager.streams.info(parked)).state.consumer_count).toBe(0);
      for (const one of uuids) await posthorn.api("POST", `/v1/installations/${one}/enable`);
      await eventually(() => unique(receiver) === 90);
      expect(twice(receiver)).toBe(0);
      await eventually(async () => (await manager.streams.info(parked)).state.messages === 0);
      expect((await manager.streams.info(parked)).state.consumer_count).toBe(0);
      await posthorn.end();
    },
  );
});

/** Whether the store had room for another event. One whose acknowledgement does not come in time is published again, as the same event. */
async function isStored(bus: Bus, data: object): Promise<boolean> {
  const id = randomUUID();
  for (;;) {
    try {
      await publish(bus, data, { id });
      return true;
    } catch (error) {
      if (error instanceof NatsError && error.isJetStreamError()) return false;
    }
  }
}

/** Publishes events, with less text each time, until the store has room for nothing more. @returns how many were stored */
async function fill(bus: Bus, lengths: readonly number[]): Promise<number> {
  let stored = 0;
  for (const length of lengths) {
    const text = "x".repeat(length);
    while (await isStored(bus, { text })) stored++;
  }
  return stored;
}

test.concurrent.each([
  [false, "6", 3],
  [true, "6", 3],
  // The first deliveries are given up while there is no room for their status events.
  [true, "100000", 3],
  // All that waits are retries, and none is given up.
  [false, "100000", 50],
])(
  "what waits flows out of a full store, and room comes from that (ordered: %s, circuit after %s, %i retries)",
  async (ordered, minAttempts, retries) => {
    const own = await startNatsServer({ maxFileStore: "6MB" });
    stopping.push(own.stop);
    const { bus, receiver, manager, streamOf, start } = await aPlatform(own);
    const posthorn = await start({
      POSTHORN_CIRCUIT_MIN_ATTEMPTS: minAttempts,
      POSTHORN_CIRCUIT_OPEN_TIME: "2s",
      POSTHORN_CIRCUIT_MAX_OPEN_TIME: "2s",
    });
    receiver.behave(answer(503));
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: Array(retries).fill(1), ordered });
    // A delivery has two messages while its next one is stored: what they leave is filled, too.
    await eventually(async () => {
      await fill(bus, [20_000, 2_000, 10]);
      const { body } = await posthorn.api("PUT", "/v1/apps/filler", { webhook_url: receiver.url, name: randomUUID() });
      const posted = await posthorn.api("POST", "/v1/events", { type: "filler.x", organization_id: "nobody", data: {} });
      return [body, posted.body].every(({ status, code }) => status === 503 && code === "STORE_FULL");
    });
    // Attempts that fail now have outcomes that can't be stored.
    await receiver.waitFor(receiver.requests.length + 3);
    await eventually(async () => {
      // Attempts leave room now and then, perhaps whenever Posthorn looks.
      await fill(bus, [2_000, 10]);
      return (await posthorn.api("GET", "/readyz")).body.checks.registry.detail.includes("no room left");
    });
    receiver.behave(answer(200));
    for (const stream of ["PARKED", "RETRIES"])
      await eventually(async () => (await manager.streams.info(streamOf(stream))).state.messages === 0);
    await posthorn.end();
  },
);

test.concurrent.each(["6", "100000"])(
  "deliveries whose events alone fill the store are attempted until they succeed (circuit after %s)",
  async (minAttempts) => {
    const own = await startNatsServer({ maxFileStore: "6MB" });
    stopping.push(own.stop);
    const { bus, receiver, start } = await aPlatform(own);
    const posthorn = await start({
      POSTHORN_CIRCUIT_MIN_ATTEMPTS: minAttempts,
      POSTHORN_CIRCUIT_OPEN_TIME: "1s",
      POSTHORN_CIRCUIT_MAX_OPEN_TIME: "1s",
      POSTHORN_TARGET_MAX_CONNECTIONS: "1000",
    });
    // All are in flight, and fail when nothing can be stored any more.
    const failing: Array<() => void> = [];
    receiver.behave((_request, response) => void failing.push(() => response.writeHead(503).end()));
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [1], max_in_flight: 1_000, timeout_ms: 120_000 });
    // The last ones leave less room than a delivery takes.
    const stored = await fill(bus, [100_000, 5_000]);
    await receiver.waitFor(stored);
    receiver.behave(answer(503));
    for (const fail of failing) fail();
    await receiver.waitFor(stored + 2);
    receiver.behave(answer(200));
    const delivered = receiver.requests.length;
    await eventually(
      () =>
        new Set(
          seen(receiver)
            .slice(delivered)
            .map(({ id }) => id),
        ).size === stored,
    );
    await posthorn.end();
  },
);

test.concurrent("an app that has used up its share of the parked stream takes no room from others, and the bus says so", async () => {
  const { bus, receiver, manager, streamOf, start } = await aPlatform();
  await (await start()).end();
  const parked = streamOf("PARKED");
  const { config } = await manager.streams.info(parked);
  await manager.streams.update(parked, { ...config, max_bytes: 400_000 });
  const posthorn = await start({ POSTHORN_PARKED_APP_SHARE: "30" });
  const full = await posthorn.install({ webhook_url: receiver.url, events: ["comment"] });
  const other = await posthorn.install({ webhook_url: receiver.url, events: ["issue"], ordered: true });
  for (const { uuid } of [full, other]) await posthorn.api("POST", `/v1/installations/${uuid}/disable`);
  const text = "x".repeat(3_000);
  for (let n = 0; n < 150; n++) await bus.publish("comment.created", { organization_id: "42", data: { n, text } });
  for (let n = 0; n < 30; n++) await publish(bus, { n, text });
  const given = () => posthorn.api("GET", `/v1/dead-letters?app=${full.slug}&limit=1000&order=oldest`);
  const counts = async () => (await manager.streams.info(parked, { subjects_filter: ">" })).state.subjects ?? {};
  await eventually(async () => (await counts())[`${bus.prefix}.parked.${other.slug}.${other.uuid}`] === 30);
  let kept = 0;
  const letters = await eventually(async () => {
    kept = (await counts())[`${bus.prefix}.parked.${full.slug}.${full.uuid}`] ?? 0;
    const { items } = (await given()).body;
    return items.length + kept === 150 && items;
  });
  expect(kept * 3_000).toBeLessThan(150_000);
  expect(new Set(letters.map(({ reason }: { reason: string }) => reason))).toEqual(new Set(["overflow"]));
  const { items: events } = (await posthorn.api("GET", "/v1/status-events")).body;
  expect(events.some((one: any) => one.type === "delivery.rejected" && one.data.reason === "overflow")).toBe(true);
  expect((await posthorn.api("GET", "/readyz")).status).toBe(200);
  await posthorn.api("POST", `/v1/installations/${other.uuid}/enable`);
  await eventually(() => unique(receiver) === 30);
  expect(inversions(receiver)).toBe(0);
  await posthorn.end();
});

// The wall clock of the process is set; its monotonic clock goes on.
test.concurrent.each([-3_600_000, 3_600_000])("a wall clock that jumps by %i ms makes nothing wait longer or shorter", async (byMs) => {
  const { bus, receiver, startProcess } = await aPlatform();
  const jump = `const now = Date.now; let by = 0; process.on("SIGUSR2", () => { by = ${byMs}; }); Date.now = () => now() + by;`;
  const posthorn = await startProcess({
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(jump)}`,
    POSTHORN_CIRCUIT_MIN_ATTEMPTS: "1000",
  });
  for (const ordered of [true, false]) {
    await posthorn.install({ webhook_url: receiver.url, retry_schedule_s: [4], ordered, events: [ordered ? "issue" : "comment"] });
  }
  receiver.behave((_request, response) => void response.writeHead(receiver.requests.length <= 2 ? 503 : 200).end());
  await publish(bus, {});
  await bus.publish("comment.created", { organization_id: "42", data: {} });
  await receiver.waitFor(2);
  posthorn.child.kill("SIGUSR2");
  await receiver.waitFor(4);
  for (const id of new Set(seen(receiver).map((one) => one.id))) {
    const [first, second] = receiver.requests.filter(({ headers }) => headers["webhook-id"] === id);
    // Never early by more than the jitter and the rest that is not waited for; a machine with much else to do is late.
    expect((second?.receivedAt ?? 0) - (first?.receivedAt ?? 0)).toBeGreaterThan(2_700);
  }
  await posthorn.end();
});

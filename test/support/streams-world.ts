/**
 * A platform of one app with two installations for the model-based test of the streams: real replicas that are stopped, killed
 * and started, a receiver that is told how to answer each installation, and a record of all that was asked for and seen.
 */
import { randomUUID } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { JetStreamManager, KV } from "nats";
import { createSubjects } from "../../src/jetstream/subjects.ts";
import { deliveryIdOf } from "./builders.ts";
import { eventually } from "./eventually.ts";
import { type Bus, connectBus, type Posthorn, type PosthornProcess, startPosthorn, startPosthornHere } from "./posthorn.ts";
import type { Server } from "./servers.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

export const MOODS = ["ok", "slow", "fails", "later", "rejects", "gone", "resets"] as const;
export type Mood = (typeof MOODS)[number];

/** The last two have keys of their own in each installation. */
export const ORDERS = ["none", "app", "installation", "/key"] as const;
export type Order = (typeof ORDERS)[number];
/** Values of `/key`. */
const KEYS = 2;

export interface AppMembers {
  readonly order_by: Order;
  readonly max_in_flight: number;
}

export interface WorldOptions {
  readonly replicas: number;
  /** Replicas are processes of their own, which can be killed. */
  readonly killing: boolean;
  /** Replicas can be cut off from NATS. */
  readonly cutting: boolean;
  /** Whether failures open the app's circuit. */
  readonly circuit: boolean;
  /** Concurrent attempts of one replica. */
  readonly maxInFlight: number;
  readonly app: AppMembers;
}

/** What the receiver saw. */
export interface Received {
  readonly deliveryId: string;
  readonly spanId: string;
  readonly answer: Mood;
  readonly at: number;
  /** When it was answered, or its connection was gone. */
  endedAt: number;
}

/** What Posthorn says of an attempt; `startedAt` is a millisecond or two off. */
export interface Attempted {
  readonly deliveryId: string;
  readonly uuid: string;
  readonly spanId: string;
  readonly replay: string | null;
  readonly attempt: number;
  readonly outcome: string;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface Published {
  readonly id: string;
  readonly sequence: number;
  readonly key: number;
  readonly at: number;
}

/** From when to when something held at every replica. */
export interface Span {
  readonly from: number;
  to: number;
}

export interface OrderedSpan extends Span {
  readonly orderBy: Exclude<Order, "none">;
}

export interface Letter {
  readonly delivery_id: string;
  readonly reason: string;
  readonly replay: string | null;
  readonly attempts_made: number;
  readonly attempts: ReadonlyArray<{ readonly attempt: number }>;
}

export const RETRY_SCHEDULE_S = [0.1, 0.3];
const RETRY_AFTER_S = 1;
export const RETRY_AFTER_MS = RETRY_AFTER_S * 1_000;
const ANSWER_MS = 15;
const SLOW_ANSWER_MS = 250;
export const TYPE = "issue.created";
const CIRCUIT_LEFT = "the circuit is not closed";
const OPEN_END = Number.POSITIVE_INFINITY;

/** `end` takes a signal where it is a process. */
type Replica = Posthorn & { end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> };

export type StreamsWorld = Awaited<ReturnType<typeof startStreamsWorld>>;

export async function startStreamsWorld(servers: { readonly nats: Server; readonly redis: Server }, options: WorldOptions) {
  const prefix = `t-${randomUUID().slice(0, 8)}`;
  /** Redis is shared with other worlds: names of its own. */
  const slug = `app-${prefix}`;
  const uuids = [randomUUID(), randomUUID()];
  const bus: Bus = await connectBus(servers.nats, prefix);
  const manager: JetStreamManager = await bus.connection.jetstreamManager();
  const names = createSubjects(prefix);

  const published: Published[] = [];
  const publish = async (): Promise<void> => {
    const id = `${prefix}-${published.length}`;
    const key = published.length % KEYS;
    published.push({ id, sequence: await bus.publish(TYPE, { id, organization_id: "42", data: { key } }), key, at: Date.now() });
  };
  const received: Received[] = [];
  /** Delivery → when it was seen on the parked stream first. */
  const parkedAt = new Map<string, number>();
  const disabled: Array<Span & { readonly uuid: string }> = [];
  const ordered: OrderedSpan[] = [];
  /** Deliveries that somebody asked for again, with how often. */
  const askedAgain = new Map<string, number>();
  const discarded = new Set<string>();
  /** Since when the installation's status can't be known for sure. */
  const wentBroken = new Set<string>();
  /** Installations that were removed, and deliveries that had not arrived then. */
  const removed = new Set<string>();
  const mayMiss = new Set<string>();
  /** When a replica or NATS was killed, or a replica was suspended or cut off, or came back from that. */
  const kills: number[] = [];
  const resumptions: number[] = [];
  const wrong: string[] = [];
  const moods = new Map<string, Mood>(uuids.map((uuid) => [uuid, "ok"]));
  const underWay: Array<Promise<unknown>> = [];

  const receiver = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", () => {});
    incoming.on("end", () => {
      const { installation } = JSON.parse(Buffer.concat(chunks).toString()) as { installation: { uuid: string } };
      const mood = moods.get(installation.uuid) ?? "ok";
      const one: Received = {
        deliveryId: String(incoming.headers["webhook-id"]),
        spanId: String(incoming.headers["traceparent"]).split("-")[2] ?? "",
        answer: mood,
        at: Date.now(),
        endedAt: OPEN_END,
      };
      received.push(one);
      response.once("close", () => {
        one.endedAt = Math.min(one.endedAt, Date.now());
      });
      if (mood === "gone") wentBroken.add(installation.uuid);
      setTimeout(() => answer(one, response), mood === "slow" ? SLOW_ANSWER_MS : ANSWER_MS);
    });
  });
  const answer = (one: Received, response: ServerResponse): void => {
    one.endedAt = Math.min(one.endedAt, Date.now());
    switch (one.answer) {
      case "ok":
      case "slow":
        return void response.end("ok");
      case "fails":
        return void response.writeHead(503).end();
      case "later":
        return void response.writeHead(503, { "retry-after": String(RETRY_AFTER_S) }).end();
      case "rejects":
        return void response.writeHead(400).end();
      case "gone":
        return void response.writeHead(410).end();
      case "resets":
        return void response.socket?.resetAndDestroy();
    }
  };
  await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const webhookUrl = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;

  bus.connection.subscribe(`${prefix}.parked.>`, {
    callback(_error, message) {
      const { delivery_id: id } = message.json<{ delivery_id: string }>();
      if (!parkedAt.has(id)) parkedAt.set(id, Date.now());
    },
  });

  // Replicas
  const proxies = options.cutting
    ? await Promise.all(Array.from({ length: options.replicas }, () => startTcpProxy(servers.nats.port)))
    : null;
  const replicas: Array<Replica | null> = Array.from({ length: options.replicas }, () => null);
  const everStarted: Replica[] = [];
  /** Nobody asks them for anything. */
  const absent = new Set<Replica>();
  const living = (): Replica[] => replicas.filter((replica) => replica !== null && !absent.has(replica)) as Replica[];

  const start = async (at: number): Promise<void> => {
    if (replicas[at] !== null) return;
    const nats = proxies === null ? servers.nats : { url: `nats://127.0.0.1:${proxies[at]?.port}` };
    const replica: Replica = await (options.killing ? startPosthorn : startPosthornHere)({
      ...{ nats, redis: servers.redis },
      prefix,
      settings: {
        POSTHORN_CIRCUIT_MIN_ATTEMPTS: options.circuit ? "6" : "1000000",
        POSTHORN_CIRCUIT_WINDOW: "2s",
        POSTHORN_CIRCUIT_OPEN_TIME: "300ms",
        POSTHORN_CIRCUIT_MAX_OPEN_TIME: "1s",
        POSTHORN_BROKEN_RULES: "fatal",
        POSTHORN_BROKEN_PROBE_INTERVAL: "500ms",
        POSTHORN_MAX_IN_FLIGHT: String(options.maxInFlight),
        POSTHORN_REQUEST_LOG_SIZE: "10000",
      },
    });
    replicas[at] = replica;
    everStarted.push(replica);
  };

  const end = async (at: number, signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    const replica = replicas[at];
    if (replica == null) return;
    replicas[at] = null;
    const code = await replica.end(signal);
    if (signal === "SIGKILL") kills.push(Date.now());
    else if (code !== 0) wrong.push(`a replica ended with ${code} on SIGTERM`);
  };

  /** @returns undefined when no replica is there to ask. */
  const call = async (method: string, path: string, body?: unknown, expected: readonly number[] = []): Promise<any> => {
    const replica = living()[0];
    if (replica === undefined) return undefined;
    const answered = await replica.api(method, path, body);
    if (answered.status >= 300 && !expected.includes(answered.status))
      wrong.push(`${method} ${path} was answered with ${answered.status} ${JSON.stringify(answered.body)}`);
    return answered;
  };

  /** Waits until every replica's index has it. */
  const everyReplica = async (path: string, isIt: (items: any[]) => boolean): Promise<void> => {
    for (const replica of living()) await eventually(async () => isIt((await replica.api("GET", path)).body.items));
  };

  const away = (at: number, ms: number, begin: () => void, end: () => void): void => {
    const replica = replicas[at];
    if (replica == null || absent.has(replica)) return;
    absent.add(replica);
    kills.push(Date.now());
    begin();
    const comeBack = async (): Promise<void> => {
      await sleep(ms);
      end();
      kills.push(Date.now());
      resumptions.push(Date.now());
      await eventually(async () => replicas[at] !== replica || (await fetch(`${replica.url}/readyz`)).ok);
      absent.delete(replica);
    };
    underWay.push(comeBack());
  };

  const putApp = async ({ order_by, max_in_flight }: AppMembers): Promise<void> => {
    if (living().length === 0) return;
    const last = ordered.at(-1);
    if (last?.orderBy !== order_by && last?.to === OPEN_END) last.to = Date.now();
    await call("PUT", `/v1/apps/${slug}`, {
      webhook_url: webhookUrl,
      events: ["*"],
      retry_schedule_s: RETRY_SCHEDULE_S,
      max_in_flight,
      order_by,
    });
    await everyReplica("/v1/apps", (items) => items.some((app) => app.order_by === order_by && app.max_in_flight === max_in_flight));
    if (order_by !== "none" && ordered.at(-1)?.to !== OPEN_END) ordered.push({ from: Date.now(), to: OPEN_END, orderBy: order_by });
  };

  const install = async (uuid: string): Promise<void> => {
    await call("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id: "42", allow_duplicate: true });
    await everyReplica("/v1/installations", (items) => items.some((one) => one.uuid === uuid));
  };

  const statusOf = async (uuid: string): Promise<string> => (await call("GET", `/v1/installations/${uuid}`)).body.status;

  await Promise.all(replicas.map((_, at) => start(at)));
  await putApp(options.app);
  for (const uuid of uuids) await install(uuid);
  const bucket: KV = await bus.jetStream.views.kv(`${prefix}-registry`);

  return {
    uuids,
    published,
    received,
    parkedAt,
    disabled,
    ordered,
    askedAgain,
    discarded,
    wentBroken,
    removed,
    mayMiss,
    kills,
    resumptions,
    wrong,
    start,
    end,
    putApp,

    async publish(count: number): Promise<void> {
      for (let n = 0; n < count; n++) await publish();
    },

    /** @param whom null: all installations. */
    feel(mood: Mood, whom: number | null): void {
      for (const [at, uuid] of uuids.entries()) if (whom === null || whom === at) moods.set(uuid, mood);
    },

    async disable(at: number): Promise<void> {
      const uuid = uuids[at] ?? "";
      if (living().length === 0 || disabled.some((span) => span.uuid === uuid && span.to === OPEN_END)) return;
      await call("POST", `/v1/installations/${uuid}/disable`);
      await everyReplica("/v1/installations", (items) => items.some((one) => one.uuid === uuid && one.status === "disabled"));
      disabled.push({ uuid, from: Date.now(), to: OPEN_END });
    },

    async enable(at: number): Promise<void> {
      const uuid = uuids[at] ?? "";
      if (living().length === 0) return;
      const span = disabled.find((one) => one.uuid === uuid && one.to === OPEN_END);
      if (span !== undefined) span.to = Date.now();
      await call("POST", `/v1/installations/${uuid}/enable`);
    },

    /** Removed, and installed again after a while. What was published before may have its recipients chosen in between. */
    async reinstall(at: number, ms: number): Promise<void> {
      const uuid = uuids[at] ?? "";
      if (living().length === 0) return;
      for (const span of disabled) if (span.uuid === uuid) span.to = Math.min(span.to, Date.now());
      removed.add(uuid);
      for (const { id } of published) mayMiss.add(deliveryIdOf(id, uuid));
      await call("DELETE", `/v1/installations/${uuid}`);
      await sleep(ms);
      await install(uuid);
    },

    /** Goes on beside what comes next. Only a process can be suspended. */
    suspend(at: number, ms: number): void {
      const replica = replicas[at];
      if (replica == null || !("child" in replica)) return;
      const { child } = replica as PosthornProcess;
      away(
        at,
        ms,
        () => child.kill("SIGSTOP"),
        () => child.kill("SIGCONT"),
      );
    },

    /** Goes on beside what comes next. The replica lives, and NATS hears nothing of it. */
    cutOff(at: number, ms: number): void {
      const proxy = proxies?.[at];
      if (proxy !== undefined) away(at, ms, proxy.freeze, proxy.thaw);
    },

    /** NATS is killed, and started again after a while. */
    async killNats(ms: number): Promise<void> {
      kills.push(Date.now());
      await servers.nats.kill();
      await sleep(ms);
      await servers.nats.restart();
      kills.push(Date.now());
      await eventually(() => bus.connection.flush().then(() => true));
      for (const replica of living()) await eventually(async () => (await fetch(`${replica.url}/readyz`)).ok);
    },

    /** Goes on beside what comes next. */
    discard(at: number): void {
      const uuid = uuids[at] ?? "";
      discarded.add(uuid);
      // The replica may be killed while it discards, and the installation removed.
      underWay.push(call("POST", `/v1/installations/${uuid}/discard`, undefined, [404, 409]).catch(() => {}));
    },

    /** The nth delivery that there is, over and over. */
    async resend(nth: number): Promise<void> {
      const ids = published.flatMap(({ id }) => uuids.map((uuid) => deliveryIdOf(id, uuid)));
      const id = ids[nth % Math.max(1, ids.length)];
      if (id === undefined) return;
      const answered = await call("POST", `/v1/deliveries/${id}/resend`, undefined, [404]);
      if (answered?.status === 202) askedAgain.set(id, (askedAgain.get(id) ?? 0) + 1);
    },

    /** All dead letters, or the first. */
    async replay(all: boolean): Promise<void> {
      const listed = await call("GET", "/v1/dead-letters?limit=1000&order=oldest");
      const letters = (listed?.body.items ?? []) as Array<Letter & { sequence: number }>;
      for (const { delivery_id: id } of all ? letters : letters.slice(0, 1)) askedAgain.set(id, (askedAgain.get(id) ?? 0) + 1);
      if (all) {
        // What becomes one meanwhile is replayed, too.
        for (const { id } of published) for (const uuid of uuids) mayAsk(deliveryIdOf(id, uuid));
        await call("POST", "/v1/dead-letters/replay", { app: slug });
      } else if (letters[0] !== undefined) await call("POST", `/v1/dead-letters/${letters[0].sequence}/replay`);
    },

    /** Everything is well from now on. Resolves when the platform has come to rest. @throws Error saying what does not. */
    async heal(): Promise<void> {
      for (const uuid of uuids) moods.set(uuid, "ok");
      await Promise.all(replicas.map((_, at) => start(at)));
      await Promise.all(underWay);
      for (const span of disabled) span.to = Math.min(span.to, Date.now());
      await publish();
      await eventually(async () => {
        for (const uuid of uuids) if ((await statusOf(uuid)) !== "active") await call("POST", `/v1/installations/${uuid}/enable`);
        const left = await whatIsLeft();
        // A circuit closes with an attempt.
        if (left.join() === CIRCUIT_LEFT) await publish();
        if (left.length > 0) throw new Error(`left over: ${left.join("; ")}`);
        return true;
      });
    },

    /** Posthorn's own word on every attempt, in order of their ends. */
    attempts: (): Attempted[] =>
      everStarted
        .flatMap(({ log }) => log.filter(({ message }) => message === "delivery.attempted"))
        .map((line) => {
          const endedAt = Date.parse(String(line["time"]));
          return {
            deliveryId: String(line["delivery_id"]),
            uuid: String(line["installation_uuid"]),
            spanId: String(line["span_id"]),
            replay: (line["replay"] as string | undefined) ?? null,
            attempt: Number(line["attempt"]),
            outcome: String(line["outcome"]),
            startedAt: endedAt - Number(line["duration_ms"]),
            endedAt,
          };
        })
        .sort((a, b) => a.endedAt - b.endedAt),

    /** Of the request log, newest first. */
    async rows(): Promise<Array<{ delivery_id: string; attempt: number; outcome: string }>> {
      return (await call("GET", `/v1/apps/${slug}/webhook-requests?event_type=${TYPE}`)).body.items;
    },

    async letters(): Promise<Letter[]> {
      const { items, next } = (await call("GET", "/v1/dead-letters?limit=1000&order=oldest")).body;
      if (next !== null) throw new Error("more dead letters than one page has");
      return items;
    },

    async stop(): Promise<void> {
      await Promise.all(replicas.map(async (replica) => replica?.end("SIGKILL")));
      await bus.close();
      await Promise.all((proxies ?? []).map((proxy) => proxy.stop()));
      receiver.closeAllConnections();
      receiver.close();
    },
  };

  function mayAsk(id: string): void {
    askedAgain.set(id, askedAgain.get(id) ?? 0);
  }

  async function whatIsLeft(): Promise<string[]> {
    const left: string[] = [];
    for (const stream of [names.streams.retries, names.streams.parked]) {
      const { state } = await manager.streams.info(stream, { subjects_filter: ">" });
      for (const [subject, count] of Object.entries(state.subjects ?? {})) left.push(`${count} in ${subject}`);
    }
    const { num_pending, num_ack_pending } = await manager.consumers.info(names.streams.events, names.eventsConsumer);
    if (num_pending + num_ack_pending > 0) left.push(`${num_pending} events pending and ${num_ack_pending} in hand`);
    const readers: string[] = [];
    for await (const one of manager.consumers.list(names.streams.events)) {
      if (!one.name.startsWith(names.orderConsumer(""))) continue;
      readers.push(one.name);
      if (one.num_pending + one.num_ack_pending > 0) left.push(`${one.num_pending} events of ordered apps pending`);
    }
    for await (const { name } of manager.consumers.list(names.streams.parked)) left.push(`consumer ${name}`);
    // With the record, the events' own consumer leaves the app's events to an owner, who may yet have to come.
    if ((await bucket.get(`order.${slug}`))?.operation === "PUT") {
      if (ordered.at(-1)?.to !== OPEN_END) left.push("an order record of an app without order");
      else if (readers.length === 0) left.push("nobody reads the events of ordered apps");
    }
    const circuit = await bucket.get(`circuit.${slug}`);
    if (circuit?.operation === "PUT" && circuit.json<{ state: string }>().state !== "closed") left.push(CIRCUIT_LEFT);
    for (const uuid of uuids) if ((await statusOf(uuid)) !== "active") left.push(`installation ${uuid} is not active`);
    return left;
  }
}

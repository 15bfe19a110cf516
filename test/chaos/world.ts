/** What a scenario works on: servers, replicas of Posthorn, a publisher, receivers; and the judgement at the end. */
import { connect, type JetStreamManager, type NatsConnection } from "nats";
import { deliveryIdOf } from "../support/builders.ts";
import { eventually } from "../support/eventually.ts";
import { type PosthornProcess, startPosthorn } from "../support/posthorn.ts";
import { ORDERED_TYPE, startPublisher } from "./publisher.ts";
import { type Chance, createChance } from "./random.ts";
import { type Mood, type Recorder, startRecorder } from "./recorder.ts";

/** An app that began during the run, with events of its own. */
export interface Newcomer {
  readonly receiver: Recorder;
  /** Waits until its status event of this type is stored. */
  reported(type: "app.failing" | "app.healthy"): Promise<void>;
  /** Nothing more is published for it. */
  rest(): void;
}

export interface World {
  readonly chance: Chance;
  readonly receivers: readonly Recorder[];
  readonly manager: JetStreamManager;
  readonly prefix: string;
  /** So long, and until another event was published: every fault that lasts meets one. */
  wait(ms: number): Promise<void>;
  /** Events published and requests received so far. */
  counts(): { readonly events: number; readonly requests: number };
  /** Waits until what was published so far has arrived. */
  arrived(): Promise<void>;
  /** kill -9 of one replica and a new one in its place. What it may have left without a mark raises the bound. */
  killOne(): Promise<void>;
  /** Does what takes NATS away; what is unsettled then raises the bound. */
  withoutNats(fault: () => Promise<unknown>): Promise<void>;
  /** Does what takes Redis away; marks wait until it is back. */
  withoutRedis(fault: () => Promise<unknown>): Promise<void>;
  /** One replica stands still (SIGSTOP) for so long. */
  pauseOne(ms: number): Promise<void>;
  /** One replica's wall clock is set by an hour, this way or that; its monotonic clock goes on. */
  setClockOfOne(): void;
  /** Another app. Its receiver answers so to the first event and to all that follow. */
  newcomer(mood: Mood): Promise<Newcomer>;
  /** A person disables an installation, and enables it after a while. */
  flap(ms: number): Promise<void>;
  /** Does what makes the server hand out anew what it has handed out; what is unsettled then raises the bound. */
  handedOutAnew(fault: () => Promise<unknown>): Promise<void>;
  /** As killOne, of the replica that owns the queues. */
  killOwner(): Promise<void>;
  /** SIGTERM to one replica and a new one in its place. @throws when it did not end cleanly */
  endOne(): Promise<void>;
  /** The same to all, one after the other. */
  restartAll(): Promise<void>;
}

export interface WorldOptions {
  readonly seed: number;
  readonly natsUrl: string;
  readonly redisUrl: string;
  readonly replicas: number;
  readonly eventsPerSecond: number;
  /** Marks are written within this time. */
  readonly unwrittenMs: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** Nothing new for so long means that what is missing is lost. */
  readonly quietMs?: number;
}

export interface Disposition {
  readonly events: number;
  readonly deliveries: number;
  readonly requests: number;
  /** Of events that the stream has. */
  readonly lost: number;
  /** Events that JetStream acknowledged and does not have any more. */
  readonly lostByServer: number;
  /** What Posthorn knows of some of them. */
  readonly traces: readonly string[];
  readonly duplicated: number;
  /** Answers that came later than the sender waits: it has to try again. On starved processors there are some. */
  readonly tooLate: number;
  /** Attempts in flight at the faults and marks not written then. */
  readonly bound: number;
  /** From the publisher's ack to the receiver's answer. */
  readonly longestDelayMs: number;
  readonly deadLetters: number;
  /** Of the ordered app. */
  readonly inversions: number;
  /** Newcomers whose state is not that of a healthy app, or whose status events are not one of each. */
  readonly stuck: readonly string[];
}

const RECEIVERS = 3;
/** Marks that waited for Redis are written so soon after it is back, at the latest. */
const WRITTEN_AFTER_MS = 1_500;
/** Sets the wall clock of a process on SIGUSR2. */
const CLOCK = `const now = Date.now; let by = 0; process.on("SIGUSR2", () => { by = by === 0 ? (process.pid % 2 === 0 ? 1 : -1) * 3600000 : 0; }); Date.now = () => now() + by;`;
/** Enough attempts to outlive every fault of the suite. */
const SETTINGS = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(CLOCK)}`,
  POSTHORN_REQUEST_TIMEOUT: "2s",
  // What waits for a circuit must not be taken for lost.
  POSTHORN_CIRCUIT_OPEN_TIME: "5s",
  POSTHORN_CIRCUIT_MAX_OPEN_TIME: "10s",
  POSTHORN_REJECTED_RETRY_SCHEDULE: "1s,1s,2s,2s,4s,4s,8s,8s,16s,16s",
};
const RETRY_SCHEDULE_S = [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 30, 30];

/** Runs the faults while events flow, then waits until all has arrived, or nothing comes any more. */
export async function runWorld(options: WorldOptions, faults: (world: World) => Promise<void>): Promise<Disposition> {
  const { seed, natsUrl, redisUrl, replicas, eventsPerSecond, unwrittenMs, settings = {}, quietMs = 100_000 } = options;
  const chance = createChance(seed);
  const prefix = `chaos-${seed}-${process.pid}`;
  const connection = await connect({ servers: natsUrl.split(","), maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  const manager = await connection.jetstreamManager({ checkAPI: false });
  /** Of all processes, those that were killed included. */
  const logs: Array<PosthornProcess["log"]> = [];
  const start = async (): Promise<PosthornProcess> => {
    const posthorn = await startPosthorn({
      nats: { url: natsUrl },
      redis: { url: redisUrl },
      prefix,
      settings: { ...SETTINGS, ...settings },
    });
    logs.push(posthorn.log);
    return posthorn;
  };
  const processes: PosthornProcess[] = [];
  const receivers: Recorder[] = [];
  let publisher: Awaited<ReturnType<typeof startPublisher>> | undefined;
  let bound = 0;
  let redisAway: { readonly since: number; backAt: number } | undefined;
  /** How long ago an attempt may have ended whose mark is not written. */
  const unwrittenNow = (): number => {
    const now = performance.now();
    const waitedMs = redisAway === undefined || now - redisAway.backAt > WRITTEN_AFTER_MS ? 0 : now - redisAway.since;
    return unwrittenMs + waitedMs;
  };

  try {
    for (let n = 0; n < replicas; n++) processes.push(await start());
    const [first] = processes;
    if (first === undefined) throw new Error("no replica was started");
    const uuids: string[] = [];
    for (let n = 0; n < RECEIVERS; n++) {
      const receiver = await startRecorder(chance);
      receivers.push(receiver);
      uuids.push((await first.install({ webhook_url: receiver.url, retry_schedule_s: RETRY_SCHEDULE_S })).uuid);
    }
    const ordered = await startRecorder(chance);
    receivers.push(ordered);
    const app = { webhook_url: ordered.url, retry_schedule_s: RETRY_SCHEDULE_S, ordered: true, events: [ORDERED_TYPE] };
    uuids.push((await first.install(app)).uuid);
    /** Newcomers come after the ordered app. */
    const newcomers: Array<{ readonly slug: string; readonly type: string }> = [];
    const wants = (receiver: number, type: string): boolean =>
      receiver < RECEIVERS || type === (receiver === RECEIVERS ? ORDERED_TYPE : newcomers[receiver - RECEIVERS - 1]?.type);
    /** Asked for again and again, and a hash each. */
    const ids = new Map<string, string>();
    const idOf = (event: string, type: string, at: number): string => {
      const known = ids.get(`${event} ${at}`) ?? deliveryIdOf(event, uuids[at] ?? "", type);
      ids.set(`${event} ${at}`, known);
      return known;
    };
    const look = (path: string): Promise<any> =>
      eventually(async () => {
        const answered = await processes[0]?.api("GET", path);
        return answered?.status === 200 && answered.body;
      });
    const statusTypes = async (slug: string): Promise<string[]> =>
      (await look(`/v1/status-events?app=${slug}&limit=1000`)).items.map(({ type }: { type: string }) => type).reverse();
    const stateOf = async ({ slug }: (typeof newcomers)[number]): Promise<string> => {
      const types = await statusTypes(slug);
      const { health, circuit, throttled } = (await look(`/v1/apps/${slug}/overview`)).items[0];
      const count = (wanted: string): number => types.filter((type) => type === wanted).length;
      const isLeft = health.state !== "healthy" || circuit.state !== "closed" || throttled !== null;
      const isOnce = count("app.failing") === 1 && count("app.healthy") === 1 && count("circuit.opened") === count("circuit.closed");
      return isLeft || !isOnce ? `${slug}: ${JSON.stringify({ types, health, circuit, throttled })}` : "";
    };
    publisher = await startPublisher(natsUrl, prefix, eventsPerSecond, chance);

    const requests = (): number => receivers.reduce((sum, receiver) => sum + receiver.requests(), 0);
    const replace = async <T>(end: (victim: PosthornProcess) => Promise<T>, at = chance.between(0, processes.length - 1)): Promise<T> => {
      const victim = processes[at];
      if (victim === undefined) throw new Error("no replica to end");
      const ended = await end(victim);
      processes[at] = await start();
      return ended;
    };
    const kill = async (victim: PosthornProcess): Promise<void> => {
      const since = performance.now();
      const unwritten = unwrittenNow();
      await victim.end("SIGKILL");
      // Its connections are closed by the kernel at once; the receivers hear of it in their next turns.
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (const receiver of receivers) bound += receiver.unmarkedOf(since, unwritten);
    };
    const terminate = async (victim: PosthornProcess): Promise<void> => {
      const code = await victim.end("SIGTERM");
      if (code === 0) return;
      const said = victim.log.filter(({ level, message }) => level !== "info" || message === "stopping" || message === "stopped");
      throw new Error(`a replica that was told to stop ended with ${code}; its last warnings: ${JSON.stringify(said.slice(-10))}`);
    };
    const published = publisher.published;
    const wait = async (ms: number): Promise<void> => {
      const before = published();
      await new Promise((resolve) => setTimeout(resolve, ms));
      await eventually(() => published() > before);
    };
    await faults({
      chance,
      receivers: receivers.slice(0, RECEIVERS),
      manager,
      prefix,
      wait,
      counts: () => ({ events: published(), requests: requests() }),
      async arrived() {
        const acked = [...(publisher?.acked ?? [])];
        const isMissing = ([id, { type }]: (typeof acked)[number]): boolean =>
          receivers.some(({ delivered }, at) => wants(at, type) && !delivered.has(idOf(id, type, at)));
        await untilQuiet(() => acked.filter(isMissing).length, requests, quietMs);
      },
      killOne: () => replace(kill),
      killOwner: () => replace(kill, processes.indexOf(ownerOf(processes))),
      async withoutNats(fault) {
        for (const receiver of receivers) bound += receiver.unsettled(unwrittenNow());
        await fault();
      },
      async withoutRedis(fault) {
        redisAway = { since: performance.now(), backAt: Number.POSITIVE_INFINITY };
        await fault();
        redisAway.backAt = performance.now();
      },
      async pauseOne(ms) {
        const victim = chance.pick(processes);
        victim.child.kill("SIGSTOP");
        for (const receiver of receivers) bound += receiver.unsettled(unwrittenNow());
        await wait(ms);
        victim.child.kill("SIGCONT");
      },
      setClockOfOne: () => void chance.pick(processes).child.kill("SIGUSR2"),
      async newcomer(mood) {
        const receiver = await startRecorder(chance);
        await receiver.feel(mood);
        const type = `newcomer_${newcomers.length + 1}.created`;
        const made = await processes[0]?.install({ webhook_url: receiver.url, retry_schedule_s: RETRY_SCHEDULE_S, events: [type] });
        if (made === undefined) throw new Error("there is no replica");
        newcomers.push({ slug: made.slug, type });
        uuids.push(made.uuid);
        receivers.push(receiver);
        return {
          receiver,
          reported: async (wanted) => void (await eventually(async () => (await statusTypes(made.slug)).includes(wanted))),
          rest: publisher?.also(type) ?? (() => {}),
        };
      },
      async flap(ms) {
        const uuid = chance.pick(uuids);
        await processes[0]?.api("POST", `/v1/installations/${uuid}/disable`);
        await wait(ms);
        await processes[0]?.api("POST", `/v1/installations/${uuid}/enable`);
      },
      async handedOutAnew(fault) {
        for (const receiver of receivers) bound += receiver.unsettled(unwrittenNow());
        await fault();
      },
      endOne: () => replace(terminate),
      async restartAll() {
        for (const at of processes.keys()) await replace(terminate, at);
      },
    });
    await publisher.finish();
    const { acked } = publisher;

    const lostNow = (): LostDelivery[] => {
      const lost: LostDelivery[] = [];
      for (const [id, { type }] of acked) {
        receivers.forEach(({ delivered }, at) => {
          const delivery = idOf(id, type, at);
          if (wants(at, type) && !delivered.has(delivery)) lost.push({ delivery, event: id });
        });
      }
      return lost;
    };
    const missing = (): number => lostNow().length;
    await untilQuiet(missing, requests, quietMs);
    await new Promise((resolve) => setTimeout(resolve, AFTERMATH_MS));

    const failed = logs.flat().filter(({ message, outcome }) => message === "delivery.attempted" && outcome !== "delivered");
    const failedSpans = new Set(failed.map((line) => String(line["span_id"])));
    let duplicated = 0;
    let tooLate = 0;
    let longestDelayMs = 0;
    let deliveries = 0;
    for (const [id, { type, at: ackedAt }] of acked) {
      receivers.forEach(({ delivered }, at) => {
        if (wants(at, type)) deliveries++;
        const answers = delivered.get(idOf(id, type, at)) ?? [];
        const late = answers.filter(({ spanId }) => failedSpans.has(spanId)).length;
        tooLate += late;
        duplicated += Math.max(0, answers.length - late - 1);
        longestDelayMs = Math.max(longestDelayMs, (answers[0]?.at ?? ackedAt) - ackedAt);
      });
    }
    const stored = missing() === 0 ? null : await storedEventIds(connection, `${prefix}_EVENTS`.toUpperCase().replaceAll("-", "_"));
    const lost = lostNow().filter(({ event }) => stored === null || stored.has(event));
    const { state } = await manager.streams.info(`${prefix}_DEAD_LETTERS`.toUpperCase().replaceAll("-", "_"));
    return {
      events: acked.size,
      deliveries,
      requests: requests(),
      lost: lost.length,
      lostByServer: stored === null ? 0 : [...acked.keys()].filter((id) => !stored.has(id)).length,
      traces: await Promise.all(lost.slice(0, 3).map((one) => traceOf(one, processes, logs.flat()))),
      duplicated,
      tooLate,
      bound,
      longestDelayMs,
      deadLetters: state.messages,
      inversions: ordered.inversions(),
      stuck: (await Promise.all(newcomers.map(stateOf))).filter((problem) => problem !== ""),
    };
  } finally {
    await publisher?.close();
    await Promise.all(processes.map((one) => one.end("SIGKILL")));
    await Promise.all(receivers.map((receiver) => receiver.stop()));
    await connection.close();
  }
}

/** The Nats-Msg-Ids in the events stream. */
async function storedEventIds(connection: NatsConnection, stream: string): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  const consumer = await connection.jetstream().consumers.get(stream, { headers_only: true });
  if ((await consumer.info()).num_pending === 0) return ids;
  for await (const message of await consumer.consume()) {
    ids.add(message.headers?.get("Nats-Msg-Id") ?? "");
    if (message.info.pending === 0) break;
  }
  return ids;
}

/** The replica that took the lease last. */
function ownerOf(processes: readonly PosthornProcess[]): PosthornProcess {
  const takenAt = ({ log }: PosthornProcess): number => {
    const line = log.findLast(({ message }) => message === "lease taken" || message === "lease lost; another replica takes it");
    return line?.["message"] === "lease taken" ? new Date(String(line["time"])).getTime() : 0;
  };
  const [owner] = processes.toSorted((a, b) => takenAt(b) - takenAt(a));
  if (owner === undefined) throw new Error("there is no replica");
  return owner;
}

interface LostDelivery {
  readonly delivery: string;
  readonly event: string;
}

async function traceOf(
  { delivery, event }: LostDelivery,
  [replica]: readonly PosthornProcess[],
  log: PosthornProcess["log"],
): Promise<string> {
  const answerTo = async (path: string): Promise<unknown> =>
    (await replica?.api("GET", path).catch((error: unknown) => ({ body: String(error) })))?.body;
  const answered = { delivery: await answerTo(`/v1/deliveries/${delivery}`), event: await answerTo(`/v1/events/${event}`) };
  const lines = log.filter((line) => line["delivery_id"] === delivery);
  return JSON.stringify({ event, delivery, answered, lines });
}

/** A little longer than it takes, so that a duplicate that is on its way is seen. */
const AFTERMATH_MS = 1_500;

async function untilQuiet(missing: () => number, requests: () => number, quietMs: number): Promise<void> {
  let before = -1;
  let since = Date.now();
  while (missing() > 0) {
    if (requests() !== before) {
      before = requests();
      since = Date.now();
    }
    if (Date.now() - since > quietMs) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

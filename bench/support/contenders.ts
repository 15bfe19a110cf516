/** What is measured against each other, and how each is started and given work. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Queue } from "bullmq";
import { AckPolicy, RetentionPolicy, StorageType } from "nats";
import { freePort } from "../../scripts/servers.mjs";
import { FEW_ARENAS, YOUNG_GENERATION } from "../../scripts/set-up.mjs";
import { bodyOf, uuidOf, type Workload, type World } from "./world.ts";

/** For bench/floor/loop.ts. */
export interface FloorSettings {
  readonly natsUrl: string;
  readonly redisUrl: string;
  readonly stream: string;
  readonly urls: readonly string[];
  readonly fanOut: number;
}

/** For bench/baseline/bullmq.ts. */
export interface BaselineSettings {
  readonly redisUrl: string;
  readonly queue: string;
}

export interface BaselineJob {
  readonly url: string;
  readonly app: string;
  readonly event: object;
}

export interface Contestant {
  readonly processes: readonly ChildProcess[];
  /** Puts so many events into its queue. */
  fill(events: number): Promise<void>;
  stop(): Promise<void>;
}

export type Contender = (world: World, workload: Workload) => Promise<Contestant>;

const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
/** BENCH_MAIN: another build, to compare with. */
const MAIN = process.env["BENCH_MAIN"] ?? script("../../dist/main.js");
const MAX_HELD = 512;
/** More destinations are URLs of installations: what an app has of its own is not what such a case measures. */
const MAX_APPS = 100;
/** BENCH_NODE_OPTIONS: for profiles, such as `--cpu-prof --cpu-prof-dir=/tmp/profiles` or `--perf-basic-prof`. */
const NODE_OPTIONS = process.env["BENCH_NODE_OPTIONS"]?.split(" ") ?? [];

export const floor: Contender = async (world, workload) => {
  const { name: stream, prefix } = world.nextStream();
  const subjects = [`${prefix}.events.>`];
  await world.manager.streams.add({ name: stream, subjects, storage: StorageType.File, retention: RetentionPolicy.Limits });
  await world.manager.consumers.add(stream, {
    durable_name: "floor",
    ack_policy: AckPolicy.Explicit,
    max_ack_pending: Math.ceil(MAX_HELD / workload.fanOut),
  });
  const { nats, redis, receiver } = world;
  const settings: FloorSettings = { natsUrl: nats.url, redisUrl: redis.url, stream, urls: receiver.urls, fanOut: workload.fanOut };
  const child = await forked(script("../floor/loop.ts"), settings);
  return { processes: [child], fill: (events) => world.publish(workload, events), stop: () => ended(child) };
};

export const baseline: Contender = async (world, { destinations, fanOut, bodyBytes }) => {
  const name = world.nextStream().prefix;
  const settings: BaselineSettings = { redisUrl: world.redis.url, queue: name };
  const queue = new Queue<BaselineJob>(name, { connection: { url: world.redis.url }, defaultJobOptions: { removeOnComplete: true } });
  const child = await forked(script("../baseline/bullmq.ts"), settings);
  const event = (JSON.parse(bodyOf(bodyBytes, "0", 0)) as { data: object }).data;
  return {
    processes: [child],
    async fill(events) {
      const jobs = Array.from({ length: events * fanOut }, (_, at) => {
        const destination = at % destinations;
        return { name: "webhook", data: { url: world.receiver.urls[destination] ?? "", app: `app-${destination}`, event } };
      });
      for (let from = 0; from < jobs.length; from += 1_000) await queue.addBulk(jobs.slice(from, from + 1_000));
    },
    async stop() {
      await ended(child);
      await queue.close();
    },
  };
};

/** @param settings of the environment, beside those that name the servers. @param main of another build */
export function posthorn(processes: number, settings: Readonly<Record<string, string>> = {}, main = MAIN): Contender {
  return async (world, workload) => {
    const { prefix } = world.nextStream();
    const appsFile = join(world.folder, `${prefix}.json`);
    writeFileSync(appsFile, JSON.stringify(registryOf(workload, world.receiver.urls)));
    const started: ChildProcess[] = [];
    for (let at = 0; at < processes; at++) {
      const file = at === 0 ? { POSTHORN_APPS_FILE: appsFile } : {};
      started.push(await startPosthorn(world, prefix, { ...file, ...settings }, main));
    }
    return {
      processes: started,
      fill: (events) => world.publish(workload, events),
      stop: async () => void (await Promise.all(started.map(ended))),
    };
  };
}

export async function startPosthorn(
  world: Pick<World, "folder"> & { readonly nats: { readonly url: string }; readonly redis: { readonly url: string } },
  prefix: string,
  settings: Readonly<Record<string, string>>,
  main = MAIN,
): Promise<ChildProcess> {
  const port = settings["POSTHORN_HTTP_PORT"] ?? (await freePort());
  // A file, as a supervisor would have it: reading the lines here would cost the benchmark more than writing them costs Posthorn.
  const log = openSync(join(world.folder, `${prefix}.log`), "a");
  const child = spawn(process.execPath, [YOUNG_GENERATION, ...NODE_OPTIONS, main, "serve"], {
    stdio: ["ignore", log, log],
    env: {
      PATH: process.env["PATH"],
      ...FEW_ARENAS,
      POSTHORN_NATS_URL: world.nats.url,
      POSTHORN_REDIS_URL: world.redis.url,
      POSTHORN_SUBJECT_PREFIX: prefix,
      POSTHORN_HTTP_PORT: String(port),
      POSTHORN_TARGET_ALLOW: "127.0.0.0/8",
      ...settings,
    },
  });
  closeSync(log);
  for (;;) {
    if (child.exitCode !== null) throw new Error(`Posthorn ended with ${child.exitCode}, see ${prefix}.log`);
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => null);
    await ready?.text();
    if (ready?.ok) return watched(child, `Posthorn (see ${prefix}.log)`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** An organization per event in turn; as many installations in each as the fan-out says, spread over the destinations. */
function registryOf({ destinations, fanOut }: Workload, urls: readonly string[]): object {
  // An app is installed once in an organization.
  const apps = Math.max(Math.min(destinations, MAX_APPS), fanOut);
  return {
    apps: Array.from({ length: apps }, (_, app) => ({ slug: `app-${app}`, webhook_url: urls[app % destinations], events: ["issue"] })),
    installations: Array.from({ length: Math.max(destinations, fanOut) }, (_, at) => ({
      uuid: uuidOf(at),
      app: `app-${at % apps}`,
      organization_id: String(Math.floor(at / fanOut)),
      ...(destinations > apps ? { webhook_url: urls[at % destinations] } : {}),
    })),
  };
}

async function forked(path: string, settings: object): Promise<ChildProcess> {
  const child = fork(path, { stdio: "inherit", execArgv: NODE_OPTIONS });
  child.send(settings);
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`${path} ended with ${code}`)));
  });
  return watched(child, path);
}

const ending = new WeakSet<ChildProcess>();

/** A contestant that ends while it is measured ends the benchmark. */
function watched(child: ChildProcess, name: string): ChildProcess {
  child.once("exit", (code, signal) => {
    if (!ending.has(child)) throw new Error(`${name} ended with ${code ?? signal} while it was measured`);
  });
  return child;
}

export function ended(child: ChildProcess): Promise<void> {
  ending.add(child);
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
  });
}

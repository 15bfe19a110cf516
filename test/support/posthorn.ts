/** Posthorn in this process or as a child, and its API and bus as a user has them. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { connect, type JetStreamClient, type MsgHdrs, type NatsConnection } from "nats";
import type { AppError } from "../../src/model/app-error.ts";
import { eventually } from "./eventually.ts";
import { noteChild, plainEnvironment, type Server } from "./servers.ts";

/** The program as users have it; global-setup.ts builds it. */
export const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));

/** What a test sees of Posthorn, in this process or in one of its own. */
export interface Posthorn {
  readonly url: string;
  readonly prefix: string;
  /** The log so far, one object a line. */
  readonly log: Array<Record<string, unknown>>;
  api(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<{ status: number; body: any; headers: Headers }>;
  /** Makes an app and installs it in organization 42. */
  install(app: AppOptions): Promise<{ slug: string; uuid: string; clientSecret: string }>;
  /** Stops it as SIGTERM does. @returns the exit code; null when a signal ended it. */
  end(): Promise<number | null>;
}

export interface PosthornProcess extends Posthorn {
  readonly child: ChildProcess;
  /** What was printed that is no log line. */
  readonly errors: string[];
  ready(): Promise<void>;
  end(signal?: NodeJS.Signals): Promise<number | null>;
}

export interface AppOptions {
  readonly slug?: string;
  readonly webhook_url: string;
  readonly organization_id?: string;
  readonly project_ids?: readonly string[];
  readonly [member: string]: unknown;
}

export interface StartOptions {
  readonly nats: Pick<Server, "url">;
  readonly redis: Pick<Server, "url">;
  readonly prefix?: string;
  readonly settings?: Readonly<Record<string, string | undefined>>;
}

export interface StartProcessOptions extends StartOptions {
  /** Of the command line. */
  readonly command?: string;
  /** Returns before it is ready. */
  readonly waitForReady?: boolean;
}

const settingsOf = ({ nats, redis, prefix = `t-${randomUUID().slice(0, 8)}`, settings = {} }: StartOptions) => ({
  POSTHORN_NATS_URL: nats.url,
  POSTHORN_REDIS_URL: redis.url,
  POSTHORN_SUBJECT_PREFIX: prefix,
  POSTHORN_HTTP_PORT: "0",
  POSTHORN_TARGET_ALLOW: "127.0.0.0/8",
  ...settings,
});

/** Of the whole process: a test that needs them starts one. */
const OF_A_PROCESS = /^(NODE_|OTEL_|POSTHORN_PROCESSES|POSTHORN_LOG_FORMAT)/;
/** The program as it is shipped; it is loaded once a worker. */
const built = <Module>(chunk: string): Promise<Module> =>
  import(new URL(`../../dist/chunks/${chunk}.js`, import.meta.url).href) as Promise<Module>;

async function createHere(options: StartOptions) {
  const environment = settingsOf(options);
  const unfit = Object.keys(environment).filter((name) => OF_A_PROCESS.test(name));
  if (unfit.length > 0) throw new Error(`${unfit.join()} would reach all of this process: use startPosthorn`);
  const [{ createApp }, { loadConfig }] = await Promise.all([
    built<typeof import("../../src/app/app.ts")>("service"),
    built<typeof import("../../src/config/load-config.ts")>("settings"),
  ]);
  const log: Posthorn["log"] = [];
  const write = (lines: string): void => {
    for (const line of lines.split("\n")) if (line !== "") log.push(JSON.parse(line) as Record<string, unknown>);
  };
  return { environment, log, app: await createApp(loadConfig(environment), environment, { write }) };
}

/** Starts Posthorn in this process, for a sixth of what a process costs. What kills it, or looks at its process, needs startPosthorn. */
export async function startPosthornHere(options: StartOptions): Promise<Posthorn> {
  const { environment, log, app } = await createHere(options);
  await app.start();
  app.flushLog();
  const url = String(log.find(({ message }) => message === "Posthorn is ready")?.["url"]);
  await isReady(url);
  let ended: Promise<number> | undefined;
  return {
    ...{ url, prefix: environment.POSTHORN_SUBJECT_PREFIX, log },
    ...createCalls(() => url),
    end() {
      ended ??= app.stop().then((clean) => {
        app.flushLog();
        return clean ? 0 : 1;
      });
      return ended;
    },
  };
}

/**
 * Starts Posthorn in this process with settings that it can't start with.
 * @returns its log, and the fault: a process logs the message as "start failed" and exits with 1 if the fault is retryable, else with 78
 */
export async function failToStartHere(options: StartOptions): Promise<Pick<Posthorn, "log"> & { readonly fault: AppError }> {
  const { log, app } = await createHere(options);
  const fault = await app.start().then(
    () => app.stop().then(() => Promise.reject(new Error("it has started"))),
    (error: AppError) => error,
  );
  app.flushLog();
  return { log, fault };
}

const isReady = (url: string) => eventually(async () => (await fetch(`${url}/readyz`)).ok);

function createCalls(url: () => string): Pick<Posthorn, "api" | "install"> {
  const calls: Pick<Posthorn, "api" | "install"> = {
    async api(method, path, body, headers = {}) {
      const response = await fetch(url() + path, {
        method,
        headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
        ...(body === undefined ? {} : { body: typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.includes("json") ?? false;
      return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
    },
    async install({ slug = `app-${randomUUID().slice(0, 8)}`, organization_id = "42", project_ids = [], ...app }) {
      const made = await calls.api("PUT", `/v1/apps/${slug}`, { events: ["*"], ...app });
      if (made.status >= 300) throw new Error(`PUT app: ${JSON.stringify(made.body)}`);
      const uuid = randomUUID();
      const installed = await calls.api("PUT", `/v1/installations/${uuid}`, { app: slug, organization_id, project_ids });
      if (installed.status >= 300) throw new Error(`PUT installation: ${JSON.stringify(installed.body)}`);
      return { slug, uuid, clientSecret: made.body.client_secret as string };
    },
  };
  return calls;
}

const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

export async function startPosthorn({ command = "serve", waitForReady = true, ...options }: StartProcessOptions): Promise<PosthornProcess> {
  const settings = settingsOf(options);
  const child = spawn(process.execPath, [MAIN, command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...plainEnvironment(), ...settings },
  });
  running.add(child);
  noteChild(child);
  const exited = new Promise<number | null>((resolve) => {
    // After the last of what it printed has been read.
    child.once("close", (code) => {
      running.delete(child);
      resolve(code);
    });
  });
  const log: Posthorn["log"] = [];
  const errors: string[] = [];
  readLines(child.stdout, (line) => {
    try {
      log.push(JSON.parse(line) as Record<string, unknown>);
    } catch {
      errors.push(line);
    }
  });
  readLines(child.stderr, (line) => errors.push(line));

  let url = "";
  const posthorn: PosthornProcess = {
    get url() {
      return url;
    },
    ...{ prefix: settings.POSTHORN_SUBJECT_PREFIX, child, log, errors },
    ...createCalls(() => url),
    async ready() {
      await eventually(async () => {
        if (child.exitCode !== null)
          throw new Error(`Posthorn ended with ${child.exitCode}:\n${[...errors, ...log.map((line) => JSON.stringify(line))].join("\n")}`);
        const line = log.find(({ message }) => message === "Posthorn is ready");
        if (line === undefined) throw new Error(`not ready yet:\n${errors.join("\n")}`);
        url = String(line["url"]);
        return (await fetch(`${url}/readyz`)).ok;
      });
    },
    async end(signal = "SIGTERM") {
      child.kill(signal);
      return exited;
    },
  };
  if (waitForReady) await posthorn.ready();
  return posthorn;
}

/** Waits until every event is handled: matched with what its time wants, and its deliveries delivered or stored elsewhere. */
export async function allHandled({ connection, prefix }: Bus): Promise<void> {
  const manager = await connection.jetstreamManager();
  const stream = `${prefix}_EVENTS`.toUpperCase().replaceAll("-", "_");
  await eventually(async () => {
    const { num_pending: pending, num_ack_pending: inHand } = await manager.consumers.info(stream, "posthorn-events");
    return pending + inHand === 0;
  });
}

/** Waits until every replica's metrics have the line: what one of them was told, the others know a moment later. */
export async function everywhere(replicas: readonly Posthorn[], metric: string): Promise<void> {
  for (const replica of replicas)
    await eventually(async () =>
      String((await replica.api("GET", "/metrics")).body)
        .split("\n")
        .includes(metric),
    );
}

function readLines(stream: NodeJS.ReadableStream | null, onLine: (line: string) => void): void {
  let rest = "";
  stream?.on("data", (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line !== "") onLine(line);
  });
}

export interface Bus {
  readonly prefix: string;
  readonly connection: NatsConnection;
  readonly jetStream: JetStreamClient;
  /** Publishes `<prefix>.events.<type>`, acknowledged. @returns its sequence. */
  publish(type: string, event: object | string, headers?: MsgHdrs): Promise<number>;
  close(): Promise<void>;
}

export async function connectBus(nats: Pick<Server, "url">, prefix: string): Promise<Bus> {
  const connection = await connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 100, noAsyncTraces: true });
  const jetStream = connection.jetstream();
  return {
    prefix,
    connection,
    jetStream,
    async publish(type, event, headers) {
      const body = typeof event === "string" ? event : JSON.stringify(event);
      const { seq } = await jetStream.publish(`${prefix}.events.${type}`, body, headers === undefined ? {} : { headers });
      return seq;
    },
    close: () => connection.close(),
  };
}

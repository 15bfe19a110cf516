/**
 * The connection to a Redis server or cluster. A start waits for it up to the startup timeout; later it reconnects without limit.
 * While Redis, or a key's node, is unreachable, a command fails at once: the request log has the bounded buffer, and the client
 * queues nothing.
 */
import { setTimeout } from "node:timers/promises";
import { Cluster, type Command, Redis } from "ioredis";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { DEFAULT_REDIS_KEY_PREFIX } from "../model/redis-key-prefix.ts";
import { hostOf, type IdentifyServer, refusalAt, type ServerAddress } from "../model/server-refusal.ts";
import { connectionRefusal, type RedisProblemFound, serverProblem } from "./redis-refusal.ts";

export type RedisClient = Redis | Cluster;

export interface RedisOptions {
  /** One server, or nodes of a cluster separated by commas, with the same scheme, user and password. One node finds the others. */
  readonly url: string;
  /** PEM texts, for a rediss: URL. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Begins every key, followed by a colon. */
  readonly keyPrefix?: string;
  readonly startupTimeoutMs: number;
  /** Asked when the address does not answer as Redis does. */
  readonly identify?: IdentifyServer;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

const LONGEST_RECONNECT_MS = 1_000;
const COMMAND_TIMEOUT_MS = 5_000;
/**
 * A connection on which a command gets no answer for this long is half-open and closed. Sooner would be worse: while there is none, what
 * was delivered is not known, and what NATS hands out again after a silence of both would be delivered twice.
 */
const SOCKET_TIMEOUT_MS = 10_000;
const DISCONNECT_MS = 500;
const RETRY_CONNECT_MS = 250;
/** Tries between two looks at what answers. */
const IDENTIFY_EVERY = 40;
const RECONNECT_READ_ONLY_MS = 5_000;
/** The client's message for a command without a connection. */
export const CONNECTION_CLOSED = "Connection is closed.";
/** How often the nodes of a cluster are looked up, to find a new or returned one without a command that needs it. */
const REFRESH_NODES_MS = 2_000;

const reconnectDelay = (times: number): number => Math.min(50 * 2 ** Math.min(times, 5), LONGEST_RECONNECT_MS);

/** @throws AppError REDIS_UNREACHABLE, or CONFIG_INVALID when only a changed setting helps */
export async function connectRedis(options: RedisOptions, clock: Clock, logger: Logger): Promise<RedisClient> {
  const urls = options.url.split(",").map((url) => new URL(url.trim()));
  const shown = urls.map(withoutPassword).join(",");
  const username = decodeURIComponent(urls[0]?.username ?? "");
  const giveUpAt = clock.now() + options.startupTimeoutMs;
  const address: ServerAddress = {
    ...{ server: "Redis", shown, usesTls: options.url.startsWith("rediss:") },
    hasClientCertificate: options.tls?.cert !== undefined,
  };

  /** Waits until there is no problem. */
  const untilUsable = async (redis: RedisClient, problem: (tries: number) => Promise<RedisProblemFound | null>): Promise<void> => {
    for (let tries = 1; ; tries++) {
      const found = await problem(tries);
      if (found === null) return;
      const isOver = clock.now() >= giveUpAt || options.signal?.aborted;
      if (found.kind === "refused" || isOver) redis.disconnect();
      if (found.kind === "refused") throw new AppError("CONFIG_INVALID", found.problem);
      if (isOver) {
        const within = `within ${options.startupTimeoutMs} ms`;
        const why =
          found.kind === "unsuited" ? `${found.problem} ${within}` : `no Redis server answered at ${shown} ${within} (${found.problem})`;
        throw new AppError("REDIS_UNREACHABLE", `POSTHORN_REDIS_URL: ${why}`, { retryable: true });
      }
      if (tries % 20 === 4) logger.warn({ server: shown, error: found.problem }, "waiting for Redis");
      await setTimeout(Math.min(RETRY_CONNECT_MS, 20 * tries));
    }
  };

  const start = async <Client extends RedisClient>(redis: Client): Promise<Client> => {
    let lastError = redis.isCluster ? "no node of the cluster that was asked knows nodes for all slots" : "no answer";
    const noteError = (error: Error): void => {
      // A consequence of the error that is wanted.
      if (error.message === CONNECTION_CLOSED) return;
      lastError = error.message || (error as NodeJS.ErrnoException).code || String(error);
    };
    // A cluster's own error only says that all nodes failed; the nodes' errors say why.
    redis.on("error", redis.isCluster ? () => {} : noteError);
    redis.on("node error", noteError);
    releaseArguments(redis);
    redis.connect().catch(() => {});
    await untilUsable(redis, async (tries) => {
      if (isStarted(redis)) return null;
      const refusal =
        connectionRefusal(lastError, username, address) ??
        (tries % IDENTIFY_EVERY === 8 ? await refusalAt(urls, address, options.identify) : null);
      return refusal === null ? { kind: "unreached", problem: lastError } : { kind: "refused", problem: refusal };
    });
    return redis;
  };

  let redis: RedisClient;
  if (urls.length > 1) redis = await start(createCluster(urls, options));
  else {
    const server = await start(createServer(options));
    await untilUsable(server, () => serverProblem(server, username, shown));
    if (await isClusterNode(server)) {
      server.disconnect();
      redis = await start(createCluster(urls, options));
    } else redis = server;
  }
  logger.info({ server: shown, cluster: redis.isCluster }, "Redis is ready");
  if (redis.isCluster) logNodes(redis, logger);
  return redis;
}

/** Resolves when the socket is closed. One that the server doesn't close, or that is lost already, is given up after DISCONNECT_MS. */
export async function closeRedis(redis: RedisClient): Promise<void> {
  const ended = new Promise<unknown>((resolve) => void redis.once("end", resolve));
  redis.disconnect();
  // A timer of the clock would not keep the process alive until then.
  const timeout = new AbortController();
  await Promise.race([ended, setTimeout(DISCONNECT_MS, null, { signal: timeout.signal }).catch(() => {})]);
  timeout.abort();
}

/** The key as Redis has it: the connection adds the prefix. */
export function fullKey(redis: RedisClient, key: string): string {
  return `${redis.options.keyPrefix ?? ""}${key}`;
}

/** Whether every key is reachable now. */
export function isConnected(redis: RedisClient): boolean {
  if (redis.status !== "ready") return false;
  if (!(redis instanceof Cluster)) return true;
  const ready = new Set(
    redis
      .nodes("master")
      .filter(({ status }) => status === "ready")
      .map(addressOf),
  );
  return redis.slots.every(([master = ""]) => ready.has(master));
}

/**
 * Empties each command's arguments once it is answered. The client stores a closure in every command, which V8 allocates in the old
 * generation, so whatever a command holds survives until the next major collection (30 MB for 10,000 batches of 3 KB).
 */
function releaseArguments(redis: RedisClient): void {
  const send = redis.sendCommand.bind(redis) as (command: Command, ...more: unknown[]) => unknown;
  redis.sendCommand = (command: Command, ...more: unknown[]): unknown => {
    const answer = send(command, ...more);
    // A command that failed may be sent again.
    Promise.resolve(answer).then(
      () => {
        command.args = [];
      },
      () => {},
    );
    return answer;
  };
}

function createServer(options: RedisOptions): Redis {
  return new Redis(options.url, {
    ...serverOptions(options),
    lazyConnect: true,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelay,
  });
}

function createCluster(urls: readonly URL[], options: RedisOptions): Cluster {
  const [{ username, password } = { username: "", password: "" }] = urls;
  const cluster = new Cluster(
    urls.map((url) => ({ host: hostOf(url), port: portOf(url) })),
    {
      redisOptions: {
        ...serverOptions(options),
        ...(username === "" ? {} : { username: decodeURIComponent(username) }),
        ...(password === "" ? {} : { password: decodeURIComponent(password) }),
      },
      // Certificates are issued for names, so the name is kept until the connection is opened.
      dnsLookup: (host, answer) => answer(null, host),
      lazyConnect: true,
      enableOfflineQueue: false,
      // The check would ask a node that is still connecting; a cluster that is down fails every command anyway.
      enableReadyCheck: false,
      clusterRetryStrategy: reconnectDelay,
      slotsRefreshInterval: REFRESH_NODES_MS,
      // 0: fail at once.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
    },
  );
  // A connecting node refuses commands, so nodes are connected before their first command.
  cluster.on("+node", (node: Redis) => {
    if (!node.options.readOnly) node.connect().catch(() => {});
  });
  return cluster;
}

function serverOptions({ url, tls, keyPrefix = DEFAULT_REDIS_KEY_PREFIX }: RedisOptions) {
  return {
    keyPrefix: `${keyPrefix}:`,
    ...(url.startsWith("rediss:") ? { tls: { ...tls, rejectUnauthorized: true } } : {}),
    connectionName: "posthorn",
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    connectTimeout: 5_000,
    disconnectTimeout: DISCONNECT_MS,
    // After a failover the name may resolve to the new primary.
    reconnectOnError: reconnectWhenReadOnly(),
  };
}

/** A start does not wait for an unreachable node of a cluster: `nodes` does not list it. */
function isStarted(redis: RedisClient): boolean {
  return redis.status === "ready" && (!(redis instanceof Cluster) || redis.nodes("master").every(({ status }) => status === "ready"));
}

/** A proxy may not support the command. */
async function isClusterNode(server: Redis): Promise<boolean> {
  const info = await server.info("cluster").catch(() => "");
  return info.includes("cluster_enabled:1");
}

/** At most once per interval, as a server may stay read-only for long. */
function reconnectWhenReadOnly(): (error: Error) => boolean {
  let lastMs = Number.NEGATIVE_INFINITY;
  return ({ message }) => {
    const now = performance.now();
    if (!message.includes("READONLY") || now - lastMs < RECONNECT_READ_ONLY_MS) return false;
    lastMs = now;
    return true;
  };
}

/** Logs nodes of a cluster that become unreachable and return. */
function logNodes(redis: RedisClient, logger: Logger): void {
  const unreachable = new Set<string>();
  redis.on("node error", ({ message }: Error, server: string) => {
    if (unreachable.has(server)) return;
    unreachable.add(server);
    logger.warn({ server, error: message }, "Redis node unreachable");
  });
  redis.on("+node", (node: Redis) =>
    node.on("ready", () => {
      const server = addressOf(node);
      if (unreachable.delete(server)) logger.info({ server }, "Redis node is back");
    }),
  );
}

/** `<host>:<port>` */
export function addressOf({ options: { host, port } }: Redis): string {
  return `${host}:${port}`;
}

function portOf({ port }: URL): number {
  return Number(port || 6379);
}

function withoutPassword({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname}`;
}

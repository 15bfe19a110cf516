/**
 * The Redis connection: waits for a server at start, says so, gives up after a while; afterwards it reconnects for ever.
 * While Redis is away every command fails at once: what can't be lost waits in the attempt log's bounded buffer, never
 * in a queue inside the client.
 */
import { Redis } from "ioredis";
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";

export interface RedisOptions {
  readonly url: string;
  /** PEM texts, for a rediss: URL. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly startupTimeoutMs: number;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

const LONGEST_RECONNECT_MS = 1_000;
const COMMAND_TIMEOUT_MS = 5_000;
/** A half-open connection is destroyed when a command got no answer for so long. */
const SOCKET_TIMEOUT_MS = 10_000;
const RETRY_CONNECT_MS = 250;

/** @throws AppError REDIS_UNREACHABLE */
export async function connectRedis({ url, tls, startupTimeoutMs, signal }: RedisOptions, clock: Clock, logger: Logger): Promise<Redis> {
  const redis = new Redis(url, {
    ...(url.startsWith("rediss:") ? { tls: { ...tls, rejectUnauthorized: true } } : {}),
    lazyConnect: true,
    connectionName: "posthorn",
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    connectTimeout: 5_000,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 5), LONGEST_RECONNECT_MS),
  });
  const shown = withoutPassword(url);
  let lastError = "no answer";
  let isUp = false;
  redis.on("error", (error: Error) => {
    lastError = error.message || (error as NodeJS.ErrnoException).code || String(error);
  });
  redis.on("ready", () => {
    if (isUp) return;
    isUp = true;
    logger.info({ server: shown }, "Redis is ready");
  });
  redis.on("close", () => {
    if (!isUp) return;
    isUp = false;
    logger.warn({ server: shown }, "Redis is away; log rows and counters are kept in memory");
  });

  const giveUpAt = clock.now() + startupTimeoutMs;
  redis.connect().catch(() => {});
  for (let tries = 1; redis.status !== "ready"; tries++) {
    if (clock.now() >= giveUpAt || signal?.aborted) {
      redis.disconnect();
      throw new AppError(
        "REDIS_UNREACHABLE",
        `POSTHORN_REDIS_URL: no Redis server answered at ${shown} within ${startupTimeoutMs} ms (${lastError})`,
        { retryable: true },
      );
    }
    if (tries % 20 === 4) logger.warn({ server: shown, error: lastError }, "waiting for Redis");
    await new Promise((resolve) => setTimeout(resolve, Math.min(RETRY_CONNECT_MS, 20 * tries)));
  }
  return redis;
}

function withoutPassword(url: string): string {
  const parsed = new URL(url);
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

/** The NATS connection. Waits for a server at the start, for a limited time; afterwards it reconnects without limit. */
import { readFileSync } from "node:fs";
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  ErrorCode,
  Events,
  type JetStreamManager,
  type NatsConnection,
  NatsError,
} from "nats";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { isTlsWanted, userOf, withoutUser } from "../model/nats-url.ts";
import { sleep } from "../model/periodic.ts";
import { type IdentifyServer, refusalAt, type ServerAddress } from "../model/server-refusal.ts";
import { resolvesWithin } from "../model/within.ts";
import { isJetStreamMissing, reasonOfCode } from "./nats-errors.ts";
import { connectionRefusal, type NatsLogin, permissionText } from "./nats-refusal.ts";

export interface NatsOptions {
  /** One or more URLs, separated by commas. The first may contain user and password, or a token. */
  readonly url: string;
  readonly credsFile: string | null;
  /** PEM texts. TLS is required when one is set. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly startupTimeoutMs: number;
  /** Asked when an address does not answer as NATS does. */
  readonly identify?: IdentifyServer;
  /** Aborts the wait. */
  readonly signal?: AbortSignal;
}

const RETRY_CONNECT_MS = 500;
const DRAIN_WITHIN_MS = 2_000;
/** Room in a message for more than its event: attempts made, or the installations of a fan-out batch. */
export const MESSAGE_OVERHEAD_BYTES = 32 * 1024;
/** For an event of as many bytes. */
const SMALLEST_MAX_PAYLOAD = 2 * MESSAGE_OVERHEAD_BYTES;
/** The server's own default, until it has announced its limit. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

/** Dedicated inbox prefix, so that NATS permissions can be scoped to it. */
export const INBOX_PREFIX = "_INBOX.posthorn";

/** @throws AppError NATS_UNREACHABLE, or CONFIG_INVALID when only a changed setting helps */
export async function connectNats(options: NatsOptions, clock: Clock, logger: Logger): Promise<NatsConnection> {
  const servers = options.url.split(",").map((url) => url.trim());
  const urls = servers.map((url) => new URL(url));
  const shown = servers.map(withoutUser).join(", ");
  const usesTls = isTlsWanted(servers, options.tls);
  const connectionOptions: ConnectionOptions = {
    servers: servers.map(withoutUser),
    ...userOf(servers),
    ...(options.credsFile === null ? {} : { authenticator: credsAuthenticator(readCreds(options.credsFile)) }),
    ...(usesTls ? { tls: { ...options.tls } } : {}),
    name: "posthorn",
    inboxPrefix: INBOX_PREFIX,
    maxReconnectAttempts: -1,
    // A user that is refused twice may be accepted later, while its password is changed.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: RETRY_CONNECT_MS,
    // A half-open connection is detected after two unanswered pings.
    pingInterval: 5_000,
    maxPingOut: 2,
    timeout: 5_000,
    // By default every request and publish makes an Error for its stack trace, a third of what a publish costs.
    noAsyncTraces: true,
  };
  const login = loginOf(servers, options.credsFile);
  const address: ServerAddress = { server: "NATS", shown, usesTls, hasClientCertificate: options.tls?.cert !== undefined };
  const giveUpAt = clock.now() + options.startupTimeoutMs;
  for (let tries = 1; ; tries++) {
    try {
      const connection = await connect(connectionOptions);
      await requireRoom(connection);
      void logStatus(connection, logger);
      return connection;
    } catch (error) {
      if (error instanceof AppError) throw error;
      const refusal =
        connectionRefusal(error, login, address) ?? (isUnreached(error) ? null : await refusalAt(urls, address, options.identify));
      if (refusal !== null) throw new AppError("CONFIG_INVALID", refusal, { cause: error });
      if (clock.now() + RETRY_CONNECT_MS >= giveUpAt || options.signal?.aborted) {
        throw new AppError(
          "NATS_UNREACHABLE",
          `POSTHORN_NATS_URL: no NATS server answered at ${shown} within ${options.startupTimeoutMs} ms (${messageOf(error)})`,
          {
            retryable: true,
            cause: error,
          },
        );
      }
      if (tries % 10 === 1) logger.warn({ servers: shown, error: messageOf(error) }, "waiting for NATS");
      await sleep(clock, RETRY_CONNECT_MS);
    }
  }
}

/** @throws AppError CONFIG_INVALID when the server takes no event of a useful size */
async function requireRoom(connection: NatsConnection): Promise<void> {
  const problem = lackOfRoom(connection);
  if (problem === null) return;
  await connection.close();
  throw new AppError("CONFIG_INVALID", `POSTHORN_NATS_URL: ${problem}`);
}

/** Why the connected server takes no event of a useful size; null: it does, or none is connected. */
function lackOfRoom(connection: NatsConnection): string | null {
  const { max_payload: found = SMALLEST_MAX_PAYLOAD } = connection.info ?? {};
  if (found >= SMALLEST_MAX_PAYLOAD) return null;
  return `max_payload of the server at ${connection.getServer()}: found ${found}, wanted ${SMALLEST_MAX_PAYLOAD} or more`;
}

function loginOf(servers: readonly string[], credsFile: string | null): NatsLogin {
  if (credsFile !== null) return { kind: "creds" };
  const { user, token } = userOf(servers);
  if (user !== undefined) return { kind: "user", user };
  return { kind: token === undefined ? "none" : "token" };
}

function isUnreached(error: unknown): boolean {
  return error instanceof NatsError && error.code === ErrorCode.ConnectionRefused;
}

/** @throws AppError JETSTREAM_UNAVAILABLE when the server, or the account, has no JetStream */
export async function openJetStream(connection: NatsConnection): Promise<JetStreamManager> {
  try {
    return await connection.jetstreamManager();
  } catch (error) {
    if (!isJetStreamMissing(error)) throw error;
    const server = connection.getServer();
    const advice = "start nats-server with -js, or with a jetstream block in its configuration, and enable JetStream for the account";
    throw new AppError("JETSTREAM_UNAVAILABLE", `POSTHORN_NATS_URL: ${server}, or Posthorn's account on it, has no JetStream: ${advice}`, {
      cause: error,
    });
  }
}

/** Whether the connected server has at least this version. */
export function isServerSince(connection: NatsConnection, major: number, minor: number): boolean {
  const [foundMajor = 0, foundMinor = 0] = (connection.info?.version ?? "").split(".").map(Number);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}

/** Sends buffered messages, if the server still accepts them, and closes. */
export async function closeNats(connection: NatsConnection, clock: Clock): Promise<void> {
  await resolvesWithin(clock, DRAIN_WITHIN_MS, connection.drain()).catch(() => {});
  await connection.close();
}

/** Whether the connection is up, with listeners for changes. One reader of its events serves all of them. */
export interface ConnectionState {
  readonly up: boolean;
  /** @returns a function that removes the listener */
  onReconnect(listener: () => void): () => void;
  onDisconnect(listener: () => void): () => void;
}

export interface ConnectionLimits {
  /** The largest message that the server accepts, headers included. A server with too small a limit (`problem`) does not change it. */
  maxPayloadBytes(): number;
}

export interface ConnectionProblems {
  /** Why the connection can't be used: it is down, or leads to a server with too small a max_payload. Null: it can. */
  problem(): string | null;
  /** The listener is called when the server has sent its limits, at a connect or later: `problem` may have another answer. */
  onServerInfo(listener: () => void): () => void;
  /** Permissions that the user has lacked since the connection was made, in words. */
  lacks(): readonly string[];
  /** The listener is called with the subject of a publish or a subscription that was refused. @returns a function that removes it */
  onLacking(listener: (subject: string) => void): () => void;
}

export function createConnectionState(connection: NatsConnection): ConnectionState & ConnectionLimits & ConnectionProblems {
  const listeners = { reconnect: new Set<() => void>(), disconnect: new Set<() => void>(), update: new Set<() => void>() };
  const lackListeners = new Set<(subject: string) => void>();
  const lacking = new Set<string>();
  let lastError: string | null = null;
  let up = true;
  let maxPayloadBytes = DEFAULT_MAX_PAYLOAD;
  const readLimits = (): void => {
    if (lackOfRoom(connection) === null) maxPayloadBytes = connection.info?.max_payload ?? maxPayloadBytes;
  };
  readLimits();
  const add = <T>(to: Set<T>, listener: T): (() => void) => {
    to.add(listener);
    return () => to.delete(listener);
  };
  void (async () => {
    for await (const { type, data, permissionContext: refused } of connection.status()) {
      if (type === Events.Error && refused !== undefined) {
        lacking.add(permissionText(refused));
        for (const listener of lackListeners) listener(refused.subject);
      } else if (type === Events.Error) lastError = reasonOfCode(String(data));
      if (type !== Events.Reconnect && type !== Events.Disconnect && type !== Events.Update) continue;
      if (type === Events.Update) readLimits();
      else {
        up = type === Events.Reconnect;
        // Its permissions may be others.
        lacking.clear();
        if (up) lastError = null;
      }
      for (const listener of listeners[type]) listener();
    }
  })();
  return {
    get up() {
      return up;
    },
    problem() {
      if (up && !connection.isClosed()) return lackOfRoom(connection);
      return lastError === null ? "disconnected" : `disconnected: ${lastError}`;
    },
    maxPayloadBytes: () => maxPayloadBytes,
    lacks: () => [...lacking],
    onLacking: (listener) => add(lackListeners, listener),
    onReconnect: (listener) => add(listeners.reconnect, listener),
    onDisconnect: (listener) => add(listeners.disconnect, listener),
    onServerInfo: (listener) => add(listeners.update, listener),
  };
}

/** The client tries to reconnect about twice a second; what it says again each time is logged once. */
async function logStatus(connection: NatsConnection, logger: Logger): Promise<void> {
  const said = new Set<string>();
  const once = (fields: object, message: string): void => {
    const text = message + JSON.stringify(fields);
    if (!said.has(text)) logger.warn(fields, message);
    said.add(text);
  };
  for await (const { type, data, permissionContext: refused } of connection.status()) {
    if (refused !== undefined) once({ problem: permissionText(refused) }, "NATS refused a permission");
    else if (type === Events.Disconnect) once({ server: String(data) }, "NATS disconnected");
    else if (type === Events.Error) once({ error: reasonOfCode(String(data)) }, "NATS reported an error");
    else if (type === Events.Reconnect) {
      logger.info({ server: String(data) }, "NATS reconnected");
      said.clear();
      const problem = lackOfRoom(connection);
      if (problem !== null) logger.error({ server: String(data), problem }, "NATS can't be used");
    }
  }
}

function readCreds(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new AppError("CONFIG_INVALID", `POSTHORN_NATS_CREDS_FILE: can't read ${JSON.stringify(path)} (${messageOf(error)})`);
  }
}

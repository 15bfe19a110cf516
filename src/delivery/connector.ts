/**
 * Opens the sender's connections, to checked addresses only.
 *
 * G1  Every address that a name resolves to is checked; one that is refused refuses the name.
 * G2  The connected socket's peer is checked again before a byte is sent, TLS's first one included. Only checked sockets
 *     get into a pool, so what is sent over a pooled one needs no further check.
 * G3  One deadline covers look-up, connect, the proxy's answer and TLS.
 * G4  Through a proxy the peer is the proxy, and the proxy looks names up: of G1 and G2 only literal addresses are left.
 */
import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { request } from "node:http";
import { connect, isIP, type LookupFunction, type Socket } from "node:net";
import type { AddressGuard } from "./address-guard.ts";

export class BlockedAddressError extends Error {}
export class ConnectTimeoutError extends Error {}

/** Where to connect to, as undici says it. */
export interface Endpoint {
  readonly protocol: string;
  /** An IPv6 address may be in brackets. */
  readonly hostname: string;
  /** Empty: the scheme's own. */
  readonly port: string;
}

export type Connected = (...result: [null, Socket] | [Error, null]) => void;

export interface ConnectorOptions {
  readonly timeoutMs: number;
  /** `http://[user:password@]host:port`; null: none. */
  readonly proxy: string | null;
  /** The system's unless given. */
  readonly lookup?: LookupFunction;
}

const KEEP_ALIVE_MS = 60_000;
const MAX_PROXY_ANSWER_BYTES = 16 * 1024;

/** @param secure speaks TLS over a connected socket. */
export function createConnector<E extends Endpoint>(
  guard: AddressGuard,
  secure: (endpoint: E & { httpSocket: Socket }, connected: Connected) => unknown,
  options: ConnectorOptions,
): (endpoint: E, connected: Connected) => Socket | undefined {
  const proxy = options.proxy === null ? null : new URL(options.proxy);
  const lookup = createGuardedLookup(guard, options.lookup ?? (dnsLookup as LookupFunction));

  return (endpoint, connected) => {
    const host = withoutBrackets(endpoint.hostname);
    const port = endpoint.port === "" ? (endpoint.protocol === "https:" ? 443 : 80) : Number(endpoint.port);
    const refused = isIP(host) === 0 ? null : guard.refuses(host);
    if (refused !== null) {
      connected(new BlockedAddressError(refused), null);
      return undefined;
    }
    const socket = connect({
      ...(proxy === null ? { host, port, lookup } : { host: withoutBrackets(proxy.hostname), port: Number(proxy.port) || 80 }),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    let isSettled = false;
    const settle: Connected = (...[error, ready]) => {
      if (isSettled) return;
      isSettled = true;
      clearTimeout(timer);
      if (error === null) return connected(null, ready);
      socket.destroy();
      connected(error, null);
    };
    const timer = setTimeout(
      () => settle(new ConnectTimeoutError(`no connection within ${options.timeoutMs} ms`), null),
      options.timeoutMs,
    );
    const onClose = (): void => settle(new Error("the connection was closed before it was ready"), null);
    const speak = (): void => {
      // From here on TLS says best what went wrong.
      socket.off("close", onClose);
      if (endpoint.protocol === "https:") secure({ ...endpoint, httpSocket: socket }, settle);
      else settle(null, socket);
    };
    socket.on("error", (error) => settle(proxy === null ? error : ofProxy(error), null));
    socket.once("close", onClose);
    socket.once("connect", () => {
      if (proxy !== null) return openTunnel(socket, proxy, host, port, (error) => (error === null ? speak() : settle(error, null)));
      if (guard.refuses(socket.remoteAddress ?? "unknown") === null) return speak();
      settle(blocked(host), null);
    });
    return socket;
  };
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** G1. */
export function createGuardedLookup(guard: AddressGuard, lookup: LookupFunction): LookupFunction {
  return (hostname, { all, ...options }, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, []);
      const addresses = found as LookupAddress[];
      if (addresses.some(({ address }) => guard.refuses(address) !== null)) return callback(blocked(hostname), []);
      if (all === true) return callback(null, addresses);
      const [first] = addresses;
      return first ? callback(null, first.address, first.family) : callback(new Error(`${hostname}: no address`), []);
    });
  };
}

/** Which address it is stays here: what internal names resolve to is nothing for the owner of a URL. */
function blocked(hostname: string): Error {
  return new BlockedAddressError(`${hostname}: an address of it is not a public address (POSTHORN_TARGET_ALLOW opens networks)`);
}

/** Where the proxy is stays here as well. */
function ofProxy({ code, name }: NodeJS.ErrnoException): Error {
  return new Error(`no connection to the proxy (${code ?? name})`);
}

/** RFC 9110 section 9.3.6. */
function openTunnel(socket: Socket, proxy: URL, host: string, port: number, opened: (error: Error | null) => void): void {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const user = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  const connecting = request({
    method: "CONNECT",
    path: authority,
    headers: {
      host: authority,
      ...(user === ":" ? {} : { "proxy-authorization": `Basic ${Buffer.from(user).toString("base64")}` }),
    },
    createConnection: () => socket,
    maxHeaderSize: MAX_PROXY_ANSWER_BYTES,
  });
  connecting.once("connect", ({ statusCode }, _socket, head) => {
    if (statusCode !== 200) return opened(new Error(`the proxy answered CONNECT with status ${statusCode}`));
    if (head.length > 0) socket.unshift(head);
    opened(null);
  });
  connecting.once("error", (error) => opened(ofProxy(error)));
  connecting.end();
}

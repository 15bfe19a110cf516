/**
 * Opens the sender's connections, to allowed addresses only.
 *
 * CONNECT-1  Every address that a name resolves to is checked; one refused address refuses the name.
 * CONNECT-2  The connected socket's peer is checked again before any byte is sent, TLS included. Pools contain only checked sockets.
 * CONNECT-3  One deadline covers look-up, connect, the proxy's answer and TLS.
 * CONNECT-4  Through a proxy the peer is the proxy, and the proxy looks names up: only literal addresses are checked.
 * CONNECT-5  Name servers and proxy are Posthorn's: when they fail, the error is a SenderFault, or a NameError that counts as one.
 */
import { isIP, type Socket } from "node:net";
import { request } from "../../model/node-http.ts";
import type { AddressGuard } from "./address-guard.ts";
import type { NameResolver } from "./name-resolver.ts";
import { raceConnect } from "./race-connect.ts";
import { SenderFault } from "./sender-fault.ts";

export class BlockedAddressError extends Error {}
export class ConnectTimeoutError extends Error {}

/** The endpoint of a connection, in undici's form. */
export interface Endpoint {
  readonly protocol: string;
  readonly host: string;
  /** An IPv6 address may be in brackets. */
  readonly hostname: string;
  /** Empty: the scheme's own. */
  readonly port: string;
}

export type Connected = (...result: [error: null, socket: Socket] | [error: Error, socket: null]) => void;

export interface ConnectorOptions {
  readonly timeoutMs: number;
  /** `http://[user:password@]host:port`; null: none. */
  readonly proxy: string | null;
}

export interface ConnectorDependencies {
  readonly guard: AddressGuard;
  readonly resolver: NameResolver;
  /** Speaks TLS over a connected socket. */
  readonly secure: (endpoint: Endpoint & { httpSocket: Socket }, connected: Connected) => unknown;
}

type Phase = "looking the name up" | "connecting" | "waiting for the proxy" | "in the TLS handshake" | "connected";

const MAX_PROXY_ANSWER_BYTES = 16 * 1024;

/** A connection that is being opened. */
export interface Opening {
  /** Cancels the connection and the callback. */
  cancel(): void;
  /** Whether it waits for a name server or a connection to the proxy (CONNECT-5). */
  waitsForSender(): boolean;
}

/** Calls back once. */
export type Connector = (endpoint: Endpoint, connected: Connected) => Opening;

export function createConnector({ guard, resolver, secure }: ConnectorDependencies, options: ConnectorOptions): Connector {
  const proxy = options.proxy === null ? null : new URL(options.proxy);

  return (endpoint, connected) => {
    const target = { host: withoutBrackets(endpoint.hostname), port: portOf(endpoint) };
    const via = proxy === null ? target : { host: withoutBrackets(proxy.hostname), port: Number(proxy.port) || 80 };
    let socket: Socket | null = null;
    let phase: Phase = "connecting";
    let isDone = false;
    const steps: Array<() => void> = [];

    const finish: Connected = (...[error, ready]) => {
      if (isDone) return;
      isDone = true;
      clearTimeout(timer);
      if (error === null) return connected(null, ready);
      abandon();
      connected(error, null);
    };
    const abandon = (): void => {
      for (const stop of steps) stop();
      socket?.destroy();
    };
    const waitsForSender = (): boolean => phase === "looking the name up" || (phase === "connecting" && proxy !== null);
    const expire = (): void => {
      const why = `no connection within ${options.timeoutMs} ms (${phase})`;
      finish(waitsForSender() ? new SenderFault(why) : new ConnectTimeoutError(why), null);
    };
    const timer = setTimeout(expire, options.timeoutMs);

    const speak = (ready: Socket): void => {
      // From here on TLS reports errors best.
      ready.off("close", onClose);
      phase = "connected";
      if (endpoint.protocol !== "https:") return finish(null, ready);
      phase = "in the TLS handshake";
      const { protocol, host, port } = endpoint;
      secure({ protocol, host, hostname: target.host, port, httpSocket: ready }, finish);
    };
    const onClose = (): void => finish(new Error("the connection was closed before it was ready"), null);
    const onConnected = (ready: Socket): void => {
      socket = ready;
      ready.on("error", (error) => finish(phase === "waiting for the proxy" ? ofProxy(error) : error, null));
      ready.once("close", onClose);
      if (proxy !== null) {
        phase = "waiting for the proxy";
        return openTunnel(ready, proxy, target, (error) => (error === null ? speak(ready) : finish(error, null)));
      }
      const refused = guard.refuses(ready.remoteAddress ?? "unknown", target);
      if (refused === null) speak(ready);
      else finish(new BlockedAddressError(withoutAddress(target.host, refused)), null);
    };
    const connectTo = (addresses: readonly string[]): void => {
      phase = "connecting";
      const stop = raceConnect(addresses, via.port, (error, ready) => {
        if (error === null) onConnected(ready);
        else finish(proxy === null ? error : ofProxy(error), null);
      });
      steps.push(stop);
    };

    const refused = isIP(target.host) === 0 ? null : guard.refuses(target.host, target);
    if (refused !== null) finish(new BlockedAddressError(refused), null);
    else if (isIP(via.host) !== 0) connectTo([via.host]);
    else {
      phase = "looking the name up";
      const stop = resolver.resolve(via.host, (error, addresses) => {
        if (isDone) return;
        const why = error ?? (proxy === null ? refusedOf(guard, target, addresses) : null);
        if (why === null) connectTo(addresses ?? []);
        else finish(proxy === null ? why : ofProxy(why), null);
      });
      steps.push(stop);
    }

    return {
      cancel() {
        if (isDone) return;
        isDone = true;
        clearTimeout(timer);
        abandon();
      },
      waitsForSender,
    };
  };
}

/** CONNECT-1. */
export function refusedOf(
  guard: AddressGuard,
  target: { readonly host: string; readonly port: number },
  addresses: readonly string[],
): BlockedAddressError | null {
  for (const address of addresses) {
    const refused = guard.refuses(address, target);
    if (refused !== null) return new BlockedAddressError(withoutAddress(target.host, refused));
  }
  return null;
}

export function portOf({ protocol, port }: Pick<Endpoint, "protocol" | "port">): number {
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}

export function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1");
}

/** Leaves the address out: a URL's owner must not learn the addresses of internal names. */
function withoutAddress(host: string, refused: string): string {
  return isIP(host) !== 0 ? refused : `${host}: one of its addresses ${refused.slice(refused.indexOf(" ") + 1)}`;
}

/** Leaves the proxy's address out, too. */
function ofProxy({ code, name }: NodeJS.ErrnoException): SenderFault {
  return new SenderFault(`no connection to the proxy (${code ?? name})`);
}

/** RFC 9110 section 9.3.6. A proxy answers 4xx if it refuses Posthorn, 5xx if it does not get to the receiver. */
function openTunnel(
  socket: Socket,
  proxy: URL,
  { host, port }: { readonly host: string; readonly port: number },
  opened: (error: Error | null) => void,
): void {
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
    if (statusCode !== 200) {
      const why = `the proxy answered CONNECT with status ${statusCode}`;
      return opened((statusCode ?? 0) >= 500 ? new Error(why) : new SenderFault(why));
    }
    if (head.length > 0) socket.unshift(head);
    opened(null);
  });
  connecting.once("error", (error) => opened(ofProxy(error)));
  connecting.end();
}

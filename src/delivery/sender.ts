/**
 * One HTTP POST over undici, with one deadline over connect, headers and body.
 *
 * S1  The address guard sees every resolved address and the connected peer before a byte is sent.
 * S2  A send settles exactly once; what arrives later is ignored and its connection closed.
 * S3  A response body is read up to 64 KiB, then the connection is closed; the answer still counts.
 * S4  Redirects are not followed and nothing is decompressed.
 */
import { lookup as dnsLookup, type LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { buildConnector, type Dispatcher, errors, Pool } from "undici";
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { AddressGuard } from "./address-guard.ts";

export const MAX_RESPONSE_BYTES = 64 * 1024;

export type SendResult =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string | string[] | undefined>>;
      readonly body: Buffer | null;
    }
  | { readonly kind: "timed_out" | "unreachable" | "blocked"; readonly error: string };

export interface SendRequest {
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly timeoutMs: number;
}

export interface Sender {
  /** Never rejects. */
  send(request: SendRequest): Promise<SendResult>;
  /** Destinations with an open pool. */
  destinations(): number;
  /** Cuts what is still in flight. */
  close(): Promise<void>;
}

export interface SenderOptions {
  readonly connectTimeoutMs: number;
  /** Connections to one origin. */
  readonly connectionsPerOrigin: number;
}

/** A destination that was not used for so long gives up its connections and its memory. */
const IDLE_POOL_MS = 60_000;
const SWEEP_MS = 15_000;

/** Parsed URLs that are kept; beyond it all are parsed again. */
const MAX_TARGETS = 20_000;

class BlockedAddressError extends Error {}

interface Target {
  readonly origin: string;
  readonly path: string;
  /** Set when the URL itself is refused, e.g. for a literal address. */
  readonly refused: string | null;
}

interface Destination {
  readonly pool: Pool;
  inFlight: number;
  lastUsedAt: number;
}

export function createSender(guard: AddressGuard, clock: Clock, options: SenderOptions): Sender {
  const targets = new Map<string, Target>();
  const destinations = new Map<string, Destination>();
  const connect = createGuardedConnector(guard, options.connectTimeoutMs);

  const targetOf = (url: string): Target => {
    let target = targets.get(url);
    if (target === undefined) {
      if (targets.size >= MAX_TARGETS) targets.clear();
      const refused = guard.refusesUrl(url);
      const parsed = URL.canParse(url) ? new URL(url) : null;
      target = { origin: parsed?.origin ?? "", path: `${parsed?.pathname ?? ""}${parsed?.search ?? ""}`, refused };
      targets.set(url, target);
    }
    return target;
  };

  const destinationOf = (origin: string): Destination => {
    let destination = destinations.get(origin);
    if (destination === undefined) {
      const pool = new Pool(origin, {
        connect,
        connections: options.connectionsPerOrigin,
        pipelining: 1,
        allowH2: false,
        // The exchange's own deadline covers both.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      destination = { pool, inFlight: 0, lastUsedAt: 0 };
      destinations.set(origin, destination);
    }
    return destination;
  };

  let stopSweeping = (): void => {};
  const sweep = (): void => {
    const oldest = clock.now() - IDLE_POOL_MS;
    for (const [origin, { pool, inFlight, lastUsedAt }] of destinations) {
      if (inFlight > 0 || lastUsedAt > oldest) continue;
      destinations.delete(origin);
      void pool.close();
    }
    stopSweeping = clock.after(SWEEP_MS, sweep);
  };
  stopSweeping = clock.after(SWEEP_MS, sweep);

  return {
    send({ url, headers, body, timeoutMs }) {
      const target = targetOf(url);
      if (target.refused !== null) return Promise.resolve({ kind: "blocked", error: target.refused });
      const destination = destinationOf(target.origin);
      destination.inFlight++;
      return new Promise((resolve) => {
        const exchange = new Exchange(timeoutMs, (result) => {
          destination.inFlight--;
          destination.lastUsedAt = clock.now();
          resolve(result);
        });
        try {
          destination.pool.dispatch({ path: target.path, method: "POST", headers, body }, exchange);
        } catch (error) {
          exchange.onResponseError(undefined, error as Error);
        }
      });
    },
    destinations: () => destinations.size,
    async close() {
      stopSweeping();
      await Promise.all([...destinations.values()].map(({ pool }) => pool.destroy()));
      destinations.clear();
    },
  };
}

/** One request and its answer. A class for its fixed shape: one is made per attempt on the hot path. */
class Exchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private status = 0;
  private headers: Readonly<Record<string, string | string[] | undefined>> = {};
  private chunks: Buffer[] = [];
  private size = 0;
  private settle: ((result: SendResult) => void) | null;
  private readonly timer: NodeJS.Timeout;

  constructor(timeoutMs: number, settle: (result: SendResult) => void) {
    this.settle = settle;
    this.timer = setTimeout(onDeadline, timeoutMs, this, timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.settle === null) controller.abort(new Error("the deadline passed before the connection was there"));
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    if (status < 200) return;
    this.status = status;
    this.headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.settle === null) return;
    const room = MAX_RESPONSE_BYTES - this.size;
    this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (chunk.length > room) {
      this.answered();
      controller.abort(new Error(`the response body is longer than ${MAX_RESPONSE_BYTES} bytes`));
    }
  }

  onResponseEnd(): void {
    this.answered();
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.finish(failureOf(error, this.status));
  }

  expire(timeoutMs: number): void {
    const had = this.status === 0 ? "no answer" : `status ${this.status}, but no complete body`;
    this.finish({ kind: "timed_out", error: `${had} within ${timeoutMs} ms` });
    this.controller?.abort(new Error("deadline"));
  }

  private answered(): void {
    const body = this.size === 0 ? null : this.chunks.length === 1 ? (this.chunks[0] ?? null) : Buffer.concat(this.chunks);
    this.finish({ kind: "answered", status: this.status, headers: this.headers, body });
  }

  private finish(result: SendResult): void {
    const settle = this.settle;
    if (settle === null) return;
    this.settle = null;
    clearTimeout(this.timer);
    settle(result);
  }
}

function onDeadline(exchange: Exchange, timeoutMs: number): void {
  exchange.expire(timeoutMs);
}

function failureOf(error: Error, status: number): SendResult {
  // Happy eyeballs wrap one error per address; the first one tells.
  const cause = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error;
  if (cause instanceof BlockedAddressError) return { kind: "blocked", error: cause.message };
  if (cause instanceof errors.ConnectTimeoutError) return { kind: "timed_out", error: "no connection within the connect timeout" };
  const code = "code" in cause && typeof cause.code === "string" ? `${cause.code}: ` : "";
  const during = status === 0 ? "" : ` (after status ${status}, before the end of the body)`;
  return { kind: "unreachable", error: `${code}${messageOf(cause)}${during}` };
}

function createGuardedConnector(guard: AddressGuard, timeoutMs: number): buildConnector.connector {
  const guardedLookup: LookupFunction = (hostname, lookupOptions, callback) => {
    dnsLookup(hostname, { ...lookupOptions, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, []);
      for (const { address } of addresses) {
        const refused = guard.refuses(address);
        if (refused !== null) return callback(new BlockedAddressError(`${hostname}: ${refused}`), []);
      }
      if (lookupOptions.all === true) return callback(null, addresses);
      const [first] = addresses;
      return first ? callback(null, first.address, first.family) : callback(new Error(`${hostname}: no address`), []);
    });
  };
  const connector = buildConnector({ timeout: timeoutMs, lookup: guardedLookup, allowH2: false });

  return (connectOptions, callback) => {
    const host = connectOptions.hostname.replace(/^\[(.*)\]$/, "$1");
    const refused = isIP(host) === 0 ? null : guard.refuses(host);
    if (refused !== null) return callback(new BlockedAddressError(refused), null);
    connector(connectOptions, (...[error, socket]: [Error, null] | [null, import("node:net").Socket]) => {
      if (error !== null) return callback(error, null);
      const refusedPeer = guard.refuses(socket.remoteAddress ?? "unknown");
      if (refusedPeer === null) return callback(null, socket);
      socket.destroy();
      return callback(new BlockedAddressError(refusedPeer), null);
    });
  };
}

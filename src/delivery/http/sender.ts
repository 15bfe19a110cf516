/**
 * One HTTP POST, with one deadline over connect, headers and body. It begins when the request gets a connection: waiting for
 * one is no fault of the receiver's.
 *
 * S1  Every connection comes from connector.ts, which asks the address guard before a byte is sent.
 * S2  A send settles exactly once; what arrives later is ignored and its connection closed.
 * S3  A response body is read up to 64 KiB, then the connection is closed; the answer still counts.
 * S4  Redirects are not followed, nothing is decompressed, no cookie is kept.
 * S5  Certificates are always verified, whatever NODE_TLS_REJECT_UNAUTHORIZED says.
 * S6  Deadlines are looked at together, every few milliseconds: a timer for each would cost a tenth of the attempt.
 */
import { createSecureContext, getCACertificates, type SecureVersion } from "node:tls";
import { buildConnector, type Dispatcher } from "undici";
import type { Clock } from "../../model/clock.ts";
import { createSlots, type Slotted } from "../../model/slots.ts";
import type { AddressGuard } from "./address-guard.ts";
import { BlockedAddressError, type ConnectorDependencies, ConnectTimeoutError, createConnector } from "./connector.ts";
import { Http1Dispatcher } from "./http1-dispatcher.ts";
import type { NameResolver } from "./name-resolver.ts";

export const MAX_RESPONSE_BYTES = 64 * 1024;

export type SendResult =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: Readonly<Record<string, string | string[] | undefined>>;
      readonly body: Buffer | null;
      /** Of the whole body in bytes; null when it was cut and the receiver did not say. */
      readonly bodySize: number | null;
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
  readonly tlsMinVersion?: SecureVersion;
  /** PEM of authorities that are trusted beside the system's. */
  readonly extraAuthorities?: string | null;
  /** URL of an HTTP proxy. */
  readonly proxy?: string | null;
}

export interface SenderDependencies {
  readonly guard: AddressGuard;
  readonly resolver: NameResolver;
  readonly clock: Clock;
}

/** How often deadlines are looked at: an attempt may take so much longer. */
const TICK_MS = 10;
/** A destination that was not used for so long gives up its connections and its memory. */
const IDLE_POOL_MS = 60_000;
const SWEEP_MS = 15_000;
/** More destinations than this are not kept open when idle (26 KB each): the one that was used longest ago goes. */
const MAX_IDLE_POOLS = 1_000;
const MAX_ERROR_CHARACTERS = 300;

/** Parsed URLs that are kept; beyond it all are parsed again. */
const MAX_TARGETS = 20_000;

interface Target {
  readonly origin: string;
  readonly path: string;
  /** Set when the URL itself is refused, e.g. for a literal address. */
  readonly refused: string | null;
}

interface Destination {
  readonly dispatcher: Http1Dispatcher;
  inFlight: number;
  lastUsedAt: number;
}

export function createSender({ guard, resolver, clock }: SenderDependencies, options: SenderOptions): Sender {
  const targets = new Map<string, Target>();
  const destinations = new Map<string, Destination>();
  const connect = createConnector(
    { guard, resolver, secure: buildSecure(options) },
    { timeoutMs: options.connectTimeoutMs, proxy: options.proxy ?? null },
  );

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

  const drop = (origin: string, { dispatcher }: Destination): void => {
    destinations.delete(origin);
    void dispatcher.close();
  };

  const makeRoom = (): void => {
    let oldest: [string, Destination] | undefined;
    for (const entry of destinations) {
      if (entry[1].inFlight === 0 && (oldest === undefined || entry[1].lastUsedAt < oldest[1].lastUsedAt)) oldest = entry;
    }
    if (oldest !== undefined) drop(...oldest);
  };

  const destinationOf = (origin: string): Destination => {
    let destination = destinations.get(origin);
    if (destination === undefined) {
      if (destinations.size >= MAX_IDLE_POOLS) makeRoom();
      const dispatcher = new Http1Dispatcher(origin, { connect, connections: options.connectionsPerOrigin });
      destination = { dispatcher, inFlight: 0, lastUsedAt: 0 };
      destinations.set(origin, destination);
    }
    return destination;
  };

  // S6
  const exchanges = createSlots<Exchange>();
  let isTicking = false;
  const tick = (): void => {
    const now = performance.now();
    exchanges.each((exchange) => {
      if (exchange.dueAt <= now) exchange.expire();
    });
    isTicking = exchanges.size > 0;
    if (isTicking) setTimeout(tick, TICK_MS);
  };
  const begin = (exchange: Exchange): void => {
    exchanges.add(exchange);
    if (!isTicking) setTimeout(tick, TICK_MS);
    isTicking = true;
  };

  let stopSweeping = (): void => {};
  const sweep = (): void => {
    const oldest = clock.now() - IDLE_POOL_MS;
    for (const [origin, destination] of destinations) {
      if (destination.inFlight === 0 && destination.lastUsedAt <= oldest) drop(origin, destination);
      else destination.dispatcher.closeIdle();
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
          exchanges.remove(exchange);
          destination.inFlight--;
          destination.lastUsedAt = clock.now();
          resolve(result);
        });
        begin(exchange);
        try {
          destination.dispatcher.dispatch({ path: target.path, method: "POST", headers, body }, exchange);
        } catch (error) {
          exchange.onResponseError(undefined, error as Error);
        }
      });
    },
    destinations: () => destinations.size,
    async close() {
      stopSweeping();
      await Promise.all([...destinations.values()].map(({ dispatcher }) => dispatcher.destroy()));
      destinations.clear();
    },
  };
}

/** One request and its answer. A class for its fixed shape: one is made per attempt on the hot path. */
class Exchange implements Dispatcher.DispatchHandler, Slotted {
  slot = -1;
  /** By performance.now(); not before it has a connection. */
  dueAt = Number.POSITIVE_INFINITY;
  private controller: Dispatcher.DispatchController | undefined;
  private status = 0;
  private headers: Readonly<Record<string, string | string[] | undefined>> = {};
  private chunks: Buffer[] = [];
  private size = 0;
  private settle: ((result: SendResult) => void) | null;
  private readonly timeoutMs: number;

  constructor(timeoutMs: number, settle: (result: SendResult) => void) {
    this.settle = settle;
    this.timeoutMs = timeoutMs;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    // One deadline for both when it is sent a second time.
    if (this.dueAt === Number.POSITIVE_INFINITY) this.dueAt = performance.now() + this.timeoutMs;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.status = status;
    this.headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.settle === null) return;
    const room = MAX_RESPONSE_BYTES - this.size;
    this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (chunk.length > room) {
      this.answered(contentLengthOf(this.headers["content-length"]));
      controller.abort(new Error(`the response body is longer than ${MAX_RESPONSE_BYTES} bytes`));
    }
  }

  onResponseEnd(): void {
    this.answered(this.size);
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.finish(failureOf(error, this.status));
  }

  expire(): void {
    const had = this.status === 0 ? "no answer" : `status ${this.status}, but no complete body`;
    this.finish({ kind: "timed_out", error: `${had} within ${this.timeoutMs} ms` });
    this.controller?.abort(new Error("deadline"));
  }

  private answered(bodySize: number | null): void {
    const body = this.size === 0 ? null : this.chunks.length === 1 ? (this.chunks[0] ?? null) : Buffer.concat(this.chunks);
    this.finish({ kind: "answered", status: this.status, headers: this.headers, body, bodySize });
  }

  private finish(result: SendResult): void {
    const settle = this.settle;
    if (settle === null) return;
    this.settle = null;
    settle(result);
  }
}

function contentLengthOf(header: string | string[] | undefined): number | null {
  return typeof header === "string" && /^\d+$/.test(header) ? Number(header) : null;
}

function failureOf(error: Error, status: number): SendResult {
  if (error instanceof BlockedAddressError) return { kind: "blocked", error: error.message };
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  if (error instanceof ConnectTimeoutError || code === "ETIMEDOUT" || code === "ETIMEOUT")
    return { kind: "timed_out", error: error.message };
  // OpenSSL's own messages are addresses in its sources.
  const text = typeof reason === "string" && String(code).startsWith("ERR_SSL_") ? withHint(reason) : error.message;
  const during = status === 0 ? "" : ` (after status ${status}, before the end of the body)`;
  const what = typeof code === "string" ? `${code}: ${text}` : text;
  // A certificate can have thousands of names, and the message all of them.
  return { kind: "unreachable", error: `${what.slice(0, MAX_ERROR_CHARACTERS)}${during}` };
}

/** Alerts whose names don't say what the owner of a receiver has to change. */
const TLS_HINTS: ReadonlyArray<readonly [alert: RegExp, hint: string]> = [
  [/alert certificate required/, "the receiver asks for a client certificate"],
  [/alert handshake failure/, "the receiver takes none of Posthorn's ciphers, or asks for a client certificate"],
];

function withHint(reason: string): string {
  const hint = TLS_HINTS.find(([alert]) => alert.test(reason))?.[1];
  return hint === undefined ? reason : `${reason} (${hint})`;
}

/** One context for all connections: to make one parses every authority. */
function buildSecure({ tlsMinVersion = "TLSv1.2", extraAuthorities = null }: SenderOptions): ConnectorDependencies["secure"] {
  const secureContext = createSecureContext({
    minVersion: tlsMinVersion,
    ...(extraAuthorities === null ? {} : { ca: [...getCACertificates("default"), extraAuthorities] }),
  });
  // The connector's own deadline covers TLS too.
  return buildConnector({ timeout: 0, allowH2: false, rejectUnauthorized: true, secureContext });
}

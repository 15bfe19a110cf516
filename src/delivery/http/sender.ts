/**
 * Sends one HTTP POST, with one deadline over connect, headers and body. The deadline starts when the request gets a connection:
 * waiting for one is not the receiver's fault.
 *
 * SEND-1  Every connection comes from connector.ts, which asks the address guard before a byte is sent.
 * SEND-2  A send ends exactly once. Bytes that arrive later are ignored and their connection is closed.
 * SEND-3  A response body is read up to 64 KiB, then the connection is closed; the answer still counts.
 * SEND-4  Redirects are not followed, nothing is decompressed, no cookie is kept.
 * SEND-5  Certificates are always verified, whatever NODE_TLS_REJECT_UNAUTHORIZED says.
 */
import { createSecureContext, getCACertificates, type SecureVersion } from "node:tls";
import { buildConnector } from "undici";
import type { Clock } from "../../model/clock.ts";
import { every } from "../../model/periodic.ts";
import type { AddressGuard } from "./address-guard.ts";
import { type ConnectorDependencies, createConnector } from "./connector.ts";
import { createDeadlines } from "./deadlines.ts";
import { Exchange, type SendResult } from "./exchange.ts";
import { Http1Dispatcher } from "./http1-dispatcher.ts";
import type { NameResolver } from "./name-resolver.ts";

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
  /** Aborts all requests in flight. */
  close(): Promise<void>;
}

export interface SenderOptions {
  readonly connectTimeoutMs: number;
  /** Connections to one origin. */
  readonly connectionsPerOrigin: number;
  readonly tlsMinVersion?: SecureVersion;
  /** PEM of authorities that are trusted in addition to the system's. */
  readonly extraAuthorities?: string | null;
  /** URL of an HTTP proxy. */
  readonly proxy?: string | null;
}

export interface SenderDependencies {
  readonly guard: AddressGuard;
  readonly resolver: NameResolver;
  readonly clock: Clock;
}

/** A destination that is idle for this long loses its connections and its memory. */
const IDLE_POOL_MS = 60_000;
const SWEEP_MS = 15_000;
/** Limit of open destinations (26 KB each). Beyond it the least recently used idle one is closed. */
const MAX_IDLE_POOLS = 1_000;

/** Size of the cache of parsed URLs; the cache is emptied when it is full. */
const MAX_TARGETS = 20_000;

interface Target {
  readonly origin: string;
  readonly path: string;
  /** Why the URL itself is refused, e.g. for a literal address; null when it is not. */
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

  const closeLeastRecentlyUsed = (): void => {
    let oldest: [string, Destination] | undefined;
    for (const entry of destinations) {
      if (entry[1].inFlight === 0 && (oldest === undefined || entry[1].lastUsedAt < oldest[1].lastUsedAt)) oldest = entry;
    }
    if (oldest !== undefined) drop(...oldest);
  };

  const destinationOf = (origin: string): Destination => {
    let destination = destinations.get(origin);
    if (destination === undefined) {
      if (destinations.size >= MAX_IDLE_POOLS) closeLeastRecentlyUsed();
      const dispatcher = new Http1Dispatcher(origin, { connect, connections: options.connectionsPerOrigin });
      destination = { dispatcher, inFlight: 0, lastUsedAt: 0 };
      destinations.set(origin, destination);
    }
    return destination;
  };

  const deadlines = createDeadlines();
  const sweeping = every(clock, SWEEP_MS, () => {
    const oldest = clock.now() - IDLE_POOL_MS;
    for (const [origin, destination] of destinations) {
      if (destination.inFlight === 0 && destination.lastUsedAt <= oldest) drop(origin, destination);
      else destination.dispatcher.closeIdle();
    }
  });
  sweeping.startLater();

  return {
    send({ url, headers, body, timeoutMs }) {
      const target = targetOf(url);
      if (target.refused !== null) return Promise.resolve({ kind: "blocked", error: target.refused });
      const destination = destinationOf(target.origin);
      destination.inFlight++;
      return new Promise((resolve) => {
        const exchange = new Exchange(timeoutMs, (result) => {
          deadlines.remove(exchange);
          destination.inFlight--;
          destination.lastUsedAt = clock.now();
          resolve(result);
        });
        deadlines.add(exchange);
        try {
          destination.dispatcher.dispatch({ path: target.path, method: "POST", headers, body }, exchange);
        } catch (error) {
          exchange.onResponseError(undefined, error as Error);
        }
      });
    },
    destinations: () => destinations.size,
    async close() {
      sweeping.stop();
      await Promise.all([...destinations.values()].map(({ dispatcher }) => dispatcher.destroy()));
      destinations.clear();
    },
  };
}

/** One context for all connections: creating one parses every authority. */
function buildSecure({ tlsMinVersion = "TLSv1.2", extraAuthorities = null }: SenderOptions): ConnectorDependencies["secure"] {
  const secureContext = createSecureContext({
    minVersion: tlsMinVersion,
    ...(extraAuthorities === null ? {} : { ca: [...getCACertificates("default"), extraAuthorities] }),
  });
  // The connector's own deadline covers TLS too.
  return buildConnector({ timeout: 0, allowH2: false, rejectUnauthorized: true, secureContext });
}

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
import { memoize } from "../../model/memo.ts";
import { every } from "../../model/periodic.ts";
import type { AddressGuard } from "./address-guard.ts";
import { type ConnectorDependencies, createConnector } from "./connector.ts";
import { createDeadlines } from "./deadlines.ts";
import { Exchange, type SendResult } from "./exchange.ts";
import { Http1Dispatcher } from "./http1-dispatcher.ts";
import { IdleConnections } from "./idle-connections.ts";
import type { NameResolver } from "./name-resolver.ts";

export interface SendRequest {
  readonly url: string;
  readonly headers: Record<string, string>;
  /** ASCII; comes before `body`, which several requests may share. */
  readonly bodyHead?: string;
  readonly body: Buffer;
  readonly timeoutMs: number;
}

export interface Sender {
  /** Never rejects. */
  send(request: SendRequest): Promise<SendResult>;
  /** Origins that were sent to lately. */
  destinations(): number;
  /** Open connections without a request. */
  idleConnections(): number;
  /** Aborts all requests in flight. */
  close(): Promise<void>;
}

export interface SenderOptions {
  readonly connectTimeoutMs: number;
  /** Connections to one origin. */
  readonly connectionsPerOrigin: number;
  /** Over all origins. */
  readonly maxIdleConnections: number;
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

/** An idle destination is forgotten after this time, with its connections. */
const IDLE_DESTINATION_MS = 60_000;
const SWEEP_MS = 15_000;
/** Parsed URLs that are kept. */
const TARGETS = 20_000;

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
  const destinations = new Map<string, Destination>();
  const allIdle = new IdleConnections(options.maxIdleConnections);
  const connect = createConnector(
    { guard, resolver, secure: buildSecure(options) },
    { timeoutMs: options.connectTimeoutMs, proxy: options.proxy ?? null },
  );

  const targetOf = memoize(TARGETS, (url): Target => {
    const parsed = URL.canParse(url) ? new URL(url) : null;
    return { origin: parsed?.origin ?? "", path: `${parsed?.pathname ?? ""}${parsed?.search ?? ""}`, refused: guard.refusesUrl(url) };
  });

  const drop = (origin: string, { dispatcher }: Destination): void => {
    destinations.delete(origin);
    void dispatcher.close();
  };

  const destinationOf = (origin: string): Destination => {
    let destination = destinations.get(origin);
    if (destination === undefined) {
      const dispatcher = new Http1Dispatcher(origin, { connect, connections: options.connectionsPerOrigin, allIdle });
      destination = { dispatcher, inFlight: 0, lastUsedAt: 0 };
      destinations.set(origin, destination);
    }
    return destination;
  };

  const deadlines = createDeadlines();
  const sweeping = every(clock, SWEEP_MS, () => {
    const oldest = clock.now() - IDLE_DESTINATION_MS;
    for (const [origin, destination] of destinations) {
      if (destination.inFlight === 0 && destination.lastUsedAt <= oldest) drop(origin, destination);
      else destination.dispatcher.closeIdle();
    }
  });
  sweeping.startLater();

  return {
    send({ url, headers, bodyHead = "", body, timeoutMs }) {
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
          destination.dispatcher.dispatch({ path: target.path, method: "POST", headers, bodyHead, body }, exchange);
        } catch (error) {
          exchange.onResponseError(undefined, error as Error);
        }
      });
    },
    destinations: () => destinations.size,
    idleConnections: () => allIdle.size,
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

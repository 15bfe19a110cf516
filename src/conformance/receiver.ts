/** The kit's HTTP server: an endpoint for every check, which records what comes and answers in ways that frameworks can't. */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** One request of the sender. */
export interface Attempt {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly method: string;
  readonly from: string;
  readonly body: Buffer;
  /** Every value of a header, in the order of the request. */
  values(header: string): readonly string[];
  readonly connection: Socket;
}

export interface Exchange {
  readonly attempt: Attempt;
  /** 1 for the endpoint's first request. */
  readonly nth: number;
  readonly response: ServerResponse;
}

export type Answer = (exchange: Exchange) => void;

export interface ReceivingEndpoint {
  readonly url: string;
  readonly attempts: readonly Attempt[];
  /**
   * On a busy machine, time in which this process did not run counts little: what came meanwhile is seen.
   * @returns whether the condition became true in time. It is asked again whenever a request or the end of a connection comes.
   */
  waitUntil(condition: () => boolean, withinMs: number): Promise<boolean>;
}

export interface Receiver {
  readonly url: string;
  /** @param isExpected a request that isn't is answered with 200 and not recorded: some senders try a URL when it is registered */
  open(answer: Answer, isExpected?: () => boolean): ReceivingEndpoint;
  stop(): Promise<void>;
}

export interface ReceiverOptions {
  readonly host: string;
  readonly port: number;
  /** Where the sender reaches it; at its address when not given. */
  readonly publicUrl?: string | undefined;
  /** Ends every wait. */
  readonly signal: AbortSignal;
}

const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** A connection that the sender wants to use again must not be closed under its request. */
const KEEP_ALIVE_MS = 600_000;
/** A wait counts a longer pause of the process as this. */
const LONGEST_PART_MS = 250;

interface OpenEndpoint {
  readonly attempts: Attempt[];
  readonly answer: Answer;
  readonly isExpected: () => boolean;
  changed: PromiseWithResolvers<void>;
}

export async function startReceiver({ host, port, publicUrl, signal }: ReceiverOptions): Promise<Receiver> {
  const endpoints = new Map<string, OpenEndpoint>();

  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const at = Date.now();
    response.on("error", () => {});
    const body = await bodyOf(request);
    const endpoint = endpoints.get(new URL(request.url ?? "/", "http://receiver").pathname.split("/").at(-1) ?? "");
    if (endpoint === undefined) return void response.writeHead(404).end();
    if (!endpoint.isExpected()) return void response.end();
    const attempt = attemptOf(request, at, body);
    const nth = endpoint.attempts.push(attempt);
    endpoint.answer({ attempt, nth, response });
    wake(endpoint);
  };

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (request, response) => {
    receive(request, response).catch(() => response.destroy());
  });
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    socket.once("close", () => endpoints.forEach(wake));
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  const { port: listening } = server.address() as AddressInfo;
  const url = publicUrl?.replace(/\/+$/, "") ?? `http://${host.includes(":") ? `[${host}]` : host}:${listening}`;

  return {
    url,
    open(answer, isExpected = () => true) {
      const path = randomUUID();
      const endpoint: OpenEndpoint = { attempts: [], answer, isExpected, changed: Promise.withResolvers() };
      endpoints.set(path, endpoint);
      return {
        url: `${url}/${path}`,
        attempts: endpoint.attempts,
        async waitUntil(condition, withinMs) {
          for (let restMs = withinMs; !condition(); ) {
            if (restMs <= 0) return false;
            const partMs = Math.min(restMs, LONGEST_PART_MS);
            const begunAt = performance.now();
            await Promise.race([endpoint.changed.promise, sleep(partMs, undefined, { signal })]);
            restMs -= Math.min(partMs, performance.now() - begunAt);
          }
          return true;
        },
      };
    },
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function wake(endpoint: OpenEndpoint): void {
  const { changed } = endpoint;
  endpoint.changed = Promise.withResolvers();
  changed.resolve();
}

function attemptOf({ method = "", socket, rawHeaders }: IncomingMessage, at: number, body: Buffer): Attempt {
  const from = (socket.remoteAddress ?? "").replace(/^::ffff:/, "");
  return {
    at,
    method,
    from,
    body,
    values: (header) => rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === header),
    connection: socket,
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error(`a request of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

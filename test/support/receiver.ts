/** A real webhook receiver that records every request and answers as it is told to. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { eventually } from "./eventually.ts";

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly receivedAt: number;
  /** The body as JSON, parsed once: tests ask again and again. */
  json(): ReceivedJson;
}

interface ReceivedJson {
  readonly action: string;
  readonly installation: { readonly uuid: string };
  readonly data: Record<string, unknown>;
  readonly actor: Record<string, unknown>;
}

export type Behaviour = (request: ReceivedRequest, response: ServerResponse, socket: Socket) => void | Promise<void>;

export interface Receiver {
  readonly url: string;
  readonly port: number;
  readonly requests: ReceivedRequest[];
  /** Waits until so many requests have come. */
  waitFor(count: number): Promise<ReceivedRequest[]>;
  /** How requests are answered from now on; 200 at first. */
  behave(behaviour: Behaviour): void;
  stop(): Promise<void>;
}

export const answer =
  (status: number, body = "", headers: Record<string, string> = {}): Behaviour =>
  (_request, response) => {
    response.writeHead(status, headers).end(body);
  };

export async function startReceiver(initial: Behaviour = answer(200, "ok"), port = 0, host = "127.0.0.1"): Promise<Receiver> {
  const requests: ReceivedRequest[] = [];
  let behaviour = initial;
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", () => {});
    incoming.on("end", () => {
      const body = Buffer.concat(chunks);
      let parsed: ReceivedJson | undefined;
      const request: ReceivedRequest = {
        method: incoming.method ?? "",
        path: incoming.url ?? "",
        headers: incoming.headers,
        body,
        receivedAt: Date.now(),
        json() {
          parsed ??= JSON.parse(body.toString("utf8")) as ReceivedJson;
          return parsed;
        },
      };
      requests.push(request);
      void behaviour(request, response, incoming.socket);
    });
  });
  // As many may want to connect at once as a test has attempts in flight.
  await new Promise<void>((resolve) => server.listen({ port, host, backlog: 4_096 }, resolve));
  const { port: listening } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${listening}`,
    port: listening,
    requests,
    waitFor: (count) =>
      eventually(() => {
        if (requests.length < count) throw new Error(`${requests.length} of ${count} requests came`);
        return requests;
      }),
    behave(next) {
      behaviour = next;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

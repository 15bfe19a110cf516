/** The two apps' servers: each verifies what it gets with posthorn/client and answers; one fails now and then. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { verifyWebhook } from "../../src/client/client.ts";

export interface Received {
  readonly app: string;
  readonly event: string;
  readonly deliveryId: string;
  readonly traceparent: string;
  readonly answered: number;
  readonly verified: boolean;
}

export interface DemoReceiver {
  readonly url: string;
  /** Client secrets by app; known once the apps are registered. */
  secret: string;
  /** The status of the n-th request, from 1. */
  answer: (request: number) => number;
  stop(): Promise<void>;
}

export async function startReceiver(app: string, onReceived: (received: Received) => void): Promise<DemoReceiver> {
  let requests = 0;
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      requests++;
      let event = "?";
      let deliveryId = "?";
      let verified = false;
      try {
        const webhook = verifyWebhook({ body: Buffer.concat(chunks), headers: request.headers, secret: receiver.secret });
        event = `${webhook.resource}.${webhook.action}`;
        deliveryId = webhook.deliveryId ?? "?";
        verified = true;
      } catch {
        // Whoever sent this was not Posthorn.
      }
      const answered = verified ? receiver.answer(requests) : 401;
      response.writeHead(answered).end(answered === 200 ? "thanks" : "not now");
      onReceived({ app, event, deliveryId, traceparent: String(request.headers["traceparent"]), answered, verified });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const receiver: DemoReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhooks`,
    secret: "",
    answer: () => 200,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}

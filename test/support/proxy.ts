/** A reverse proxy as people put them in front: under a path of its own, and, when told to, holding answers back. */
import { createServer, request } from "node:http";
import type { AddressInfo, Socket } from "node:net";

export interface Proxy {
  /** With the path and a slash at its end. */
  readonly url: string;
  /** Holds nothing back from now on. */
  passOn(): void;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  /** Begins and ends with a slash; other paths are answered with 404. */
  readonly path: string;
  /** Hands an answer on only when it has ended. */
  readonly collects?: boolean;
}

export async function startProxy(target: string, { path, collects = false }: ProxyOptions): Promise<Proxy> {
  let isCollecting = collects;
  const sockets = new Set<Socket>();
  const server = createServer((incoming, outgoing) => {
    const url = incoming.url ?? "";
    if (!url.startsWith(path)) return void outgoing.writeHead(404).end();
    const forwarded = request(
      `${target}/${url.slice(path.length)}`,
      { method: incoming.method ?? "GET", headers: incoming.headers },
      (answered) => {
        if (!isCollecting) {
          outgoing.writeHead(answered.statusCode ?? 502, answered.headers);
          return void answered.pipe(outgoing);
        }
        const chunks: Buffer[] = [];
        answered.on("data", (chunk: Buffer) => chunks.push(chunk));
        answered.on("end", () => outgoing.writeHead(answered.statusCode ?? 502, answered.headers).end(Buffer.concat(chunks)));
      },
    );
    forwarded.on("error", () => outgoing.destroy());
    outgoing.on("close", () => forwarded.destroy());
    incoming.pipe(forwarded);
  });
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    passOn() {
      isCollecting = false;
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

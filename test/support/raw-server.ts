/** A TCP server whose behaviour is written out byte by byte, for what a well-behaved HTTP server never does. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

export interface RawServer {
  readonly port: number;
  readonly connections: () => number;
  stop(): Promise<void>;
}

/** @param onRequest called when the head of a request is there. */
export async function startRawServer(
  onRequest: (socket: Socket, text: string) => void,
  tls?: { key: Buffer; cert: Buffer },
): Promise<RawServer> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const onConnection = (socket: Socket): void => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      const request = text;
      text = "";
      onRequest(socket, request);
    });
  };
  const server = tls === undefined ? createServer(onConnection) : createTlsServer(tls, onConnection);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

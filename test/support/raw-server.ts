/** A TCP server whose behaviour is written out byte by byte, for what a well-behaved HTTP server never does. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";

export interface RawServer {
  readonly port: number;
  readonly connections: () => number;
  /** Told of every byte that comes. */
  onData(listener: (chunk: Buffer) => void): void;
  stop(): Promise<void>;
}

/** @param onRequest called when the head of a request is there. */
export async function startRawServer(
  onRequest: (socket: Socket, text: string) => void,
  tls?: TlsOptions,
  host = "127.0.0.1",
  port = 0,
): Promise<RawServer> {
  let listener = (_chunk: Buffer): void => {};
  const sockets = new Set<Socket>();
  let connections = 0;
  const onConnection = (socket: Socket): void => {
    connections++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      listener(chunk);
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      const request = text;
      text = "";
      onRequest(socket, request);
    });
  };
  const server = tls === undefined ? createServer(onConnection) : createTlsServer(tls, onConnection);
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    onData(next) {
      listener = next;
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

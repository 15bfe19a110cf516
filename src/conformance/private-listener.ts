/** Listens where a sender must not connect to, and counts the connections. */
import { type AddressInfo, createServer, type Server } from "node:net";

export interface PrivateListener {
  readonly port: number;
  connections(): number;
  stop(): Promise<void>;
}

const LOOPBACK: readonly string[] = ["127.0.0.1", "::1"];

/** @returns null: the address isn't one of this machine */
export async function listenAt(address: string): Promise<PrivateListener | null> {
  let connections = 0;
  const servers: Server[] = [];
  const listen = (host: string, port: number): Promise<number | null> =>
    new Promise((resolve) => {
      const server = createServer((socket) => {
        connections++;
        socket.on("error", () => {}).destroy();
      });
      server.once("error", () => resolve(null));
      server.listen(port, host, () => {
        servers.push(server);
        resolve((server.address() as AddressInfo).port);
      });
    });
  const port = await listen(address, 0);
  if (port === null) return null;
  // A name such as localhost leads to both.
  for (const other of LOOPBACK) if (LOOPBACK.includes(address) && other !== address) await listen(other, port);
  return {
    port,
    connections: () => connections,
    async stop() {
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/**
 * A TCP proxy that can freeze (both ends stay open and nothing goes through, as when a cable is cut without a word) and be slow.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface TcpProxy {
  readonly port: number;
  freeze(): void;
  /** Goes on; what was frozen is cut off. */
  thaw(): void;
  /** What comes from now on arrives so much later, in either direction. */
  lag(ms: number): void;
  stop(): Promise<void>;
}

export async function startTcpProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;
  let lagMs = 0;

  const server = createServer({ pauseOnConnect: true }, (inbound) => {
    const outbound = connect(targetPort, "127.0.0.1");
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      sockets.add(one);
      let arrived = Promise.resolve();
      one.on("data", (chunk) => {
        // What arrives while frozen is lost, as it would be on the wire.
        if (frozen) return;
        // In the order it came, however the lag changes.
        arrived = Promise.all([arrived, sleep(lagMs)]).then(() => void other.write(chunk));
      });
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    inbound.resume();
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port,
    freeze() {
      frozen = true;
    },
    lag(ms) {
      lagMs = ms;
    },
    thaw() {
      frozen = false;
      cut();
    },
    stop: () =>
      new Promise((resolve) => {
        cut();
        server.close(() => resolve());
      }),
  };
}

/**
 * A TCP proxy that can freeze (both ends stay open and nothing goes through, as when a cable is cut without a word), be slow,
 * and say something else than a client has said.
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
  /** From now on no more than this goes through in a second, in either direction of each connection. */
  throttle(bytesPerS: number): void;
  /** What clients send from now on says `instead` where it says `text`; with null it goes through as it is again. */
  divert(text: string, instead: string | null): void;
  stop(): Promise<void>;
}

export async function startTcpProxy(targetPort: number, port = 0): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;
  let lagMs = 0;
  let bytesPerMs = Number.POSITIVE_INFINITY;
  let diverted = { text: "", instead: "" };
  const asSent = (chunk: Buffer): Buffer =>
    diverted.text === "" ? chunk : Buffer.from(chunk.toString("latin1").replaceAll(diverted.text, diverted.instead), "latin1");

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
        const passed = one === inbound ? asSent(chunk) : chunk;
        arrived = Promise.all([arrived, sleep(lagMs)]).then(async () => {
          if (bytesPerMs < Number.POSITIVE_INFINITY) await sleep(passed.length / bytesPerMs);
          other.write(passed);
        });
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
    throttle(bytesPerS) {
      bytesPerMs = bytesPerS / 1_000;
    },
    divert(text, instead) {
      diverted = instead === null ? { text: "", instead: "" } : { text, instead };
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

/** A TCP proxy that stops at a certain text: what a process does next never arrives, or is never answered. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface CutProxy {
  readonly port: number;
  /**
   * Lets nothing through any more as soon as a client sends the text: `before`, not the text itself either; `after`, the
   * text and what came with it, but no answer.
   */
  cut(where: "before" | "after", text: string): void;
  /** Whether the text has come. */
  isCut(): boolean;
  stop(): Promise<void>;
}

export async function startCutProxy(targetPort: number): Promise<CutProxy> {
  const sockets = new Set<Socket>();
  let wanted: { readonly where: "before" | "after"; readonly text: string } | undefined;
  let isCut = false;

  const send = (chunk: Buffer, target: Socket): void => {
    const at = wanted === undefined ? -1 : chunk.indexOf(wanted.text);
    if (at === -1 || wanted === undefined) return void target.write(chunk);
    isCut = true;
    // The command that the text is in begins its own line.
    target.write(wanted.where === "after" ? chunk : chunk.subarray(0, chunk.lastIndexOf("\n", at) + 1));
  };

  const server = createServer((inbound) => {
    const outbound = connect(targetPort, "127.0.0.1");
    const pairs: Array<[Socket, Socket]> = [
      [inbound, outbound],
      [outbound, inbound],
    ];
    for (const [from, to] of pairs) {
      sockets.add(from);
      from.on("data", (chunk: Buffer) => {
        if (!isCut) from === inbound ? send(chunk, to) : to.write(chunk);
      });
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut(where, text) {
      wanted = { where, text };
    },
    isCut: () => isCut,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

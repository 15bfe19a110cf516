/**
 * An address where connections are neither taken nor refused until it is told to answer: a listening socket with a full
 * backlog, in a process of its own that is stopped, so that nothing takes from the backlog.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";

export interface Tarpit {
  readonly port: number;
  /** From now on requests are answered with 200, those that wait included. */
  answer(): void;
  stop(): Promise<void>;
}

const SERVER = `
const server = require("node:net").createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", () => socket.end("HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"));
});
server.listen({ port: 0, host: process.argv[1], backlog: 1 }, () => console.log(server.address().port));
`;
/** Far more than a kernel keeps for a backlog of one. */
const MAX_FILLERS = 32;
/** On loopback a connection that is taken takes no time. */
const NOT_TAKEN_MS = 300;

export async function startTarpit(host: string): Promise<Tarpit> {
  const child = spawn(process.execPath, ["-e", SERVER, host], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(line.toString());
  child.kill("SIGSTOP");
  const fillers: Socket[] = [];
  for (let isTaken = true; isTaken && fillers.length < MAX_FILLERS; ) {
    const filler = connect({ host, port });
    filler.on("error", () => {});
    fillers.push(filler);
    isTaken = await Promise.race([once(filler, "connect").then(() => true), setTimeout(NOT_TAKEN_MS, false)]);
  }
  return {
    port,
    answer: () => void child.kill("SIGCONT"),
    async stop() {
      for (const filler of fillers) filler.destroy();
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

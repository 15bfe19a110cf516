/** The commands of a peer that are its service, started, killed and stopped together; and its HTTP API. */
import { Pool } from "undici";
import { type Command, logOf, type Program, type Running } from "./program.ts";
import { sleep } from "./sleep.ts";

export interface Service {
  processes(): readonly number[];
  crash(): Promise<void>;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 120_000;

/** @param readyUrl answers 2xx as soon as the service takes events. */
export async function startService(program: Program, folder: string, commands: readonly Command[], readyUrl: string): Promise<Service> {
  let running: readonly Running[] = [];
  const start = async (): Promise<void> => {
    running = commands.map((command) => program.spawn(command, folder));
    await untilReady(readyUrl, () => {
      const at = running.findIndex(({ ended }) => ended() !== null);
      const name = commands[at]?.command ?? "";
      return at === -1 ? null : `${name} ended with ${running[at]?.ended()}:\n${logOf(folder, name)}`;
    });
  };
  const end = (signal: "SIGTERM" | "SIGKILL") => Promise.all(running.map((one) => one.end(signal)));
  await start();
  return {
    processes: () => running.map(({ pid }) => pid()),
    async crash() {
      await end("SIGKILL");
      await start();
    },
    stop: async () => void (await Promise.race([end("SIGTERM"), sleep(10_000).then(() => end("SIGKILL"))])),
  };
}

async function untilReady(url: string, failure: () => string | null): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const why = failure();
    if (why !== null) throw new Error(why);
    const answer = await fetch(url).catch(() => null);
    await answer?.text();
    if (answer?.ok) return;
    if (Date.now() > until) throw new Error(`${url} did not answer 2xx within ${START_TIMEOUT_MS / 1000} s`);
    await sleep(100);
  }
}

export interface Api {
  /** @param body JSON. @returns the answer, parsed; rejected when it is not 2xx */
  send(method: "POST" | "PUT", path: string, body: string | object): Promise<unknown>;
  stop(): Promise<void>;
}

/** As many connections as the load has calls under way (measure.ts), so that none waits for another. */
const CONNECTIONS = 256;

export function createApi(origin: string, headers: Readonly<Record<string, string>> = {}): Api {
  const pool = new Pool(origin, { connections: CONNECTIONS });
  const all = { "content-type": "application/json", ...headers };
  return {
    async send(method, path, body) {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      const answer = await pool.request({ method, path, headers: all, body: text });
      const answered = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${answered.slice(0, 300)}`);
      return answered.startsWith("{") ? (JSON.parse(answered) as unknown) : null;
    },
    stop: () => pool.destroy(),
  };
}

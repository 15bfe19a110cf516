/** Posthorn as a process of its own, as in production, and the few calls of its API that the demo makes. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/main.js", import.meta.url));
const START_TIMEOUT_MS = 30_000;

export interface DemoPosthorn {
  readonly url: string;
  readonly logFile: string;
  put(path: string, body: object): Promise<Record<string, unknown>>;
  get(path: string): Promise<Record<string, unknown>>;
  stop(): Promise<void>;
}

export async function startPosthorn(settings: Readonly<Record<string, string>>, logFile: string): Promise<DemoPosthorn> {
  const child = spawn(process.execPath, [MAIN, "serve"], {
    stdio: ["ignore", "pipe", "pipe"],
    // Settings of somebody's own service are not the demo's.
    env: { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("POSTHORN_"))), ...settings },
    // A Ctrl-C is the demo's to handle: it stops Posthorn when everything else is stopped.
    detached: process.platform !== "win32",
  });
  const log = createWriteStream(logFile);
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      log.write(chunk);
      printed = (printed + chunk.toString()).slice(-20_000);
    });
  }
  const url = await readyUrl(child, () => printed);
  const call = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as Record<string, unknown>;
  };
  return {
    url,
    logFile,
    put: (path, body) => call("PUT", path, body),
    get: (path) => call("GET", path),
    async stop() {
      if (child.exitCode === null) {
        const exited = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGTERM");
        await exited;
      }
      log.end();
    },
  };
}

async function readyUrl(child: ChildProcess, printed: () => string): Promise<string> {
  const until = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const url = /"url":"([^"]+)"[^\n]*Posthorn is ready/.exec(printed())?.[1];
    if (url !== undefined) return url;
    if (child.exitCode !== null || Date.now() > until) {
      child.kill("SIGKILL");
      throw new Error(`Posthorn did not come up. Its last words:\n${printed().split("\n").slice(-12).join("\n")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

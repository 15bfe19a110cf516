/** A private PostgreSQL with its usual settings: each commit is synced. */
import { execFileSync, spawn } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBinary, freePort } from "../../scripts/servers.mjs";
import { killAtExit, runningChild } from "./program.ts";
import type { Store } from "./site.ts";
import { sleep } from "./sleep.ts";

/** Peers open a hundred connections and more. */
const MAX_CONNECTIONS = 400;
const START_TIMEOUT_MS = 30_000;
const DEBIAN = "/usr/lib/postgresql";

export async function startPostgres(): Promise<Store> {
  const initdb = binaryOf("initdb");
  const folder = mkdtempSync(join(tmpdir(), "posthorn-postgres-"));
  const owner = ownerOf(folder);
  const data = join(folder, "data");
  execFileSync(initdb, ["-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync"], { ...owner, stdio: "ignore", cwd: folder });
  const port = await freePort();
  const args = ["-D", data, "-p", String(port), "-h", "127.0.0.1", "-k", folder, "-c", `max_connections=${MAX_CONNECTIONS}`];
  const child = spawn(binaryOf("postgres"), args, { ...owner, stdio: "ignore", cwd: folder });
  killAtExit(child);
  const { pid, ended, end } = runningChild(child, (signal) => void child.kill(signal === "SIGTERM" ? "SIGINT" : signal));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once("exit", remove);
  const until = Date.now() + START_TIMEOUT_MS;
  while (!isReady(port)) {
    if (ended() !== null || Date.now() > until) throw new Error("PostgreSQL did not start");
    await sleep(50);
  }
  return {
    url: `postgres://bench:bench@127.0.0.1:${port}/postgres?sslmode=disable`,
    port,
    pid,
    async stop() {
      await end("SIGTERM");
      remove();
      process.off("exit", remove);
    },
  };
}

function isReady(port: number): boolean {
  try {
    execFileSync(binaryOf("pg_isready"), ["-h", "127.0.0.1", "-p", String(port)], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Debian leaves them out of the PATH. */
function binaryOf(name: string): string {
  const found = findBinary(name);
  if (found !== null) return found;
  const versions = readdirSync(DEBIAN, { withFileTypes: true }).map((entry) => entry.name);
  const newest = versions.toSorted((a, b) => Number(b) - Number(a))[0];
  if (newest === undefined) throw new Error(`${name} was not found on the PATH or in ${DEBIAN}`);
  return join(DEBIAN, newest, "bin", name);
}

/** PostgreSQL refuses to run as root. */
function ownerOf(folder: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const idOf = (option: string): number => Number(execFileSync("id", [option, "postgres"], { encoding: "utf8" }));
  const owner = { uid: idOf("-u"), gid: idOf("-g") };
  chownSync(folder, owner.uid, owner.gid);
  return owner;
}

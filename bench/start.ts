/**
 * Measures the cost of a start: processor time of `posthorn serve` until it is ready and of `posthorn --help`, as a multiple of
 * `node -e 0`, which says how fast the machine is just now. The median of several, taken in turn. Linux, for /proc.
 * Usage: npm run bench:start [-- --runs 9] [--main dist/main.js]
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { startNatsServer, startRedisServer } from "../scripts/servers.mjs";
import { readOptions } from "./support/options.ts";

/** Processor time of a process and of its children that have ended: proc(5), fields 14 to 17. */
type Whose = "own" | "children";

const TICK_MS = 10;
const { runs, main } = readOptions("start", { runs: 9, main: "dist/main.js" });

function cpuMs(pid: number | "self", whose: Whose): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const first = whose === "own" ? 11 : 13;
  return (Number(fields[first]) + Number(fields[first + 1])) * TICK_MS;
}

function run(...args: string[]): number {
  const before = cpuMs("self", "children");
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`node ${args.join(" ")} ended with ${status}:\n${stderr}`);
  return cpuMs("self", "children") - before;
}

async function serve(settings: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, [main, "serve"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...settings, POSTHORN_HTTP_PORT: "0" },
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  let printed = "";
  const ready = new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
      if (printed.includes("Posthorn is ready")) resolve();
    });
  });
  await Promise.race([ready, exited.then((code) => Promise.reject(new Error(`it ended with ${String(code)}:\n${printed}`)))]);
  const taken = cpuMs(child.pid ?? 0, "own");
  child.kill("SIGTERM");
  await exited;
  return taken;
}

const [nats, redis] = await Promise.all([startNatsServer(), startRedisServer()]);
const taken = { "node -e 0": [] as number[], "posthorn --help": [] as number[], "posthorn serve, until ready": [] as number[] };
try {
  const settings = { POSTHORN_NATS_URL: nats.url, POSTHORN_REDIS_URL: redis.url };
  // The first one makes the streams, and Node keeps what it has compiled.
  await serve(settings);
  for (let at = 0; at < runs; at++) {
    taken["node -e 0"].push(run("-e", "0"));
    taken["posthorn --help"].push(run(main, "--help"));
    taken["posthorn serve, until ready"].push(await serve(settings));
  }
} finally {
  await Promise.all([nats.stop(), redis.stop()]);
}

const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
const unit = Math.max(TICK_MS, median(taken["node -e 0"]));
console.log(`median CPU of ${runs} starts of ${main}`);
for (const [name, all] of Object.entries(taken))
  console.log(`${name.padEnd(30)} ${(median(all) / 1_000).toFixed(2)} s  ${(median(all) / unit).toFixed(1)} × node -e 0`);

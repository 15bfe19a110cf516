/**
 * Starts private nats-server and redis-server processes on free ports of 127.0.0.1, each with a folder of its own that is
 * removed with it. Used by the demo, the tests and the benchmarks. Plain JavaScript without packages: Node 18 runs it.
 */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { accessSync, appendFileSync, constants, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

/**
 * @typedef {object} Server
 * @property {string} url
 * @property {number} port
 * @property {string} folder
 * @property {() => number} pid
 * @property {() => string} log what the process printed last
 * @property {(signal?: NodeJS.Signals) => Promise<void>} kill ends the process, SIGKILL unless told otherwise; the folder stays
 * @property {() => Promise<void>} restart starts it again on the same port and folder
 * @property {() => Promise<void>} stop ends the process and removes the folder
 */

/** @type {Set<() => void>} */
const leftovers = new Set();
process.on("exit", () => {
  for (const remove of leftovers) remove();
});

/** Folders of Debian's daemons, which an ordinary user's PATH leaves out. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"];
const START_TIMEOUT_MS = 15_000;

/**
 * Notes a process, and a folder that goes with it, for whoever ends what is left when this process is killed.
 * @param {import("node:child_process").ChildProcess} child
 * @param {string} [folder]
 */
export function noteChild(child, folder = "") {
  const file = process.env["TEST_REAPER_FILE"];
  if (file === undefined || child.pid === undefined) return;
  appendFileSync(file, `+${child.pid} ${folder}\n`);
  // A folder outlives its process over a restart.
  if (folder === "") child.once("exit", () => appendFileSync(file, `-${child.pid}\n`));
}

/**
 * @param {string} name
 * @returns {string | null} the binary's path
 */
export function findBinary(name) {
  for (const folder of [...(process.env["PATH"] ?? "").split(delimiter), ...MORE_FOLDERS]) {
    if (folder === "") continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

/**
 * @param {{ binary?: string, port?: number, config?: string, maxFileStore?: string, environment?: Record<string, string> }} [options] config: lines for the server's configuration file, whose $NAMES are of the environment
 * @returns {Promise<Server>}
 */
export function startNatsServer(options = {}) {
  const binary = options.binary ?? process.env["TEST_NATS_SERVER"] ?? findBinary("nats-server");
  return startServer(
    binary,
    "nats-server",
    "nats",
    options.port,
    (port, folder) => {
      const file = join(folder, "nats.conf");
      writeFileSync(
        file,
        `listen: "127.0.0.1:${port}"\njetstream { store_dir: ${JSON.stringify(join(folder, "jetstream"))}, max_memory_store: 256MB, max_file_store: ${options.maxFileStore ?? "4GB"} }\n${options.config ?? ""}\n`,
      );
      return ["-c", file];
    },
    options.environment,
  );
}

/**
 * @param {{ binary?: string, port?: number, arguments?: string[] }} [options]
 * @returns {Promise<Server>}
 */
export function startRedisServer(options = {}) {
  const binary = options.binary ?? findBinary("redis-server");
  return startServer(binary, "redis-server", "redis", options.port, (port, folder) => [
    // With `everysec` Redis answers before it has written while a disk is slow to sync, and loses that when it is killed.
    ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "no"],
    ...(options.arguments ?? []),
  ]);
}

/**
 * @param {string | null} binary
 * @param {string} name
 * @param {string} scheme
 * @param {number | undefined} wantedPort
 * @param {(port: number, folder: string) => string[]} argumentsFor
 * @param {Record<string, string>} [environment]
 * @returns {Promise<Server>}
 */
async function startServer(binary, name, scheme, wantedPort, argumentsFor, environment) {
  if (binary === null) throw new Error(`${name} was not found on the PATH`);
  const path = binary;
  const folder = mkdtempSync(join(tmpdir(), `posthorn-${name}-`));
  /** @type {import("node:child_process").ChildProcess | undefined} */
  let child;
  let output = "";

  const remove = () => {
    child?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  leftovers.add(remove);

  /** @param {number} port */
  const start = async (port) => {
    const started = spawn(path, argumentsFor(port, folder), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...environment },
      // A Ctrl-C is for the command, which still needs its servers to clean up.
      detached: process.platform !== "win32",
    });
    child = started;
    noteChild(started, folder);
    const keep = (/** @type {Buffer} */ chunk) => {
      output = (output + chunk.toString()).slice(-8_000);
    };
    started.stdout.on("data", keep);
    started.stderr.on("data", keep);
    const until = Date.now() + START_TIMEOUT_MS;
    while (!(await accepts(port))) {
      if (started.exitCode !== null || started.signalCode !== null) throw new Error(`${name} ended while starting:\n${output}`);
      if (Date.now() > until) throw new Error(`${name} did not listen on port ${port} within ${START_TIMEOUT_MS} ms:\n${output}`);
      await sleep(20);
    }
    if (started.exitCode !== null) throw new Error(`port ${port} is taken by another process`);
  };

  /** @param {NodeJS.Signals} signal */
  const end = (signal) =>
    new Promise((resolve) => {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return resolve(undefined);
      child.once("exit", resolve);
      child.kill(signal);
    });

  let port = wantedPort ?? 0;
  for (let tries = 1; ; tries++) {
    if (wantedPort === undefined) port = await freePort();
    try {
      await start(port);
      break;
    } catch (error) {
      await end("SIGKILL");
      // Somebody else may have taken the port meanwhile.
      if (tries < 5 && wantedPort === undefined) continue;
      remove();
      throw error;
    }
  }

  return {
    url: `${scheme}://127.0.0.1:${port}`,
    port,
    folder,
    pid: () => child?.pid ?? 0,
    log: () => output,
    async kill(signal = "SIGKILL") {
      await end(signal);
    },
    async restart() {
      await end("SIGTERM");
      await start(port);
    },
    async stop() {
      await end("SIGTERM");
      remove();
      leftovers.delete(remove);
    },
  };
}

/** Below what Linux, macOS and Windows give to connections that go out. */
const FIRST_PORT = 10_240;
/** Each test worker has ports of its own: a server that is down for a while comes back to a port that nobody else was given. */
const SHARES = 16;
const PORTS_PER_SHARE = (32_768 - FIRST_PORT) / SHARES;
const firstOfShare = FIRST_PORT + (Number(process.env["VITEST_POOL_ID"] ?? 0) % SHARES) * PORTS_PER_SHARE;
let given = randomInt(PORTS_PER_SHARE);

/**
 * A port that nobody listens on now, and that no connection going out is given by chance: one that was would keep a server
 * from coming back to its port, and a client that tries a port nobody listens on could be connected with itself.
 * @returns {Promise<number>}
 */
export async function freePort() {
  for (;;) {
    given = (given + 1) % PORTS_PER_SHARE;
    const port = firstOfShare + given;
    if (await canListen(port)) return port;
  }
}

/** @param {number} port @returns {Promise<boolean>} */
function canListen(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** @param {number} port */
function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** @param {number} ms */
function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

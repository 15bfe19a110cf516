/**
 * The commands that work on a fresh clone: `demo`, `test`, `test-changed`, `check-clients`, `fuzz`, `chaos`, `bench`, `start`, `example`,
 * and `deps`, which only installs.
 * Usage: node scripts/run.mjs <command> [arguments for it]. Plain JavaScript without packages: Node 18 runs it.
 */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkClients, ensureClientToolchains } from "./client-toolchains.mjs";
import { hasDocker, startContainer } from "./containers.mjs";
import { startNatsServer, startRedisServer } from "./servers.mjs";
import {
  ensureBinaries,
  ensureBrowser,
  ensureDependencies,
  ensureNode,
  ensurePage,
  ensureProgram,
  ensurePrometheus,
  environmentWith,
  FEW_ARENAS,
  howToInstall,
  ROOT,
  SetUpError,
  say,
  YOUNG_GENERATION,
} from "./set-up.mjs";

/** What was started here and has to end with the command, last first. @type {Array<() => Promise<unknown> | unknown>} */
const cleanups = [];
/** Every property is tried with this many cases, more or less by what one takes: 110,000 together. */
const FUZZ_ENVIRONMENT = { FUZZ_CASES: process.env["FUZZ_CASES"] ?? "10000" };
const FUZZ = ["--testTimeout=3600000", "--teardownTimeout=60000"];

/** @type {import("node:child_process").ChildProcess | undefined} */
let child;
/** @type {NodeJS.Signals | undefined} */
let received;

for (const signal of /** @type {NodeJS.Signals[]} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.on(signal, () => {
    const again = received !== undefined;
    received = signal;
    // A terminal's Ctrl-C reaches the child by itself, as part of this process group.
    if (!again && !(signal === "SIGINT" && process.stdin.isTTY)) child?.kill(signal);
    else if (again) child?.kill("SIGKILL");
    if (child === undefined) void finish(1);
  });
}

/** @param {number} code */
async function finish(code) {
  for (const cleanup of cleanups.reverse()) await Promise.resolve(cleanup()).catch(() => {});
  process.exit(code);
}

/**
 * @param {string} node @param {string[]} args @param {NodeJS.ProcessEnv} [environment]
 * @returns {Promise<number>} the exit code
 */
function run(node, args, environment = {}) {
  return new Promise((resolve) => {
    const started = spawn(node, args, { cwd: ROOT, stdio: "inherit", env: { ...environmentWith(node), ...environment } });
    child = started;
    started.once("error", (error) => {
      say(error.message);
      resolve(1);
    });
    started.once("exit", (code, signal) => resolve(code ?? (signal === received ? 130 : 1)));
  });
}

/** @param {string} node @param {string[]} words @returns {Promise<number>} the exit code */
function runTests(node, words) {
  if (!ensureBinaries()) throw new SetUpError(howToInstall("npm test"));
  if (!ensurePrometheus()) say("no promtool: the tests of alert rules and dashboards are skipped");
  ensureBrowser();
  ensureClientToolchains();
  return run(node, [join("node_modules", "vitest", "vitest.mjs"), "run", ...words]);
}

/** Servers that the settings name, else private ones: of this machine, of its packages, or in containers. @returns {Promise<NodeJS.ProcessEnv>} */
async function demoServers() {
  const { POSTHORN_NATS_URL: nats, POSTHORN_REDIS_URL: redis } = process.env;
  if (nats && redis) {
    say("using POSTHORN_NATS_URL and POSTHORN_REDIS_URL");
    return { DEMO_SHARED: "1" };
  }
  if (ensureBinaries()) {
    /** @type {NodeJS.ProcessEnv} */
    const environment = {};
    if (!nats) {
      say("starting nats-server on a free port");
      const server = await startNatsServer();
      cleanups.push(server.stop);
      environment["POSTHORN_NATS_URL"] = server.url;
    }
    if (!redis) {
      say("starting redis-server on a free port");
      const server = await startRedisServer();
      cleanups.push(server.stop);
      environment["POSTHORN_REDIS_URL"] = server.url;
    }
    return environment;
  }
  if (hasDocker()) {
    say("starting NATS and Redis in containers");
    const start = (/** @type {Parameters<typeof startContainer>[0]} */ options) => {
      const container = startContainer(options);
      cleanups.push(container.stop);
      return container.address;
    };
    return {
      POSTHORN_NATS_URL: nats ?? `nats://${start({ image: "nats:2.15-alpine", port: 4222, command: ["-js"] })}`,
      POSTHORN_REDIS_URL: redis ?? `redis://${start({ image: "redis:7-alpine", port: 6379 })}`,
    };
  }
  throw new SetUpError(`${howToInstall("The demo")}\nor set POSTHORN_NATS_URL and POSTHORN_REDIS_URL to servers that run already.`);
}

const [command = "", ...args] = process.argv.slice(2);
try {
  ensureDependencies();
  const node = ensureNode();
  switch (command) {
    case "deps":
      await finish(0);
      break;
    case "demo": {
      ensureProgram(node);
      ensurePage(node);
      const folder = mkdtempSync(join(tmpdir(), "posthorn-demo-"));
      cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
      const servers = await demoServers();
      await finish(await run(node, ["examples/demo/main.ts", ...args], { ...servers, DEMO_FOLDER: folder }));
      break;
    }
    case "start":
      ensureProgram(node);
      ensurePage(node);
      await finish(await run(node, [YOUNG_GENERATION, "dist/main.js", "serve", ...args], FEW_ARENAS));
      break;
    case "example":
      await finish(await run(node, args));
      break;
    case "chaos":
      if (!ensureBinaries()) throw new SetUpError(howToInstall("npm run chaos"));
      ensureProgram(node);
      await finish(await run(node, ["test/chaos/main.ts", ...args]));
      break;
    case "bench": {
      if (!ensureBinaries()) throw new SetUpError(howToInstall("npm run bench"));
      const built = await run(node, ["scripts/build.mjs"]);
      await finish(built === 0 ? await run(node, [join("bench", `${args[0]}.ts`), ...args.slice(1)]) : built);
      break;
    }
    case "test":
      await finish(await runTests(node, args));
      break;
    case "test-changed": {
      const { stdout } = spawnSync(node, [join("scripts", "select-tests.ts"), "changed", ...args], {
        cwd: ROOT,
        encoding: "utf8",
        stdio: ["ignore", "pipe", 2],
      });
      const files = stdout.split("\n").filter((file) => file !== "");
      if (files.length === 0) say("no test reads, imports or runs what has changed");
      await finish(files.length === 0 ? 0 : await runTests(node, files));
      break;
    }
    case "check-clients": {
      if (!ensureBinaries()) throw new SetUpError(howToInstall("npm run check:clients"));
      const args = ["run", "--project", "generated-clients"];
      await finish(
        checkClients() ? await run(node, [join("node_modules", "vitest", "vitest.mjs"), ...args], { GENERATED_CLIENTS: "1" }) : 1,
      );
      break;
    }
    case "fuzz":
      if (!ensureBinaries()) throw new SetUpError(howToInstall("npm run fuzz"));
      await finish(await run(node, [join("node_modules", "vitest", "vitest.mjs"), "run", "fuzz", ...FUZZ, ...args], FUZZ_ENVIRONMENT));
      break;
    default:
      throw new SetUpError(
        `unknown command ${JSON.stringify(command)}, wanted demo, test, test-changed, check-clients, fuzz, chaos, bench, start, example or deps`,
      );
  }
} catch (error) {
  say(error instanceof SetUpError ? error.message : String(error instanceof Error ? error.stack : error));
  await finish(1);
}

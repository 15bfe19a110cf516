/** A private RabbitMQ with its usual settings, and the port mapper that Erlang wants. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBinary, freePort } from "../../scripts/servers.mjs";
import { killAtExit, runningChild } from "./program.ts";
import type { Store } from "./site.ts";
import { sleep } from "./sleep.ts";

const START_TIMEOUT_MS = 60_000;
/** Debian's command on the PATH runs as its own user with the machine's folders; the script behind it takes others. */
const DEBIAN = "/usr/lib/rabbitmq/lib";

export async function startRabbitMq(): Promise<Store> {
  const server = serverScript();
  const epmd = findBinary("epmd");
  if (server === null || epmd === null) throw new Error("rabbitmq-server or epmd was not found (Debian: rabbitmq-server)");
  const folder = mkdtempSync(join(tmpdir(), "posthorn-rabbitmq-"));
  const [port, distributionPort, mapperPort] = [await freePort(), await freePort(), await freePort()];
  writeFileSync(join(folder, "enabled_plugins"), "[].\n");
  const ready = join(folder, "ready.pid");
  const environment = {
    ...{ PATH: process.env["PATH"], HOME: folder, ERL_EPMD_PORT: String(mapperPort), ERL_EPMD_ADDRESS: "127.0.0.1" },
    ...{ RABBITMQ_NODENAME: "bench@localhost", RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1", RABBITMQ_NODE_PORT: String(port) },
    ...{ RABBITMQ_DIST_PORT: String(distributionPort), RABBITMQ_MNESIA_BASE: folder, RABBITMQ_LOG_BASE: folder },
    ...{ RABBITMQ_PID_FILE: ready, RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, "enabled_plugins") },
    ...{ RABBITMQ_CONF_ENV_FILE: join(folder, "none"), RABBITMQ_CONFIG_FILE: join(folder, "none") },
  };
  const mapper = spawn(epmd, [], { env: environment, stdio: "ignore" });
  const child = spawn(server, [], { env: environment, stdio: "ignore" });
  for (const one of [mapper, child]) killAtExit(one);
  const { pid, ended, end } = runningChild(child, (signal) => void child.kill(signal));
  const remove = (): void => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once("exit", remove);
  const until = Date.now() + START_TIMEOUT_MS;
  while (!(await listens(port))) {
    if (ended() !== null || Date.now() > until) throw new Error(`RabbitMQ did not start: ended with ${ended()}`);
    await sleep(200);
  }
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    port,
    pid,
    async stop() {
      await end("SIGTERM");
      mapper.kill();
      remove();
      process.off("exit", remove);
    },
  };
}

function serverScript(): string | null {
  for (const version of existsSync(DEBIAN) ? readdirSync(DEBIAN) : []) {
    const script = join(DEBIAN, version, "sbin", "rabbitmq-server");
    if (existsSync(script)) return script;
  }
  return findBinary("rabbitmq-server");
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

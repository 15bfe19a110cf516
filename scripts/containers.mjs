/** Starts a server in a Docker container on a free port of 127.0.0.1. Plain JavaScript without packages: Node 18 runs it. */
import { spawnSync } from "node:child_process";

/** @returns {boolean} whether a Docker engine answers */
export function hasDocker() {
  return spawnSync("docker", ["info"], { stdio: "ignore" }).status === 0;
}

/**
 * The container and all that it stores are removed when it stops.
 * @param {{ image: string, port: number, command?: string[] }} options
 * @returns {{ address: string, stop: () => void }} the address as `<host>:<port>`
 */
export function startContainer({ image, port, command = [] }) {
  const id = docker("run", "--detach", "--rm", "--publish", `127.0.0.1::${port}`, image, ...command);
  const stop = () => void spawnSync("docker", ["rm", "--force", id], { stdio: "ignore" });
  try {
    return { address: docker("port", id, `${port}/tcp`), stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** @param {string[]} args @returns {string} what the command printed */
function docker(...args) {
  const { status, stdout } = spawnSync("docker", args, { encoding: "utf8", stdio: ["ignore", "pipe", 2] });
  if (status !== 0) throw new Error(`docker ${args[0]} failed, its message is above`);
  return stdout.trim();
}

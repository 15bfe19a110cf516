/** Finds or builds the program of a peer, and runs its commands: those of this machine, or of its released image. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { hasDocker } from "../../scripts/containers.mjs";
import { findBinary } from "../../scripts/servers.mjs";
import type { Peer, Source } from "./peer.ts";

export type Environment = Readonly<Record<string, string>>;

export interface Command {
  readonly command: string;
  readonly args?: readonly string[];
  readonly environment?: Environment;
}

export interface Program {
  readonly version: string;
  /** Runs a command to its end. @returns what it printed */
  run(command: Command): string;
  /** @param folder holds the files that the command is given, and its log */
  spawn(command: Command, folder: string): Running;
}

export interface Running {
  /** The root of its processes. */
  pid(): number;
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Its exit code or signal; null while it runs. */
  ended(): number | string | null;
}

/** Peers of this repository need no program. */
export const NO_PROGRAM: Program = {
  version: "",
  run: () => {
    throw new Error("this peer has no program of its own");
  },
  spawn: () => {
    throw new Error("this peer has no program of its own");
  },
};

/** @param path as the option of the peer says: a checkout, or one of its commands. @returns null: it is nowhere */
export function findProgram(name: string, source: Source, path: string | undefined): Program | null {
  if (path !== undefined) {
    const given = resolve(path);
    if (!existsSync(given)) throw new Error(`--${name} ${path}: no such file or folder`);
    return statSync(given).isDirectory() ? buildProgram(name, source, given) : localProgram(source, dirname(given));
  }
  const [first = ""] = source.commands;
  const found = findBinary(first);
  if (found !== null) return localProgram(source, dirname(found));
  return hasDocker() ? containerProgram(source) : null;
}

export function howToGet({ name, source }: Peer): string {
  if (source === null) return "";
  return `give a checkout of ${source.repository} or a binary by --${name} <path>, put ${source.commands.join(" and ")} on the PATH, or start Docker (${source.image})`;
}

/** Built once for each version of the checkout, outside of it and of this repository. */
function buildProgram(name: string, source: Source, checkout: string): Program {
  const described = execFileSync("git", ["describe", "--tags", "--always", "--dirty"], { cwd: checkout, encoding: "utf8" }).trim();
  // A tag may be a path.
  const version = basename(described);
  const out = join(tmpdir(), "posthorn-peers", `${name}-${version}`);
  const isThere = source.commands.every((command) => existsSync(join(out, command)));
  if (!isThere || version.endsWith("-dirty")) {
    mkdirSync(out, { recursive: true });
    console.log(`building ${name} ${version} in ${checkout}`);
    const [command = "", ...args] = source.build(out);
    const { status } = spawnSync(command, args, { cwd: checkout, stdio: "inherit" });
    if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed in ${checkout}`);
  }
  return localProgram(source, out, version);
}

function localProgram(source: Source, folder: string, known?: string): Program {
  const pathOf = (command: string): string => join(folder, command);
  const run = ({ command, args = [], environment = {} }: Command): string =>
    execFileSync(pathOf(command), args, { encoding: "utf8", stdio: "pipe", env: environmentOf(environment), cwd: tmpdir() });
  const [versionCommand = "", ...versionArgs] = source.version;
  return {
    version: known ?? firstLine(run({ command: versionCommand, args: versionArgs })),
    run,
    spawn: ({ command, args = [], environment = {} }, logFolder) => {
      const child = spawnLogged(pathOf(command), args, environment, logFolder);
      return runningChild(child, (signal) => void child.kill(signal));
    },
  };
}

/** On the host's network, so that it reaches the receiver's loopback addresses, and its processes are seen in /proc. */
function containerProgram(source: Source): Program {
  const argumentsFor = ({ command, args = [], environment = {} }: Command, folder: string, more: readonly string[]): string[] => [
    ...["run", "--rm", "--network", "host", "--volume", `${folder}:${folder}`, ...more],
    ...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...["--entrypoint", source.imagePaths?.[command] ?? command, source.image, ...args],
  ];
  let started = 0;
  return {
    version: source.image,
    run: (command) => execFileSync("docker", argumentsFor(command, tmpdir(), []), { encoding: "utf8" }),
    spawn: (command, folder) => {
      const name = `${basename(folder)}-${++started}`;
      const child = spawnLogged("docker", argumentsFor(command, folder, ["--name", name]), process.env as Environment, folder);
      const { ended, end } = runningChild(child, (signal) => void spawnSync("docker", ["kill", "--signal", signal, name]));
      const pid = (): number => Number(execFileSync("docker", ["inspect", "--format", "{{.State.Pid}}", name], { encoding: "utf8" }));
      return { pid, end, ended };
    },
  };
}

function spawnLogged(path: string, args: readonly string[], environment: Environment, folder: string): ChildProcess {
  const log = openSync(join(folder, `${basename(path)}.log`), "a");
  const child = spawn(path, args, { stdio: ["ignore", log, log], cwd: folder, env: environmentOf(environment) });
  closeSync(log);
  killAtExit(child);
  return child;
}

export function runningChild(child: ChildProcess, kill: (signal: "SIGTERM" | "SIGKILL") => void): Running {
  const ended = (): number | string | null => child.exitCode ?? child.signalCode;
  return {
    pid: () => child.pid ?? 0,
    ended,
    end: (signal) =>
      new Promise((done) => {
        if (ended() !== null) return done();
        child.once("exit", () => done());
        kill(signal);
      }),
  };
}

const children = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

export function killAtExit(child: ChildProcess): void {
  children.add(child);
  child.once("exit", () => children.delete(child));
}

/** Nothing of this shell's settings but where programs and caches are. */
function environmentOf(environment: Environment): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"], HOME: process.env["HOME"], ...environment };
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] ?? "";
}

/** The last of what the commands printed, for a message. */
export function logOf(folder: string, command: string): string {
  const path = join(folder, `${command}.log`);
  return existsSync(path) ? readFileSync(path, "utf8").slice(-2_000) : "";
}

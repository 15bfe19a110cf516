/**
 * Runs the commands of a document as a reader would: every fenced `sh` block, in order, in one shell. A comment in the line
 * before a block says what is special:
 *
 *   <!-- not run: reason -->
 *   <!-- background: name, until: text[, needs: program] -->   goes on in a terminal of its own, instead of the last one of that name
 *   <!-- [needs: program, ]then: name says text -->   the next block waits until that terminal has said it
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { findBinary } from "../../scripts/servers.mjs";
import { eventually } from "./eventually.ts";

export interface Block {
  readonly line: number;
  readonly commands: string;
  readonly notRun: string | null;
  readonly background: { readonly name: string; readonly until: string } | null;
  readonly needs: string | null;
  readonly waitsFor: { readonly name: string; readonly says: string } | null;
}

export function blocksOf(file: string): Block[] {
  const lines = readFileSync(file, "utf8").split("\n");
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (lines[at]?.trim() !== "```sh") continue;
    const indent = (lines[at] ?? "").indexOf("`");
    const end = lines.findIndex((line, index) => index > at && line.trim() === "```");
    const comment = /^\s*<!-- (.*) -->$/.exec(lines[at - 1] ?? "")?.[1] ?? "";
    const named = (name: string): string | null => new RegExp(`(?:^|, )${name}: ([^,]+|.*$)`).exec(comment)?.[1] ?? null;
    const [background, until] = [named("background"), named("until")];
    blocks.push({
      line: at + 1,
      commands: lines
        .slice(at + 1, end)
        .map((line) => line.slice(indent))
        .join("\n"),
      notRun: /^not run: (.+)$/.exec(comment)?.[1] ?? null,
      background: background === null ? null : { name: background, until: until ?? "" },
      needs: named("needs"),
      waitsFor: awaitedOf(named("then")),
    });
    at = end;
  }
  return blocks;
}

function awaitedOf(text: string | null): Block["waitsFor"] {
  const [, name = "", says = ""] = /^(\S+) says (.+)$/.exec(text ?? "") ?? [];
  return text === null ? null : { name, says };
}

export interface RunOptions {
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What stands in the document → what it is here: addresses that a test can't have for itself. */
  readonly replace: ReadonlyArray<readonly [from: string, to: string]>;
  /** Whether what a block needs is there; programs on the PATH when not given. */
  readonly has?: (needed: string) => boolean;
}

const isOnPath = (program: string): boolean => findBinary(program) !== null;

/** @returns everything that was printed. @throws Error naming the line of the block that failed, with what it printed. */
export async function runDocument(file: string, { cwd, environment, replace, has = isOnPath }: RunOptions): Promise<string> {
  const terminals = new Map<string, { readonly child: ChildProcess; readonly printed: () => string }>();
  const exported = { ...environment };
  let transcript = "";

  const start = (commands: string): { child: ChildProcess; printed: () => string } => {
    const text = replace.reduce((changed, [from, to]) => changed.replaceAll(from, to), commands);
    // What the block exports is there for the next ones.
    const script = `set -euo pipefail\n${text}\nprintf '\\0'; env -0`;
    const child = spawn("bash", ["--norc", "-c", script], { cwd, env: exported, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        printed += chunk.toString();
      });
    }
    return { child, printed: () => printed };
  };
  const end = async (name: string): Promise<void> => {
    const child = terminals.get(name)?.child;
    terminals.delete(name);
    if (child?.pid === undefined || child.exitCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    // As Ctrl-C does: the whole group.
    process.kill(-child.pid, "SIGINT");
    await exited;
  };

  try {
    for (const { line, commands, notRun, background, needs, waitsFor } of blocksOf(file)) {
      if (notRun !== null || (needs !== null && !has(needs))) continue;
      if (background !== null) {
        await end(background.name);
        const { child, printed } = start(commands);
        terminals.set(background.name, { child, printed });
        await eventually(() => {
          if (child.exitCode !== null || !printed().includes(background.until)) throw new Error(`${file}:${line} said\n${printed()}`);
          return true;
        });
        child.once("exit", () => {
          transcript += printed();
        });
        continue;
      }
      const { child, printed } = start(commands);
      const code = await new Promise((resolve) => child.once("close", resolve));
      const [said = "", variables = ""] = printed().split(/\0([\s\S]*)/);
      if (code !== 0) throw new Error(`${file}:${line} ended with ${String(code)} and said\n${printed()}`);
      for (const variable of variables.split("\0")) {
        const [name, ...text] = variable.split("=");
        if (name !== undefined && name !== "" && /^\w+$/.test(name)) exported[name] = text.join("=");
      }
      transcript += said;
      if (waitsFor !== null) await eventually(() => terminals.get(waitsFor.name)?.printed().includes(waitsFor.says) === true);
    }
  } finally {
    for (const name of [...terminals.keys()]) await end(name);
  }
  return transcript;
}

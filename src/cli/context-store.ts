/**
 * The contexts of the command line: a name for each Posthorn, with its URL and token, in a file that only its owner can read.
 * One of them is the current one.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf } from "../model/app-error.ts";
import { CommandFailed } from "./exit-codes.ts";

export interface Context {
  readonly url: string;
  readonly token: string | null;
}

export interface Contexts {
  readonly current: string | null;
  readonly contexts: Readonly<Record<string, Context>>;
}

export interface ContextStore {
  readonly file: string;
  /** @throws CommandFailed */
  read(): Contexts;
  /** @throws CommandFailed */
  write(contexts: Contexts): void;
}

export function createContextStore(environment: Readonly<Record<string, string | undefined>>): ContextStore {
  const folder = environment["XDG_CONFIG_HOME"] || join(environment["HOME"] || homedir(), ".config");
  const file = join(folder, "posthorn", "contexts.json");

  return {
    file,
    read() {
      let text: string;
      try {
        text = readFileSync(file, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return { current: null, contexts: {} };
        throw new CommandFailed(`${file}: can't be read (${messageOf(error)})`);
      }
      const found = jsonOf(text);
      // Its text may hold tokens, so it isn't quoted.
      if (!areContexts(found)) throw new CommandFailed(`${file}: found no contexts, wanted a file that posthorn context add has written`);
      return found;
    },
    write(changed) {
      const written = `${file}.${process.pid}`;
      try {
        mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
        writeFileSync(written, `${JSON.stringify(changed, null, 2)}\n`, { mode: 0o600 });
        // The file of an interrupted write keeps its mode.
        chmodSync(written, 0o600);
        renameSync(written, file);
      } catch (error) {
        throw new CommandFailed(`${file}: can't be written (${messageOf(error)})`);
      }
    },
  };
}

/** @throws CommandFailed */
export function contextNamed({ contexts: all }: Contexts, name: string): Context {
  const found = Object.hasOwn(all, name) ? all[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(all);
  throw new CommandFailed(
    `no context ${name}; ${names.length === 0 ? "there are none: posthorn context add" : `there are ${names.join(", ")}`}`,
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const isText = (value: unknown): value is string => typeof value === "string";
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function areContexts(value: unknown): value is Contexts {
  if (!isObject(value) || !isObject(value["contexts"])) return false;
  const isContext = (one: unknown): boolean => isObject(one) && isText(one["url"]) && (one["token"] === null || isText(one["token"]));
  return (value["current"] === null || isText(value["current"])) && Object.values(value["contexts"]).every(isContext);
}

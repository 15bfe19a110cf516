/** Parses command-line words into a command and its values with parseArgs; every mistake gets a message that says what was wanted. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { messageOf } from "../model/app-error.ts";
import { nearest } from "../model/nearest.ts";
import { type Command, flag, type Options, type Reading, value } from "./command.ts";
import { UsageError } from "./exit-codes.ts";
import { UTC, type Zone } from "./zone.ts";

export const COMMON_OPTIONS = {
  json: flag("Prints one JSON object per line, for programs."),
  utc: flag("Shows and reads times in UTC instead of local time."),
  help: flag("Shows this help."),
} as const satisfies Options;

export const API_OPTIONS = {
  url: value("url", "The service; POSTHORN_URL, the current context's or http://127.0.0.1:8080 by default."),
  token: value("token", "The bearer token; better in POSTHORN_TOKEN or a context, which no process list shows."),
  context: value("name", "The context with the service and its token, from those in posthorn context list."),
} as const satisfies Options;

/** The zone of times; `local` is the machine's. */
export interface ReadingOptions {
  readonly local: Zone;
  readonly now: number;
}

export interface ParsedCommand {
  readonly zone: Zone;
  readonly values: Readonly<Record<string, unknown>>;
  readonly operands: readonly string[];
}

/** All options of a command. */
export function optionsOf({ options, usesApi }: Command): Options {
  return { ...options, ...(usesApi ? API_OPTIONS : {}), ...COMMON_OPTIONS };
}

/** The command that the words start with, and the remaining words. @throws UsageError */
export function findCommand(commands: readonly Command[], words: readonly string[]): { command: Command; rest: readonly string[] } {
  const [first = "", second = ""] = words;
  const named = (name: string): Command | undefined => commands.find((candidate) => candidate.name === name);
  const whole = named(`${first} ${second}`);
  if (whole !== undefined) return { command: whole, rest: words.slice(2) };
  const single = named(first);
  if (single !== undefined) return { command: single, rest: words.slice(1) };
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  // A group alone stands for its `list` command.
  const listing = named(`${first} list`);
  if (listing !== undefined && (second === "" || second.startsWith("-"))) return { command: listing, rest: words.slice(1) };
  if (group.length > 0) {
    const names = group.map(({ name }) => name.split(" ")[1] ?? "");
    throw new UsageError(`${first}: no such command ${JSON.stringify(second)}${didYouMean(second, names)}; it has ${names.join(", ")}`);
  }
  const names = [...new Set(commands.map(({ name }) => name.split(" ")[0] ?? ""))];
  throw new UsageError(`no such command ${JSON.stringify(first)}${didYouMean(first, names)}; see posthorn help`);
}

/** @throws UsageError */
export function parseCommand(command: Command, words: readonly string[], { local, now }: ReadingOptions): ParsedCommand {
  const options = optionsOf(command);
  const found = readWords(options, words);
  const zone = found.values["utc"] === true ? UTC : local;
  if (found.values["help"] === true) return { values: { help: true }, operands: [], zone };
  const reading = { zone, now };
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const given = found.values[name];
    if (option.kind === "flag") values[name] = given === true;
    else if (option.kind === "list") values[name] = ((given ?? []) as string[]).map((text) => parsed(name, text, option.parse, reading));
    else values[name] = given === undefined ? undefined : parsed(name, given as string, option.parse, reading);
  }
  checkOperands(command, found.positionals);
  return { values, operands: found.positionals, zone };
}

function readWords(
  options: Options,
  words: readonly string[],
): { values: Readonly<Record<string, unknown>>; positionals: readonly string[] } {
  const config: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, { kind }] of Object.entries(options)) {
    config[name] = { type: kind === "flag" ? "boolean" : "string", multiple: kind === "list" };
  }
  try {
    return parseArgs({ args: [...words], options: { ...config, help: { type: "boolean", short: "h" } }, allowPositionals: true });
  } catch (error) {
    const unknown = /Unknown option '(-[^']+)'/.exec(messageOf(error))?.[1];
    if (unknown === undefined) throw new UsageError(firstSentence(messageOf(error)));
    throw new UsageError(`no such option ${unknown}${didYouMean(unknown.replace(/^-+/, ""), Object.keys(options), "--")}`);
  }
}

/** Drops the hint of parseArgs about positional arguments that start with a dash. */
function firstSentence(message: string): string {
  return (message.split(/\. |\n/)[0] ?? message).replace(/^Option '(?:-\w, )?(--[a-z-]+)(?: <value>)?'/, "option $1");
}

function parsed<T>(name: string, text: string, parse: (text: string, reading: Reading) => T, reading: Reading): T {
  try {
    return parse(text, reading);
  } catch (error) {
    throw new UsageError(`--${name}: found ${JSON.stringify(text)}, ${messageOf(error)}`);
  }
}

function checkOperands({ name, operands }: Command, found: readonly string[]): void {
  const required = operands.filter((operand) => operand.startsWith("<"));
  const takesMany = operands.at(-1)?.endsWith("...") ?? false;
  if (found.length < required.length) throw new UsageError(`${name}: ${required[found.length]} is missing`);
  if (!takesMany && found.length > operands.length) {
    throw new UsageError(`${name}: unexpected argument ${JSON.stringify(found[operands.length])}`);
  }
}

function didYouMean(word: string, candidates: readonly string[], prefix = ""): string {
  const near = nearest(word, candidates);
  return near === undefined ? "" : `, did you mean ${prefix}${near}?`;
}

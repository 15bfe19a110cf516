/** Help texts, generated from the commands. */
import type { Command, Option, Options } from "./command.ts";
import { API_OPTIONS, COMMON_OPTIONS } from "./command-line.ts";
import { EXIT_CODES } from "./exit-codes.ts";

export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "posthorn: the webhook delivery service, and commands for a running one.",
    "",
    "usage: posthorn <command> [options]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "  posthorn help <command>  or  posthorn <command> --help   shows the options of a command",
    "  posthorn --version",
    "",
    "Commands talk to the service at POSTHORN_URL (http://127.0.0.1:8080) with the token POSTHORN_TOKEN.",
    "",
    "exit codes:",
    ...Object.entries(EXIT_CODES).map(([code, about]) => `  ${code.padStart(3)}  ${about}`),
  ].join("\n");
}

export function usageOf(command: Command): string {
  const { options, usesApi, summary, details, examples } = command;
  return [
    synopsis(command),
    "",
    summary,
    ...(details === undefined ? [] : ["", details]),
    "",
    "options:",
    ...optionLines({ ...options, ...(usesApi ? API_OPTIONS : {}), ...COMMON_OPTIONS }),
    ...(examples.length === 0 ? [] : ["", "examples:", ...examples.map((example) => `  posthorn ${example}`)]),
  ].join("\n");
}

export function synopsis({ name, operands, options }: Command): string {
  return `usage: posthorn ${[name, ...operands].join(" ")}${Object.keys(options).length > 0 ? " [options]" : ""}`;
}

function optionLines(options: Options): string[] {
  const rows = Object.entries(options).map(([name, option]) => [optionText(name, option), aboutOf(option)] as const);
  const width = Math.max(...rows.map(([text]) => text.length));
  return rows.map(([text, about]) => `  ${text.padEnd(width)}  ${about}`);
}

export function optionText(name: string, option: Option): string {
  return option.kind === "flag" ? `--${name}` : `--${name} ${option.value}`;
}

export function aboutOf(option: Option): string {
  return option.kind === "list" ? `${option.about} Repeatable.` : option.about;
}

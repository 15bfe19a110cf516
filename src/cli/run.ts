/** Runs one command line: finds the command, runs it, and turns an error into a message, hints and an exit code. */
import { type ApiClient, ApiError, createApiClient } from "../client/create-api-client.ts";
import type { ClientConfig } from "../config/client-settings.ts";
import { ConfigError, loadClientConfig } from "../config/load-config.ts";
import { VERSION } from "../config/version.ts";
import { messageOf } from "../model/app-error.ts";
import { nearest } from "../model/nearest.ts";
import type { CommandCall, Options, Surroundings } from "./command.ts";
import { findCommand, parseCommand } from "./command-line.ts";
import { COMMANDS } from "./commands.ts";
import { EXIT, type ExitCode, exitCodeOf, UsageError } from "./exit-codes.ts";
import { createOutput, type OutputStream } from "./output.ts";
import { take } from "./take.ts";
import { overview, synopsis, usageOf } from "./usage.ts";
import { parseExactly } from "./values.ts";

export interface Terminal extends Surroundings {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

const VERSION_WORDS: readonly string[] = ["-v", "--version", "version"];
const MAX_APPS_COMPARED = 1000;
const HELP_WORDS: readonly string[] = ["-h", "--help"];

export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { stdout, stderr, environment, signal } = terminal;
  const say = createOutput({ stdout, stderr, environment, json: false });
  const [first] = words;
  if (first !== undefined && VERSION_WORDS.includes(first)) {
    say.line(VERSION);
    return EXIT.ok;
  }
  if (first === undefined || HELP_WORDS.includes(first)) {
    say.line(overview(COMMANDS));
    // Without a command: a supervisor that expects the service to run must not take this for success.
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  let api: ApiClient | undefined;
  let operands: readonly string[] = [];
  try {
    const { command, rest } = findCommand(COMMANDS, words);
    const parsed = parseCommand(command, rest);
    ({ operands } = parsed);
    if (parsed.values["help"] === true) {
      say.line(usageOf(command));
      return EXIT.ok;
    }
    let config: ClientConfig | undefined;
    const call: CommandCall<Options> = {
      ...terminal,
      options: parsed.values as CommandCall<Options>["options"],
      operands,
      output: createOutput({ stdout, stderr, environment, json: parsed.values["json"] === true }),
      config: () => (config ??= loadClientConfig(environment)),
      api() {
        const { url, token } = parsed.values as { url?: string; token?: string };
        api ??= createApiClient({
          url: url ?? call.config().url,
          token: token ?? call.config().token ?? undefined,
          parse: parseExactly,
        });
        return api;
      },
    };
    return (await command.run(call)) ?? EXIT.ok;
  } catch (error) {
    if (signal.aborted) return EXIT.interrupted;
    say.problem(`${error instanceof ConfigError ? "" : "posthorn: "}${messageOf(error)}`);
    for (const hint of await hintsFor(error, words, operands, api)) say.note(hint);
    return exitCodeOf(error);
  }
}

async function hintsFor(
  error: unknown,
  words: readonly string[],
  operands: readonly string[],
  api: ApiClient | undefined,
): Promise<string[]> {
  if (error instanceof UsageError) {
    try {
      const { command } = findCommand(COMMANDS, words);
      return [`${synopsis(command)}\nposthorn ${command.name} --help shows its options`];
    } catch {
      return [];
    }
  }
  if (!(error instanceof ApiError)) return [];
  if (error.code === "API_UNREACHABLE") {
    return ["Is Posthorn running there? posthorn serve starts it; POSTHORN_URL or --url sets another address."];
  }
  if (error.code === "PRECONDITION_FAILED") {
    const [group = "", verb] = words;
    return [verb === "add" ? `posthorn ${group} set changes an existing one.` : "It was changed in the meantime: try again."];
  }
  if (error.code === "UNAUTHORIZED") return ["Set POSTHORN_TOKEN to one of the service's POSTHORN_API_TOKENS."];
  const slug = /^no app (\S+)$/.exec(error.message)?.[1];
  if (error.code === "NOT_FOUND" && slug !== undefined && operands.includes(slug)) return nearestApp(slug, api);
  return [];
}

async function nearestApp(slug: string, api: ApiClient | undefined): Promise<string[]> {
  try {
    if (api === undefined) return [];
    const { rows } = await take(api.items("GET /v1/apps"), MAX_APPS_COMPARED);
    const near = nearest(
      slug,
      rows.map((app) => app.slug),
    );
    return near === undefined ? [] : [`Did you mean ${near}?`];
  } catch {
    // The original error is the one to report.
    return [];
  }
}

/** Runs one command line: finds the command, runs it, and turns an error into a message, hints and an exit code. */
import { type ApiClient, ApiError, createApiClient } from "../client/create-api-client.ts";
import type { ClientConfig } from "../config/client-settings.ts";
import { ConfigError, loadClientConfig } from "../config/load-config.ts";
import { VERSION } from "../config/version.ts";
import { messageOf } from "../model/app-error.ts";
import { nearest } from "../model/nearest.ts";
import { replaceTimes } from "../model/rfc3339.ts";
import type { CommandCall, Options, Surroundings } from "./command.ts";
import { findCommand, parseCommand } from "./command-line.ts";
import { COMMANDS } from "./commands.ts";
import { type ConnectionOptions, connectionOf } from "./connection.ts";
import { createContextStore } from "./context-store.ts";
import { EXIT, type ExitCode, exitCodeOf, UsageError } from "./exit-codes.ts";
import { createOutput, type OutputStream } from "./output.ts";
import { take } from "./take.ts";
import { overview, synopsis, usageOf } from "./usage.ts";
import { parseExactly } from "./values.ts";
import { createZone, timeIn } from "./zone.ts";

export interface Terminal extends Surroundings {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
}

const VERSION_WORDS: readonly string[] = ["-v", "--version", "version"];
const MAX_APPS_COMPARED = 1000;
const HELP_WORDS: readonly string[] = ["-h", "--help"];

export async function runCommandLine(words: readonly string[], terminal: Terminal): Promise<ExitCode> {
  const { stdout, stderr, environment, signal } = terminal;
  const local = createZone(environment["TZ"]);
  const say = createOutput({ stdout, stderr, environment, json: false, zone: local });
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
  let context: string | null = null;
  let operands: readonly string[] = [];
  let zone = local;
  try {
    const { command, rest } = findCommand(COMMANDS, words);
    const parsed = parseCommand(command, rest, { local, now: Date.now() });
    ({ operands, zone } = parsed);
    if (parsed.values["help"] === true) {
      say.line(usageOf(command));
      return EXIT.ok;
    }
    let config: ClientConfig | undefined;
    const loadConfig = (): ClientConfig => {
      if (!command.usesApi) return loadClientConfig(environment);
      const connection = connectionOf(parsed.values as ConnectionOptions, environment, createContextStore(environment));
      ({ context } = connection);
      return loadClientConfig(connection.environment);
    };
    const call: CommandCall<Options> = {
      ...terminal,
      options: parsed.values as CommandCall<Options>["options"],
      operands,
      output: createOutput({ stdout, stderr, environment, json: parsed.values["json"] === true, zone: parsed.zone }),
      config: () => (config ??= loadConfig()),
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
    // The command line is quoted as it was written.
    const message = error instanceof UsageError ? error.message : replaceTimes(messageOf(error), (at) => timeIn(zone, at));
    say.problem(`${error instanceof ConfigError ? "" : "posthorn: "}${message}`);
    for (const hint of await hintsFor(error, { words, operands, api, context })) say.note(hint);
    return exitCodeOf(error);
  }
}

interface FailedCall {
  readonly words: readonly string[];
  readonly operands: readonly string[];
  readonly api: ApiClient | undefined;
  /** The context that the URL is from. */
  readonly context: string | null;
}

async function hintsFor(error: unknown, { words, operands, api, context }: FailedCall): Promise<string[]> {
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
    const other = context === null ? "POSTHORN_URL, --url or --context sets another address" : `It is the address of context ${context}`;
    return [`Is Posthorn running there? posthorn serve starts it. ${other}.`];
  }
  if (error.code === "PRECONDITION_FAILED") {
    const [group = "", verb] = words;
    return [verb === "add" ? `posthorn ${group} set changes an existing one.` : "It was changed in the meantime: try again."];
  }
  if (error.code === "UNAUTHORIZED")
    return ["Set POSTHORN_TOKEN to one of the service's POSTHORN_API_TOKENS, or add a context: posthorn context add --help"];
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

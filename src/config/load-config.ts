/** Reads the POSTHORN_ variables, which no other file does, into a frozen Config, and reports all problems at once. */
import { readFileSync } from "node:fs";
import { AppError, messageOf } from "../model/app-error.ts";
import { escapeControls } from "../model/escape-controls.ts";
import { nearest } from "../model/nearest.ts";
import { CLIENT_SETTINGS, type ClientConfig, COMMAND_SETTINGS } from "./client-settings.ts";
import type { Setting } from "./setting.ts";
import { type Config, SETTINGS } from "./settings.ts";
import { formatDuration } from "./values.ts";

const PREFIX = "POSTHORN_";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Has one problem per setting, each naming its variable; main.ts exits with 78. */
export class ConfigError extends AppError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[], who = "Posthorn can't start") {
    const lines = problems.map(escapeControls);
    super("CONFIG_INVALID", `${who} with these settings:\n${lines.map((line) => `  ${line}`).join("\n")}`);
    this.problems = lines;
  }
}

/** @throws ConfigError */
export function loadConfig(environment: Environment = process.env): Config {
  const problems: string[] = [];
  const config = readSettings(SETTINGS, environment, problems) as unknown as Config;
  // The service doesn't use them, but a wrong variable never passes unnoticed.
  readSettings(CLIENT_SETTINGS, environment, problems);
  // Contradictions are only looked for between valid settings.
  if (problems.length === 0) problems.push(...contradictions(config, environment));
  problems.unshift(...unknownSettings(environment));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

/** Reads the settings of the command line and ignores all others. @throws ConfigError */
export function loadClientConfig(environment: Environment): ClientConfig {
  const problems: string[] = [];
  const config = readSettings(COMMAND_SETTINGS, environment, problems) as unknown as ClientConfig;
  if (problems.length > 0) throw new ConfigError(problems, "The command can't run");
  return Object.freeze(config);
}

function readSettings(table: object, environment: Environment, problems: string[]): Record<string, unknown> {
  const config: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table as Readonly<Record<string, Setting<unknown>>>)) {
    try {
      config[camelCase(name)] = readSetting(name, setting, environment);
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  return config;
}

function readSetting(name: string, { parse, check, secret, default: byDefault }: Setting<unknown>, environment: Environment): unknown {
  const variable = PREFIX + name;
  const direct = environment[variable];
  const file = secret ? environment[`${variable}_FILE`] : undefined;
  if (direct !== undefined && file !== undefined) {
    throw new Error(`${variable}: set together with ${variable}_FILE, wanted only one of them`);
  }
  const text = file === undefined ? (direct ?? byDefault) : readSecretFile(`${variable}_FILE`, file);
  if (text === undefined) return null;
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new Error(`${variable}: ${secret ? "" : `found ${JSON.stringify(text)}, `}${messageOf(error)}`);
  }
  const wanted = check?.(value);
  if (wanted) throw new Error(`${variable}: found ${JSON.stringify(text)}, ${wanted}`);
  return value;
}

function readSecretFile(variable: string, path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new Error(`${variable}: can't read ${JSON.stringify(path)} (${messageOf(error)})`);
  }
}

function unknownSettings(environment: Environment): string[] {
  const known = new Set<string>();
  for (const [name, { secret }] of Object.entries({ ...SETTINGS, ...CLIENT_SETTINGS } as Readonly<Record<string, Setting<unknown>>>)) {
    known.add(name);
    if (secret) known.add(`${name}_FILE`);
  }
  return Object.keys(environment)
    .filter((variable) => variable.startsWith(PREFIX) && !known.has(variable.slice(PREFIX.length)) && environment[variable] !== undefined)
    .map((variable) => {
      const near = nearest(variable.slice(PREFIX.length), known);
      return `${variable}: no such setting${near ? `, did you mean ${PREFIX}${near}?` : ""}`;
    });
}

/** Settings that are valid alone but not together. */
function contradictions(config: Config, environment: Environment): string[] {
  const problems: string[] = [];
  if (!isLoopback(config.httpHost) && config.apiTokens.length === 0) {
    problems.push(
      `POSTHORN_HTTP_HOST: found ${JSON.stringify(config.httpHost)} without POSTHORN_API_TOKENS, wanted tokens or a loopback address`,
    );
  }
  if (config.circuitMaxOpenTime < config.circuitOpenTime) {
    const [longest, first] = [config.circuitMaxOpenTime, config.circuitOpenTime].map(formatDuration);
    problems.push(`POSTHORN_CIRCUIT_MAX_OPEN_TIME: found ${longest}, wanted at least POSTHORN_CIRCUIT_OPEN_TIME, ${first}`);
  }
  if (config.testClock !== null && environment["NODE_ENV"] === "production") {
    problems.push("POSTHORN_TEST_CLOCK: set together with NODE_ENV=production, wanted it unset: it is for tests only");
  }
  for (const server of ["nats", "redis"] as const) {
    const name = `POSTHORN_${server.toUpperCase()}`;
    if ((config[`${server}CertFile`] === null) !== (config[`${server}KeyFile`] === null)) {
      problems.push(`${name}_CERT_FILE, ${name}_KEY_FILE: found one of them, wanted both or none`);
    }
  }
  if ((config.redisCaFile ?? config.redisCertFile) !== null && !config.redisUrl.startsWith("rediss:")) {
    problems.push("POSTHORN_REDIS_URL: found files for TLS and no TLS, wanted rediss://…");
  }
  if (config.encryptionKey === null && config.encryptionKeyPrevious.length > 0) {
    problems.push("POSTHORN_ENCRYPTION_KEY_PREVIOUS: found without POSTHORN_ENCRYPTION_KEY, wanted both");
  }
  const keyIds = [config.encryptionKey, ...config.encryptionKeyPrevious].map((key) => key?.id);
  const twice = keyIds.find((id, at) => keyIds.indexOf(id) !== at);
  if (twice !== undefined) {
    problems.push(`POSTHORN_ENCRYPTION_KEY, POSTHORN_ENCRYPTION_KEY_PREVIOUS: found key id ${twice} twice, wanted an id for each key`);
  }
  return problems;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

export function camelCase(name: string): string {
  return name.toLowerCase().replace(/_([a-z])/g, (_, initial: string) => initial.toUpperCase());
}

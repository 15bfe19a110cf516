/** Defines a command: parsing, help, completion and the reference page are derived from the same value. */
import type { ApiClient } from "../client/create-api-client.ts";
import type { ClientConfig } from "../config/client-settings.ts";
import type { ExitCode } from "./exit-codes.ts";
import type { Output } from "./output.ts";
import type { Zone } from "./zone.ts";

export interface Flag {
  readonly kind: "flag";
  readonly about: string;
}

/** The zone and the time that a value such as `10:05` depends on. */
export interface Reading {
  readonly zone: Zone;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface ValueOption<T> {
  readonly kind: "value";
  /** Placeholder of the value in the help: `<slug>`. */
  readonly value: string;
  readonly about: string;
  /** @throws Error that says what was wanted */
  readonly parse: (text: string, reading: Reading) => T;
  readonly choices?: readonly string[];
}

/** Can be repeated. */
export interface ListOption<T> extends Omit<ValueOption<T>, "kind"> {
  readonly kind: "list";
}

/** Each option has a value type of its own. */
export type Option = Flag | ValueOption<any> | ListOption<any>;
export type Options = Readonly<Record<string, Option>>;

export type OptionValues<O extends Options> = {
  readonly [N in keyof O]: O[N] extends Flag
    ? boolean
    : O[N] extends ValueOption<infer T>
      ? T | undefined
      : O[N] extends ListOption<infer T>
        ? readonly T[]
        : never;
};

export const flag = (about: string): Flag => ({ kind: "flag", about });
export const value = <T = string>(
  name: string,
  about: string,
  parse: (text: string, reading: Reading) => T = String as unknown as (text: string) => T,
): ValueOption<T> => ({ kind: "value", value: `<${name}>`, about, parse });
export const list = <T = string>(name: string, about: string, parse?: (text: string, reading: Reading) => T): ListOption<T> => ({
  ...value(name, about, parse),
  kind: "list",
});
/** Values from a fixed set. */
export interface ChoiceOption<T> extends ValueOption<T> {
  readonly parse: (text: string) => T;
}

export const choice = <const T extends string>(choices: readonly T[], about: string): ChoiceOption<T> => ({
  kind: "value",
  value: `<${choices.join("|")}>`,
  about,
  choices,
  parse(text) {
    const found = choices.find((candidate) => candidate === text);
    if (found === undefined) throw new Error(`wanted one of ${choices.join(", ")}`);
    return found;
  },
});

/** The environment of a command; main.ts provides the real one. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  /** All of standard input. */
  readonly readInput: () => Promise<string>;
  /** Runs the service until it stops. */
  readonly serve: () => Promise<ExitCode>;
  readonly reEncrypt: () => Promise<ExitCode>;
}

export interface CommandCall<O extends Options> extends Surroundings {
  readonly options: OptionValues<O>;
  /** Their number matches the command's `operands`. */
  readonly operands: readonly string[];
  readonly output: Output;
  /** @throws ConfigError */
  readonly config: () => ClientConfig;
  /** @throws ConfigError */
  readonly api: () => ApiClient;
}

export interface Command {
  /** One word or two: `apps list`. */
  readonly name: string;
  readonly summary: string;
  /** `<slug>`, `[slug]`, `<sequence>...`. */
  readonly operands: readonly string[];
  readonly options: Options;
  /** The command calls the service, and has the options --url and --token. */
  readonly usesApi: boolean;
  readonly details?: string;
  /** Command lines without the leading `posthorn`. */
  readonly examples: readonly string[];
  readonly run: (call: CommandCall<Options>) => Promise<ExitCode | undefined>;
}

interface CommandDefinition<O extends Options> extends Omit<Command, "operands" | "options" | "usesApi" | "run"> {
  readonly operands?: readonly string[];
  readonly options?: O;
  readonly usesApi?: boolean;
  readonly run: (call: CommandCall<O>) => Promise<ExitCode | undefined>;
}

// biome-ignore lint/complexity/noBannedTypes: a command without options of its own.
export function command<O extends Options = {}>({ operands = [], options, usesApi = true, ...rest }: CommandDefinition<O>): Command {
  return { operands, options: options ?? {}, usesApi, ...rest } as unknown as Command;
}

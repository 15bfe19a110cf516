/** Defines a setting, with shorthands for common kinds; settings.ts has the table. */
import {
  formatDuration,
  formatSize,
  parseCertificateFile,
  parseChoice,
  parseDuration,
  parseIntegerWithin,
  parseKeyFile,
  parseSize,
} from "./values.ts";

/** One setting: environment variable POSTHORN_<name>. */
export interface Setting<T> {
  readonly parse: (text: string) => T;
  /** The default as written in the environment; without one the value is null. */
  readonly default?: string;
  readonly form: string;
  readonly about: string;
  readonly group: string;
  /** Also readable from a file named by POSTHORN_<name>_FILE, and masked wherever settings are shown. */
  readonly secret?: boolean;
  /** Checks the parsed value; returns what was wanted, or null. */
  readonly check?: (value: T) => string | null;
}

/** A setting that always has a value. */
export function setting<T>(definition: Setting<T> & { default: string }): Setting<T> & { default: string } {
  return definition;
}

/** A setting that is null when not set. */
export function optional<T>(definition: Setting<T>): Setting<T> {
  return definition;
}

/** Upper bound of every timeout setting. */
export const LONGEST_WAIT_MS = 3_600_000;

interface Described {
  readonly group: string;
  readonly about: string;
}

export function duration(
  byDefault: string,
  { group, about }: Described,
  minimumMs = 1,
  maximumMs = Number.POSITIVE_INFINITY,
): Setting<number> & { default: string } {
  return setting({
    parse: parseDuration,
    default: byDefault,
    form: "duration",
    group,
    about,
    check: (ms) => {
      if (ms < minimumMs) return `wanted at least ${formatDuration(minimumMs)}`;
      return ms > maximumMs ? `wanted at most ${formatDuration(maximumMs)}` : null;
    },
  });
}

export function integer(
  byDefault: string,
  { group, about }: Described,
  minimum = 1,
  maximum = Number.MAX_SAFE_INTEGER,
): Setting<number> & { default: string } {
  const parse = parseIntegerWithin(minimum, maximum);
  return setting({ parse, default: byDefault, form: "whole number", group, about });
}

export function yesNo(byDefault: "true" | "false", { group, about }: Described): Setting<boolean> & { default: string } {
  const parse = parseChoice(["true", "false"]);
  return setting({ parse: (text) => parse(text) === "true", default: byDefault, form: "`true` or `false`", group, about });
}

export function size(byDefault: string, { group, about }: Described, minimumBytes = 1): Setting<number> & { default: string } {
  return setting({
    parse: parseSize,
    default: byDefault,
    form: "size",
    group,
    about,
    check: (bytes) => (bytes >= minimumBytes ? null : `wanted at least ${formatSize(minimumBytes)}`),
  });
}

/** The value is the text of the PEM file that the setting names, read once at the start. */
export function certificateFile({ group, about }: Described): Setting<string> {
  return optional({ parse: parseCertificateFile, form: "path of a PEM file", group, about });
}

export function keyFile({ group, about }: Described): Setting<string> {
  return optional({ parse: parseKeyFile, form: "path of a PEM file", group, about });
}

/** Exit codes, after sysexits.h where it has one. The reference page and `posthorn help` print this table. */
import { ApiError } from "../client/create-api-client.ts";
import { AppError } from "../model/app-error.ts";

export const EXIT = { ok: 0, failed: 1, usage: 64, data: 65, unavailable: 69, permission: 77, config: 78, interrupted: 130 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODES: Readonly<Record<ExitCode, string>> = {
  0: "success; also when Ctrl-C ends a command that follows something",
  1: "failure: not found, a conflict, a failed test call, replay or conformance check, no status event; serve: work was left for the next process",
  64: "the command line is wrong, or names no command",
  65: "the service rejected the input as invalid",
  69: "the service or the bus did not answer, or is unavailable",
  77: "the token is missing, unknown, or does not cover the call",
  78: "a setting or a stream has to be fixed first",
  130: "interrupted",
};

/** A wrong command line; the usage of the command is shown with it. */
export class UsageError extends Error {}

/** The command failed; the message says why. */
export class CommandFailed extends Error {}

/** Faults that a person has to fix in the settings or on the servers. */
const NEEDS_FIXING: ReadonlySet<string> = new Set(["CONFIG_INVALID", "SECRET_UNREADABLE", "STREAM_MISMATCH"]);

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof CommandFailed) return EXIT.failed;
  if (error instanceof ApiError) return ofStatus(error.problem?.status ?? null);
  if (error instanceof AppError) {
    if (NEEDS_FIXING.has(error.code)) return EXIT.config;
    return error.retryable ? EXIT.unavailable : EXIT.failed;
  }
  return EXIT.failed;
}

function ofStatus(status: number | null): ExitCode {
  if (status === null || status >= 500 || status === 429) return EXIT.unavailable;
  if (status === 401 || status === 403) return EXIT.permission;
  return [400, 413, 414, 415].includes(status) ? EXIT.data : EXIT.failed;
}

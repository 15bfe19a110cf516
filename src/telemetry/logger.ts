/**
 * Structured logs: JSON on standard output (or lines for people, telemetry/pretty-lines.ts), one object a line, `time` in RFC 3339 and `level` in words. Made by pino; lines of
 * a few milliseconds leave in one write, which is the dearer half of a line. Errors leave at once.
 */
import { isatty } from "node:tty";
import { pino } from "pino";
import type { Logger } from "../model/logger.ts";
import { prettyLines } from "./pretty-lines.ts";

/** Members that are secret wherever they turn up. */
const SECRET_PATHS = ["client_secret", "*.client_secret", "authorization", "*.authorization", "password", "*.password"];

/** How long lines are collected: as long as what they tell of is on its way to the request log. */
const COLLECT_MS = 5;
const URGENT = /^\{"level":"(?:error|fatal)"/;
/** Characters that are kept for one write. */
const MOST_AT_ONCE = 64 * 1024;

export interface LogDestination {
  write(lines: string): unknown;
}

export interface Log {
  readonly logger: Logger;
  /** Down to debug, whatever the level of the settings: for what was asked for while the process runs. */
  readonly verbose: Logger;
  /**
   * A line whose members are JSON text already (`"a":1,"b":2`), with nothing secret in it: redaction by paths costs several
   * times as much as the line. They are asked for only when it is written. @param isAsked it is written whatever the level of the settings.
   */
  line(level: "info" | "warn", members: () => string, message: string, isAsked: boolean): void;
  /** Writes what has been logged so far; for the end of the process. */
  flush(): void;
}

/** `auto`: pretty on a terminal, JSON elsewhere. */
export const LOG_FORMATS = ["auto", "json", "pretty"] as const;

export type LogFormat = (typeof LOG_FORMATS)[number];

/** Standard output in this format. */
export function logOutput(format: LogFormat): LogDestination {
  const output = pino.destination({ dest: 1, sync: true });
  const isTerminal = isatty(1);
  if (format === "json" || (format === "auto" && !isTerminal)) return output;
  return { write: (lines) => output.write(prettyLines(lines, isTerminal)) };
}

export function createLog(level: string, output: LogDestination): Log {
  let lines = "";
  const flush = (): void => {
    if (lines === "") return;
    output.write(lines);
    lines = "";
  };
  const destination: LogDestination = {
    write(line) {
      if (lines === "") setTimeout(flush, COLLECT_MS);
      lines += line;
      if (lines.length > MOST_AT_ONCE || URGENT.test(line)) flush();
    },
  };
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: "message",
      formatters: { level: (label: string) => ({ level: label }) },
      redact: { paths: SECRET_PATHS, censor: "[redacted]" },
    },
    destination,
  );
  const verbose = logger.isLevelEnabled("debug") ? logger : logger.child({}, { level: "debug" });
  const isEnabled = { info: logger.isLevelEnabled("info"), warn: logger.isLevelEnabled("warn") };
  const now = createTimestamps();

  return {
    logger,
    verbose,
    line(of, members, message, isAsked) {
      if (isEnabled[of] || isAsked) destination.write(`{"level":"${of}","time":"${now()}",${members()},"message":"${message}"}\n`);
    },
    flush,
  };
}

/** RFC 3339; the text of one millisecond is made once. */
function createTimestamps(): () => string {
  let at = 0;
  let text = "";
  return () => {
    const now = Date.now();
    if (now !== at) {
      at = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}

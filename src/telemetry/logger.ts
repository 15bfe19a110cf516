/**
 * Structured logs by pino: JSON on standard output, or lines for people (pretty-lines.ts); one object a line, `time` in RFC 3339 and `level` in words. Lines of a few
 * milliseconds share one write, since the write costs more than half of a line. Errors are written at once.
 */
import { isatty } from "node:tty";
import { pino } from "pino";
import type { Logger } from "../model/logger.ts";
import { untilTick } from "../model/shared-tick.ts";
import { prettyLines } from "./pretty-lines.ts";

/** Members that are redacted in every line. */
const SECRET_PATHS = ["client_secret", "*.client_secret", "authorization", "*.authorization", "password", "*.password"];

const URGENT = /^\{"level":"(?:error|fatal)"/;
/** Characters collected for one write. */
const MAX_COLLECTED = 64 * 1024;

export interface LogDestination {
  write(lines: string): unknown;
}

export interface Log {
  readonly logger: Logger;
  /** Logs at debug level whatever the configured level, for detailed logging switched on at run time. */
  readonly verbose: Logger;
  /**
   * Logs a line whose members are JSON text (`"a":1,"b":2`) without secrets: redaction by paths would cost several times as much
   * as the line. `members` is called only if the line is written. @param isForced writes the line whatever the configured level
   */
  line(level: "info" | "warn", members: () => string, message: string, isForced: boolean): void;
  /** Writes the collected lines, for the end of the process. */
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
      if (lines === "") setTimeout(flush, untilTick(Date.now()));
      lines += line;
      if (lines.length > MAX_COLLECTED || URGENT.test(line)) flush();
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
    line(of, members, message, isForced) {
      if (isEnabled[of] || isForced) destination.write(`{"level":"${of}","time":"${now()}",${members()},"message":"${message}"}\n`);
    },
    flush,
  };
}

/** RFC 3339; the text is built once per millisecond. */
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

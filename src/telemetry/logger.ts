/** Structured logs: JSON on standard output, one object a line, `time` in RFC 3339 and `level` in words. Written by pino. */
import { pino } from "pino";
import type { Logger } from "../model/logger.ts";

/** Members that are secret wherever they turn up. */
const SECRET_PATHS = ["client_secret", "*.client_secret", "authorization", "*.authorization", "password", "*.password"];

export interface LogDestination {
  write(line: string): unknown;
}

export interface Log {
  readonly logger: Logger;
  /** Down to debug, whatever the level of the settings: for what was asked for while the process runs. */
  readonly verbose: Logger;
  /**
   * A line whose members are JSON text already (`"a":1,"b":2`), with nothing secret in it: redaction by paths costs several
   * times as much as the line. @param isAsked it is written whatever the level of the settings.
   */
  line(level: "info" | "warn", members: string, message: string, isAsked: boolean): void;
}

export function createLog(level: string, destination: LogDestination = pino.destination({ dest: 1, sync: true })): Log {
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
      if (isEnabled[of] || isAsked) destination.write(`{"level":"${of}","time":"${now()}",${members},"message":"${message}"}\n`);
    },
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

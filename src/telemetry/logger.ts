/** Structured logs: pino JSON on standard output, one object a line, `time` in RFC 3339 and `level` in words. */
import { pino } from "pino";
import type { Logger } from "../model/logger.ts";

/** Members that are secret wherever they turn up. */
const SECRET_PATHS = ["client_secret", "*.client_secret", "authorization", "*.authorization", "password", "*.password"];

export interface LogDestination {
  write(line: string): void;
}

export function createLogger(level: string, destination?: LogDestination): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    messageKey: "message",
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_PATHS, censor: "[redacted]" },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** The parsed content of a small file. It is read again after a change; an unreadable file counts as empty. */
import { readFileSync, statSync } from "node:fs";

export interface WatchedFile<T> {
  value(): T;
  /** Changes when the file has changed. */
  version(): string;
}

const CHECK_PERIOD_MS = 1_000;

export function createWatchedFile<T>(path: string, parse: (text: string) => T): WatchedFile<T> {
  let version = "";
  let value = parse("");
  let checkAt = Number.NEGATIVE_INFINITY;

  const refresh = (): void => {
    const now = performance.now();
    if (now < checkAt) return;
    checkAt = now + CHECK_PERIOD_MS;
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const found = `${mtimeMs} ${size} ${ino}`;
      if (found === version) return;
      value = parse(readFileSync(path, "utf8"));
      version = found;
    } catch {
      version = "";
      value = parse("");
    }
  };

  return {
    value() {
      refresh();
      return value;
    },
    version() {
      refresh();
      return version;
    },
  };
}

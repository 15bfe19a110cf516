/** A small file, parsed: read again when it has changed, and as if it were empty when it can't be read. */
import { readFileSync, statSync } from "node:fs";

export interface WatchedFile<T> {
  value(): T;
  /** Another one when the file has changed. */
  version(): string;
}

const LOOK_EVERY_MS = 1_000;

export function createWatchedFile<T>(path: string, parse: (text: string) => T): WatchedFile<T> {
  let version = "";
  let value = parse("");
  let lookAt = Number.NEGATIVE_INFINITY;

  const refresh = (): void => {
    const now = performance.now();
    if (now < lookAt) return;
    lookAt = now + LOOK_EVERY_MS;
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

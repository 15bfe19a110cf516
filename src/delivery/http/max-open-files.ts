import { readFileSync } from "node:fs";

/** How many files, sockets included, this process may have open (RLIMIT_NOFILE); infinite where the system doesn't say. */
export function maxOpenFiles(): number {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? Number.POSITIVE_INFINITY);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

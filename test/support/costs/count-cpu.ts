/** Notes what a test file cost in processor time: this process and its children that have ended. A setup file of every project. */
import { readFileSync } from "node:fs";
import { afterAll } from "vitest";

declare module "vitest" {
  interface TaskMeta {
    /** Undefined where there is no /proc. */
    cpuMs?: number;
  }
}

const TICK_MS = 10;
const counted = globalThis as { countedCpuMs?: number };

// biome-ignore lint/correctness/noEmptyPattern: the runner insists on a pattern.
afterAll(({}, suite) => {
  const total = cpuMs();
  if (total === null) return;
  // One process may run several files.
  suite.file.meta.cpuMs = total - (counted.countedCpuMs ?? 0);
  counted.countedCpuMs = total;
});

/** proc(5): utime, stime, and those of waited-for children are fields 14 to 17. */
function cpuMs(): number | null {
  try {
    const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0);
  } catch {
    return null;
  }
}

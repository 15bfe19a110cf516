/** Processor time of this process and of those below it, from /proc: proc(5). */
import { readdirSync, readFileSync } from "node:fs";

const TICK_MS = 10;
/** Global, because setup files are loaded anew for each test file of a worker. */
const counted = globalThis as { descendantsCpuMs?: number };

/** This process, its children that have ended, and the descendants that were counted; null where there is no /proc. */
export function processorTimeMs(): number | null {
  const own = read("self");
  return own === null ? null : own.cpuMs + (counted.descendantsCpuMs ?? 0);
}

/**
 * Counts what runs below children of this process, which never learns of their end: Chromium does not wait for its own.
 * To be called right before they end.
 */
export function countDescendants(): void {
  const all = new Map(processIds().map((pid) => [pid, read(pid)]));
  const depthOf = (pid: string): number => {
    let depth = 0;
    for (let at = pid; at !== String(process.pid); depth++) {
      const parent = all.get(at)?.parent;
      if (parent === undefined) return 0;
      at = parent;
    }
    return depth;
  };
  for (const [pid, found] of all)
    if (found !== null && depthOf(pid) > 1) counted.descendantsCpuMs = (counted.descendantsCpuMs ?? 0) + found.cpuMs;
}

function processIds(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** Field 4 is the parent; 14 to 17 are utime, stime, and those of waited-for children. */
function read(pid: string): { readonly parent: string; readonly cpuMs: number } | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return { parent: fields[1] ?? "", cpuMs: fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0) };
  } catch {
    return null;
  }
}

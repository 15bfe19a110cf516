/** The CPU time and memory of whole process trees, from /proc: a database server has a process for each connection. */
import { readdirSync, readFileSync } from "node:fs";

const US_PER_TICK = 10_000;

interface Use {
  /** User and system time so far, with all threads and with the children that have ended. */
  readonly cpuUs: number;
  readonly residentMb: number;
  /** Shared memory is divided among the processes that share it: a database server's buffers count once. */
  readonly proportionalMb: number;
}

export function useOf(roots: readonly number[]): Use {
  const children = childrenOf();
  const all = new Set<number>();
  const add = (pid: number): void => {
    if (all.has(pid)) return;
    all.add(pid);
    for (const child of children.get(pid) ?? []) add(child);
  };
  for (const pid of roots) add(pid);
  let cpuUs = 0;
  let residentKb = 0;
  let proportionalKb = 0;
  for (const pid of all) {
    // Fields 14 to 17 of proc_pid_stat(5): its own time and that of ended children.
    for (const ticks of statOf(pid).slice(11, 15)) cpuUs += Number(ticks) * US_PER_TICK;
    const memory = read(`/proc/${pid}/smaps_rollup`);
    residentKb += Number(/^Rss:\s+(\d+)/m.exec(memory)?.[1] ?? 0);
    proportionalKb += Number(/^Pss:\s+(\d+)/m.exec(memory)?.[1] ?? 0);
  }
  return { cpuUs, residentMb: residentKb / 1024, proportionalMb: proportionalKb / 1024 };
}

function childrenOf(): Map<number, number[]> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const parent = Number(statOf(pid)[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  return children;
}

/** The fields from the third on: the second, the name in brackets, may hold anything. */
function statOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** @returns empty: the process has ended meanwhile */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

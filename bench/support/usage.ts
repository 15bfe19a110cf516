/** What processes use, read from /proc; so the benchmarks run on Linux only. */
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** Ticks of /proc/<pid>/stat are always hundredths of a second for programs (USER_HZ). */
const US_PER_TICK = 10_000;

/** User and system time so far, with all threads. */
export function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in brackets may hold anything; user and system time are the 14th and 15th member.
  const members = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(members[11]) + Number(members[12])) * US_PER_TICK;
}

export function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Microseconds of a clock that all processes of the machine share. */
export function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

export function machine(): string {
  const [first] = cpus();
  return `${cpus().length} cores (${first?.model.trim() ?? "unknown"}), ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release().split("-")[0]}`;
}

export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2;
}

/** Notes what a test file cost in processor time: this process and those it has started. A setup file of every project. */
import { afterAll } from "vitest";
import { processorTimeMs } from "./processor-time.ts";

declare module "vitest" {
  interface TaskMeta {
    /** Undefined where there is no /proc. */
    cpuMs?: number;
  }
}

const counted = globalThis as { countedCpuMs?: number };

// biome-ignore lint/correctness/noEmptyPattern: the runner insists on a pattern.
afterAll(({}, suite) => {
  const total = processorTimeMs();
  if (total === null) return;
  // One process may run several files.
  suite.file.meta.cpuMs = total - (counted.countedCpuMs ?? 0);
  counted.countedCpuMs = total;
});

/** The clock of Posthorn processes, set by a test: POSTHORN_TEST_CLOCK. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./eventually.ts";
import type { Posthorn } from "./posthorn.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

export interface TestClock {
  /** For the processes that are to follow it. */
  readonly settings: Readonly<Record<string, string>>;
  now(): number;
  /** Resolves when each of the processes has seen it. */
  advance(ms: number, processes: readonly Posthorn[]): Promise<void>;
  remove(): void;
}

/** Begins at the next noon UTC, so that no test runs over midnight by chance. */
export function createTestClock(): TestClock {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-clock-"));
  const file = join(folder, "clock");
  let aheadMs = DAY_MS - ((Date.now() + DAY_MS / 2) % DAY_MS);
  const write = (): void => {
    writeFileSync(`${file}.new`, `${aheadMs}ms`);
    renameSync(`${file}.new`, file);
  };
  write();
  return {
    settings: { POSTHORN_TEST_CLOCK: file },
    now: () => Date.now() + aheadMs,
    async advance(ms, processes) {
      aheadMs += ms;
      write();
      const hasSeen = ({ log }: Posthorn): boolean => log.some((line) => line["ahead_ms"] === aheadMs);
      await eventually(() => processes.every(hasSeen));
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

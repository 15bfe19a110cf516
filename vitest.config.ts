import { readFileSync, statfsSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

interface Project {
  readonly name: string;
  readonly folders: readonly string[];
  readonly maxWorkers: number;
}

/** One after the other. Files of one share workers: a new one takes most of a second, and modules are loaded in each. */
const PROJECTS: readonly Project[] = [
  { name: "unit", folders: ["unit"], maxWorkers: availableParallelism() },
  // More than there are processors, because many tests wait: with four, processors are idle for a quarter of the time, with six for a tenth.
  { name: "system", folders: ["resilience", "browser", "e2e", "integration"], maxWorkers: 6 },
  // `npm run check:clients` alone sets it: it downloads and compiles generators.
  ...(process.env["GENERATED_CLIENTS"] === undefined ? [] : [{ name: "generated-clients", folders: ["generated-clients"], maxWorkers: 1 }]),
];
/**
 * The longest first, so that none is left at the end: durations are known only after the first run. Those of resilience are apart from
 * each other, for each has several processes, and starved ones are a fault of their own.
 */
const LONGEST = [
  ...["chaos", "log", "parked", "documents", "sender-conformance", "poison", "app", "other-clients", "answers", "waits", "access"],
  ...["deleted-streams", "throttle", "startup", "tracing-export", "durability", "languages", "conformance", "package", "replays", "apps"],
  ...["metrics-export", "client", "scopes", "failing", "mailer", "order-changes", "processes", "bus", "overview", "manage", "find"],
  ...["observability", "redis-cluster", "examples", "status-events", "wrong-servers", "integration-status", "logging"],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((one, other) => rankOf(one) - rankOf(other));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  const rank = LONGEST.indexOf(basename(moduleId, ".test.ts"));
  return rank < 0 ? LONGEST.length : rank;
}

/** In memory where there is enough for a whole run and programs may be started from it; containers often have little. */
function temporaryFolder(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    const isForData = /^\S+ \/dev\/shm \S+ \S*\bnoexec\b/m.test(readFileSync("/proc/mounts", "utf8"));
    if (!isForData && bavail * bsize >= 4 * 1024 ** 3) return "/dev/shm";
  } catch {
    // Not of Linux.
  }
  return tmpdir();
}

const project = ({ name, folders, maxWorkers }: Project, groupOrder: number) => ({
  extends: true as const,
  test: { name, include: folders.map((folder) => `test/${folder}/**/*.test.ts`), maxWorkers, sequence: { groupOrder } },
});

export default defineConfig({
  test: {
    environment: "node",
    setupFiles: ["test/support/costs/count-cpu.ts", "test/support/same-environment.ts", "test/support/same-cases.ts"],
    reporters: ["./test/support/costs/cost-reporter.ts", "default"],
    globalSetup: ["test/support/global-setup.ts"],
    // Loading modules again takes half of the processor time of the short files.
    isolate: false,
    // A worker has some 60 MB that stay: with less room V8 marks them again and again, and once more whenever little happens.
    execArgv: ["--min-semi-space-size=32", "--max-semi-space-size=32", "--initial-old-space-size=256", "--no-memory-reducer"],
    // The program as it is built; Posthorn runs in this process for most tests.
    server: { deps: { external: [/\/dist\/chunks\//] } },
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // As eventually: how long a broken test takes to fail.
    expect: { poll: { timeout: 120_000, interval: 50 } },
    // Of one file, which mostly wait; more would starve those of resilience, which have several processes each.
    maxConcurrency: 4,
    sequence: { sequencer: LongestFirst },
    env: {
      // Child processes start in half the time when Node keeps what it compiled.
      NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "node"),
      // Servers take two thirds of the time where their files are in memory, and npm half of it.
      TMPDIR: temporaryFolder(),
      // nats-server collects garbage less often.
      GOGC: "400",
      // A fifth less than with threads that look for work on each processor.
      GOMAXPROCS: "1",
      // The example in Go needs no fast code, and compiles in two thirds of the time.
      CGO_ENABLED: "0",
      GOFLAGS: "-gcflags=all=-l",
    },
    projects: PROJECTS.map(project),
  },
});

import { statfsSync } from "node:fs";
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
  // More than processors: what waits needs none.
  { name: "system", folders: ["resilience", "browser", "e2e", "integration"], maxWorkers: 8 },
  // `npm run check:clients` alone sets it: it downloads and compiles generators.
  ...(process.env["GENERATED_CLIENTS"] === undefined ? [] : [{ name: "generated-clients", folders: ["generated-clients"], maxWorkers: 1 }]),
];
/**
 * The longest first, so that none is left alone at the end; those of resilience apart from each other, for each has several processes,
 * and starved ones are a fault of their own. Durations are known only after the first run.
 */
const LONGEST = [
  ...["chaos", "poison", "throttle", "deleted-streams", "answers", "documents", "log", "access", "integration-status"],
  ...["sender-conformance", "bus", "waits", "client", "other-clients", "permissions", "durability", "conformance", "lifecycle", "failing"],
  ...["parked", "app", "examples", "openapi-fuzz", "startup", "languages", "status-events", "apps", "scopes", "tracing-export", "mailer"],
  ...["replays", "package", "metrics-export", "find", "manage", "observability", "overview", "explain", "cli", "circuit", "redis-cluster"],
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

/** In memory where there is enough for all servers of a run; containers often have little. */
function foldersOfServers(): string {
  try {
    const { bavail, bsize } = statfsSync("/dev/shm");
    if (bavail * bsize >= 4 * 1024 ** 3) return "/dev/shm";
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
    // The program as it is built; Posthorn runs in this process for most tests.
    server: { deps: { external: [/\/dist\/chunks\//] } },
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // As eventually: how long a broken test takes to fail.
    expect: { poll: { timeout: 120_000, interval: 50 } },
    // Of one file: each test of resilience has several processes, and starved ones are a fault of their own.
    maxConcurrency: 3,
    sequence: { sequencer: LongestFirst },
    env: {
      // Child processes start in half the time when Node keeps what it compiled.
      NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "node"),
      // nats-server takes two thirds of the time where its files are in memory and its heap may grow.
      TEST_SERVER_FOLDERS: foldersOfServers(),
      GOGC: "400",
      // The example in Go needs no fast code, and compiles in two thirds of the time.
      CGO_ENABLED: "0",
      GOFLAGS: "-gcflags=all=-l",
    },
    projects: PROJECTS.map(project),
  },
});

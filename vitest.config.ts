import { statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * In the order in which they start. Projects in one place start together, each spread evenly: resilience waits most of the time, and
 * others use the processors meanwhile.
 */
const PROJECTS = [["resilience", "browser", "e2e"], ["integration"], ["unit"]];
/** Longer than their size says, the longest first. Durations are known only after the first run. */
const LONGEST = [
  ...["chaos", "throttle", "poison", "waits", "durability", "parked"],
  ...["deleted-streams", "answers", "documents", "integration-status", "conformance", "permissions", "startup", "mailer", "package"],
  ...["sender-conformance", "client", "other-clients", "bus"],
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const longestFirst = (await super.sort(files)).sort((one, other) => rankOf(one) - rankOf(other));
    const places = Object.values(Object.groupBy(longestFirst, ({ project }) => project.name)).flatMap((own = []) =>
      own.map((file, at) => [file, PROJECTS.findIndex((names) => names.includes(file.project.name)) + at / own.length] as const),
    );
    return places.sort(([, one], [, other]) => one - other).map(([file]) => file);
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

/** Integration, e2e and resilience start servers and child processes, and wait for them most of the time. */
const project = (name: string) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    sequence: { concurrent: name === "resilience" },
  },
});

export default defineConfig({
  test: {
    environment: "node",
    setupFiles: ["test/support/costs/count-cpu.ts", "test/support/same-environment.ts", "test/support/same-cases.ts"],
    reporters: ["./test/support/costs/cost-reporter.ts", "default"],
    globalSetup: ["test/support/global-setup.ts"],
    // Files of one project share their worker's modules: loading them again takes half of the processor time of the short files.
    isolate: false,
    // The program as it is built; Posthorn runs in this process for most tests.
    server: { deps: { external: [/\/dist\/chunks\//] } },
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // As eventually: how long a broken test takes to fail.
    expect: { poll: { timeout: 120_000, interval: 50 } },
    // More than processors: what waits needs none.
    maxWorkers: 7,
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
    // Of `npm run check:clients`: it downloads and compiles generators.
    projects: [...PROJECTS.flat(), ...(process.env["GENERATED_CLIENTS"] === undefined ? [] : ["generated-clients"])].map(project),
  },
});

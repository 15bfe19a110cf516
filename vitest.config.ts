import { defineConfig } from "vitest/config";

/** Integration, e2e and resilience start servers and child processes: fewer of them at once than cores. */
const project = (name: string, concurrent = false) => ({
  extends: true as const,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    // Most of a resilience test is waiting.
    sequence: { concurrent },
  },
});

export default defineConfig({
  test: {
    environment: "node",
    globalSetup: ["test/support/global-setup.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    projects: [project("unit"), project("integration"), project("e2e"), project("resilience", true)],
  },
});

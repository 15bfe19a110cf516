import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** Integration, e2e and resilience start servers and child processes, and wait for them most of the time. */
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
    maxWorkers: 3,
    // Child processes of the tests run from source: they start three times as fast when Node keeps what it compiled.
    env: { NODE_COMPILE_CACHE: join(import.meta.dirname, "node_modules", ".cache", "node") },
    projects: [project("unit"), project("integration"), project("e2e"), project("browser"), project("resilience", true)],
  },
});

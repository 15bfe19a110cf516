/** Which tests `npm run test:changed` and the second run of .ci/run choose. */
import { describe, expect, test } from "vitest";
import { HELD_ELSEWHERE, projectFiles, speaksToNats, testFiles, testsOf } from "../../scripts/select-tests.ts";

const files = projectFiles();
const tests = testFiles(files);

describe("a changed file is reached by", () => {
  test.each([
    [
      "a module",
      "src/delivery/retry-policy.ts",
      ["test/unit/delivery/retry.test.ts", "test/e2e/delivery.test.ts"],
      ["test/unit/web/time-span.test.ts"],
    ],
    [
      "a command",
      "src/cli/tail.ts",
      ["test/e2e/cli.test.ts", "test/e2e/documents.test.ts"],
      ["test/e2e/circuit.test.ts", "test/resilience/parked.test.ts"],
    ],
    ["the page", "src/web/main.tsx", ["test/browser/app.test.ts", "test/unit/web/built-page.test.ts"], ["test/e2e/api.test.ts"]],
    [
      "the client",
      "src/client/verify-webhook.ts",
      ["test/e2e/examples.test.ts", "test/unit/client/verify-webhook.test.ts"],
      ["test/e2e/limits.test.ts"],
    ],
    ["a guide", "docs/migrate.md", ["test/e2e/documents.test.ts"], ["test/e2e/api.test.ts"]],
    [
      "support",
      "test/support/tcp-proxy.ts",
      ["test/resilience/chaos.test.ts", "test/integration/bus.test.ts"],
      ["test/unit/model/event-reader.test.ts"],
    ],
    ["a test", "test/unit/web/time-span.test.ts", ["test/unit/web/time-span.test.ts"], ["test/unit/web/event-stream.test.ts"]],
  ])("the tests that import, read or run %s", (_kind, changed, among, notAmong) => {
    expect(files).toContain(changed);
    const selected = testsOf([changed], files);
    expect(selected).toEqual(expect.arrayContaining(among));
    for (const file of notAmong) {
      expect(tests).toContain(file);
      expect(selected).not.toContain(file);
    }
  });

  test("all tests, where it is a dependency or how they run", () => {
    for (const changed of ["package-lock.json", "vitest.config.ts"]) expect(testsOf([changed], files)).toEqual(tests);
  });

  test("none, where nothing uses it", () => expect(testsOf(["LICENSE"], files)).toEqual([]));
});

test("with another nats-server those run again whose result may differ, and no others", () => {
  const again = tests.filter(speaksToNats);
  expect(again).toEqual(
    expect.arrayContaining([
      ...["bus", "conformance", "pull-consumer", "registry", "find-in-streams"].map((name) => `test/integration/${name}.test.ts`),
      ...["deleted-streams", "lifecycle", "permissions", "startup"].map((name) => `test/e2e/${name}.test.ts`),
      ...["chaos", "durability", "parked", "replays", "status-events", "streams.model", "waits"].map(
        (name) => `test/resilience/${name}.test.ts`,
      ),
    ]),
  );
  for (const file of again) expect(file).not.toMatch(/^test\/(unit|browser)\//);
  for (const name of ["api", "audit", "cli", "documents", "find"]) expect(again).not.toContain(`test/e2e/${name}.test.ts`);
  for (const [file, holders] of Object.entries(HELD_ELSEWHERE)) {
    expect(tests).toContain(file);
    expect(again).toEqual(expect.arrayContaining([...holders]));
  }
  expect(again.length).toBeLessThan(tests.length / 4);
});

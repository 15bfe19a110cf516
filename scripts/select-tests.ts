/**
 * Prints test files, one a line. `nats`: those to run again on another nats-server. `changed [commit]`: those that read, import
 * or run what differs from the commit (HEAD unless given), uncommitted changes included.
 * Usage: node scripts/select-tests.ts nats | changed [commit]
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, extname, join, normalize } from "node:path";
import { ROOT } from "./set-up.mjs";

/** Changes of these reach every test. */
const EVERYWHERE = ["package.json", "package-lock.json", "vitest.config.ts", "test/support/global-setup.ts", "scripts/build-program.mjs"];
const CODE = /\.(ts|tsx|mjs)$/;
const git = (...words: string[]): string[] =>
  execFileSync("git", words, { cwd: ROOT, encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "");

/** Every file that is no build product, from the root. */
export function projectFiles(): string[] {
  return git("ls-files", "--cached", "--others", "--exclude-standard").filter((file) => existsSync(join(ROOT, file)));
}

export function testFiles(files: readonly string[]): string[] {
  return files.filter((file) => file.endsWith(".test.ts")).sort();
}

/** Streams that a test changes, consumers that it looks at; clusters and accounts; and the modules of src and support that do little else. */
const STORED_BY_NATS = [
  /\bstreams\.(add|update|purge)\(|\bconsumers\.\w+\(/,
  /\/src\/jetstream\/(?!connection|subjects|streams)/,
  /\/(nats-cluster|nats-operator|registry-replica|streams-world|scenarios)\.ts"/,
];

/** These do so as others that run again do, and are about something else; with the tests that hold what the server does for them. */
export const HELD_ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  // Wait for an ack floor.
  "test/e2e/failing.test.ts": ["test/integration/bus.test.ts"],
  // Fill a stream, or wear a consumer out.
  "test/e2e/give-up.test.ts": ["test/resilience/durability.test.ts"],
  "test/e2e/integration-status.test.ts": ["test/resilience/durability.test.ts", "test/resilience/parked.test.ts"],
  "test/e2e/redis-cluster.test.ts": ["test/resilience/durability.test.ts"],
  "test/integration/tracing-export.test.ts": ["test/resilience/durability.test.ts"],
  // Empties a stream of what it has found there.
  "test/e2e/limits.test.ts": ["test/integration/bus.test.ts"],
  // What a kill leaves is a record and keys in Redis, and what the streams hand out again.
  "test/resilience/poison.test.ts": ["test/resilience/waits.test.ts", "test/integration/registry.test.ts"],
  "test/resilience/throttle.test.ts": ["test/resilience/status-events.test.ts", "test/integration/registry.test.ts"],
};

/**
 * A test whose result may differ between versions of nats-server: it looks at what the server stores, or depends on what it hands out
 * again. In the others NATS only carries what Posthorn's own code sends.
 */
export function speaksToNats(file: string): boolean {
  if (file.startsWith("test/unit/") || file in HELD_ELSEWHERE) return false;
  const text = read(file);
  const isKilled = file.startsWith("test/resilience/") && text.includes('"SIGKILL"');
  return isKilled || STORED_BY_NATS.some((pattern) => pattern.test(text));
}

/** Test files that a change of any of the files can reach. */
export function testsOf(changed: readonly string[], files: readonly string[]): string[] {
  const tests = testFiles(files);
  if (changed.some((file) => EVERYWHERE.includes(file))) return tests;
  const uses = usesOf(files);
  const wanted = new Set(changed);
  return tests.filter((test) => [...reached(test, uses)].some((file) => wanted.has(file)));
}

type Uses = (file: string) => readonly string[];

function reached(start: string, uses: Uses): Set<string> {
  const seen = new Set([start]);
  // A set hands out what is added while it is read.
  for (const file of seen) for (const used of uses(file)) seen.add(used);
  return seen;
}

const known = new WeakMap<readonly string[], Uses>();

function usesOf(files: readonly string[]): Uses {
  const uses = known.get(files) ?? createUses(files);
  known.set(files, uses);
  return uses;
}

/** The files that a file names in quotes, by a path from itself or from the root: imports, documents and folders alike. */
function createUses(files: readonly string[]): Uses {
  const known = new Set(files);
  const found = new Map<string, readonly string[]>();
  const within = (path: string): string[] =>
    known.has(path) ? [path] : files.filter((file) => file.startsWith(path.replace(/\/?$/, "/")));
  const find = (file: string): string[] => {
    if (!CODE.test(file)) return [];
    const text = read(file).replace(/^(import|export) type [^;]*;$/gm, "");
    const named = [...text.matchAll(/["`$}]([\w.@/-]*\/[\w./-]*)/g)].flatMap(([, path = ""]) => {
      const fromRoot = path.startsWith(".") ? normalize(join(dirname(file), path)) : normalize(path);
      return fromRoot.startsWith("..") || fromRoot === "./" ? [] : [fromRoot];
    });
    // The service; a test that runs other commands names MAIN itself.
    if (named.includes("dist/main.js")) named.push("src/app/app.ts");
    if (file.startsWith("test/") && /\bMAIN\b/.test(text) && file.endsWith(".test.ts")) named.push("src/main.ts");
    if (file.startsWith("test/browser/") || named.includes("dist/web/")) named.push("src/web/");
    // All of them are told apart by name only where tests are about them all.
    const folders = file.startsWith("src/") ? named.filter((path) => extname(path) !== "") : named;
    return folders.flatMap(within);
  };
  return (file) => {
    const before = found.get(file);
    if (before !== undefined) return before;
    const now = [...new Set(find(file))];
    found.set(file, now);
    return now;
  };
}

function read(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

if (import.meta.main) {
  const [what, commit = "HEAD"] = process.argv.slice(2);
  const files = projectFiles();
  const changed = what === "changed" ? [...git("diff", "--name-only", commit), ...git("ls-files", "--others", "--exclude-standard")] : [];
  const selected = what === "nats" ? testFiles(files).filter(speaksToNats) : testsOf(changed, files);
  process.stdout.write(selected.map((file) => `${file}\n`).join(""));
}

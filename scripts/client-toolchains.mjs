/**
 * Sets up the tests of the clients in Python and Go: a Python with the packages of clients/python/requirements-test.txt in
 * .local/python, and Go. The tests of a missing toolchain are skipped with one line, unless
 * TEST_CLIENTS=required. Plain JavaScript without packages: Node 18 runs it.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findBinary } from "./servers.mjs";
import { ROOT, SetUpError, say } from "./set-up.mjs";

export const PYTHON_CLIENT = join(ROOT, "clients/python");
export const GO_CLIENT = join(ROOT, "clients/go");
const LOCAL = join(ROOT, ".local");
const ENVIRONMENT = join(LOCAL, "python");
const PYTHON = join(ENVIRONMENT, "bin", "python");
const STAMP = join(ENVIRONMENT, ".requirements");
const REQUIREMENTS = join(PYTHON_CLIENT, "requirements-test.txt");
const STATICCHECK = "honnef.co/go/tools/cmd/staticcheck@v0.8.2";

/** @param {string} found @param {string} wanted versions as 3.10 */
function isAtLeast(found, wanted) {
  const [major = 0, minor = 0] = found.split(".").map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** @returns {string | null} a Python that is new enough and can make environments */
function findPython() {
  const path = findBinary("python3");
  if (path === null) return null;
  const script = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])";
  const { status, stdout } = spawnSync(path, ["-c", script], { encoding: "utf8" });
  return status === 0 && isAtLeast(stdout.trim(), "3.10") ? path : null;
}

/** @returns {string | null} a Go that is new enough */
export function findGo() {
  const path = findBinary("go");
  if (path === null) return null;
  const { stdout } = spawnSync(path, ["version"], { encoding: "utf8" });
  const [, version] = /\bgo(\d+\.\d+)/.exec(stdout ?? "") ?? [];
  return version !== undefined && isAtLeast(version, "1.22") ? path : null;
}

/** @returns {string} */
function requirementsHash() {
  return createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
}

/** @returns {string | null} the Python with the packages, as `npm test` has put it there */
export function clientPython() {
  return existsSync(STAMP) && existsSync(PYTHON) && readFileSync(STAMP, "utf8") === requirementsHash() ? PYTHON : null;
}

/** @returns {boolean} whether the Python with the packages is there, made now if that was possible */
function ensurePython() {
  if (clientPython() !== null) return true;
  const python = findPython();
  if (python === null) return false;
  say("installing what the Python client is tested with into .local/python");
  rmSync(ENVIRONMENT, { recursive: true, force: true });
  mkdirSync(LOCAL, { recursive: true });
  const run = (/** @type {string} */ command, /** @type {string[]} */ args) =>
    spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", 2, 2] }).status === 0;
  if (!run(python, ["-m", "venv", ENVIRONMENT])) return false;
  if (!run(PYTHON, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS])) return false;
  writeFileSync(STAMP, requirementsHash());
  return true;
}

/** @returns {string[]} what is missing, as a sentence each */
export function missingToolchains() {
  return [
    ...(clientPython() === null ? ["the tests of the Python client. They need python3 (3.10 or newer, with venv) and PyPI."] : []),
    ...(findGo() === null ? ["the tests of the Go client. They need go (1.22 or newer)."] : []),
  ];
}

/** @throws SetUpError when a toolchain is missing and TEST_CLIENTS says that it may not be */
export function ensureClientToolchains() {
  ensurePython();
  const missing = missingToolchains();
  if (missing.length > 0 && process.env["TEST_CLIENTS"] === "required")
    throw new SetUpError(`TEST_CLIENTS=required, and these can't run: ${missing.join(" ")}`);
}

/** Formatters, linters and type checkers of both clients. @returns {boolean} whether all are content */
export function checkClients() {
  ensureClientToolchains();
  const python = clientPython();
  const go = findGo();
  const bin = join(LOCAL, "go", "bin");
  /** @type {Array<[command: string, args: string[], cwd: string, environment?: Record<string, string>]>} */
  const commands = [];
  if (python !== null) {
    commands.push([
      python,
      ["-m", "ruff", "check", "--no-cache", "--config", "pyproject.toml", ".", "../../examples/receive"],
      PYTHON_CLIENT,
    ]);
    commands.push([
      python,
      ["-m", "ruff", "format", "--no-cache", "--config", "pyproject.toml", "--check", ".", "../../examples/receive"],
      PYTHON_CLIENT,
    ]);
    commands.push([python, ["-m", "mypy", "--cache-dir", join(LOCAL, "mypy")], PYTHON_CLIENT]);
  }
  if (go !== null) {
    commands.push([go, ["vet", "./..."], GO_CLIENT]);
    if (!existsSync(join(bin, "staticcheck"))) commands.push([go, ["install", STATICCHECK], LOCAL, { GOBIN: bin }]);
    commands.push([join(bin, "staticcheck"), ["./..."], GO_CLIENT]);
  }
  return commands.every(([command, args, cwd, environment = {}]) => {
    const { status } = spawnSync(command, args, { cwd, stdio: ["ignore", 1, 2], env: { ...process.env, ...environment } });
    if (status !== 0) say(`failed: ${command} ${args.join(" ")}`);
    return status === 0;
  });
}

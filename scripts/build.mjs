/** dist from src, the page included: from nothing, so that no file of an older tree stays behind. */
import { spawnSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensurePage, ROOT } from "./set-up.mjs";

rmSync(join(ROOT, "dist"), { recursive: true, force: true });
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit", shell: process.platform === "win32" });
if (status !== 0) process.exit(status ?? 1);
// npm does this where it links the command; a later build is a new file behind the same link.
chmodSync(join(ROOT, "dist", "main.js"), 0o755);
ensurePage(process.execPath);

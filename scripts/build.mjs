/** dist from src: compiled from nothing, so that no file of an older tree stays behind. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./set-up.mjs";

rmSync(join(ROOT, "dist"), { recursive: true, force: true });
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit", shell: process.platform === "win32" });
process.exit(status ?? 1);

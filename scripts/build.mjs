/** dist from src, the page included: nothing of an older tree stays behind. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensurePage, ROOT } from "./set-up.mjs";

const DIST = join(ROOT, "dist");
// The page is left where it is while it is the one of these sources: a Posthorn that runs from src serves it, too.
for (const name of existsSync(DIST) ? readdirSync(DIST) : []) if (name !== "web") rmSync(join(DIST, name), { recursive: true });
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit", shell: process.platform === "win32" });
if (status !== 0) process.exit(status ?? 1);
// npm does this where it links the command; a later build is a new file behind the same link.
chmodSync(join(DIST, "main.js"), 0o755);
ensurePage(process.execPath);

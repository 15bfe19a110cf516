/** dist from src, the page and types included: nothing of an older tree stays behind. */
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ensurePage, ensureProgram, ROOT } from "./set-up.mjs";

const DIST = join(ROOT, "dist");
// The program and the page are left as they are while they are those of these sources: a Posthorn that runs may be using them.
const BUILT = /^(web|chunks|client|main\.js(\.map)?)$/;
for (const name of existsSync(DIST) ? readdirSync(DIST) : []) if (!BUILT.test(name)) rmSync(join(DIST, name), { recursive: true });
ensureProgram(process.execPath);
for (const name of globSync("client/*.d.ts", { cwd: DIST })) rmSync(join(DIST, name));
const { status } = spawnSync("tsc", ["-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit", shell: process.platform === "win32" });
if (status !== 0) process.exit(status ?? 1);
ensurePage(process.execPath);

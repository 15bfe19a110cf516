/**
 * `npm audit --omit=dev`: ends with 1 when a package that runs in production has a known vulnerability. A registry that
 * has no advisories (a mirror, say) is no reason to fail, but it is said.
 */
import { spawnSync } from "node:child_process";

const { stdout } = spawnSync("npm", ["audit", "--omit=dev", "--json"], { encoding: "utf8", shell: process.platform === "win32" });
/** @type {{ metadata?: { vulnerabilities: Record<string, number> }, message?: string }} */
const report = JSON.parse(stdout || "{}");
if (report.metadata === undefined) {
  process.stdout.write(`audit: the registry has no advisories to ask for (${report.message ?? "no answer"}), nothing was checked\n`);
} else {
  const { total = 0 } = report.metadata.vulnerabilities;
  process.stdout.write(`audit: ${total} known vulnerabilities in production dependencies\n`);
  if (total > 0) {
    spawnSync("npm", ["audit", "--omit=dev"], { stdio: "inherit", shell: process.platform === "win32" });
    process.exitCode = 1;
  }
}

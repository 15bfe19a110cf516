/**
 * Ends what a test run has left behind: started beside it, it waits for the end of its standard input, which comes however
 * the run ends, and then kills the processes and removes the folders that are still noted in a file.
 * Usage: node reaper.mjs <file>. The file's lines: `+<pid> <folder>`, and `-<pid>` once that is gone.
 */
import { readFileSync, rmSync } from "node:fs";

const file = process.argv[2] ?? "";
process.stdin.resume();
process.stdin.on("end", () => {
  /** @type {Map<number, string>} */
  const left = new Map();
  for (const line of readFileSync(file, "utf8").split("\n")) {
    const [, sign, pid, folder = ""] = /^([+-])(\d+) ?(.*)$/.exec(line) ?? [];
    if (sign === "+") left.set(Number(pid), folder);
    else if (sign === "-") left.delete(Number(pid));
  }
  for (const [pid, folder] of left) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
    if (folder !== "") rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  rmSync(file, { force: true });
});

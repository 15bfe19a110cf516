/**
 * Adds up vitest's JSON reports in a folder: each failed test with the first lines of its message, then "N passed, N failed".
 * Exits with 1 when a test failed or none ran.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

/** @typedef {{ status: string, fullName: string, failureMessages: string[] }} Assertion */
/** @typedef {{ name: string, status: string, message: string, assertionResults: Assertion[] }} Suite */

const messageLines = 12;
const folder = process.argv[2] ?? ".";
let passed = 0;
let failed = 0;

/** @param {string} run @param {string} file @param {string} name @param {string[]} messages */
function report(run, file, name, messages) {
  const lines = messages.join("\n").split("\n").slice(0, messageLines);
  process.stdout.write(`FAILED (${run}) ${relative(process.cwd(), file)}: ${name}\n${lines.map((line) => `  ${line}\n`).join("")}\n`);
}

for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  /** @type {{ success: boolean, numPassedTests: number, numFailedTests: number, testResults: Suite[] }} */
  const results = JSON.parse(readFileSync(join(folder, file), "utf8"));
  const run = basename(file, ".json");
  for (const suite of results.testResults) {
    for (const test of suite.assertionResults.filter(({ status }) => status === "failed"))
      report(run, suite.name, test.fullName, test.failureMessages);
    // A file that could not be loaded, or whose set-up failed, has no tests to name.
    if (suite.status === "failed" && suite.message) report(run, suite.name, "the file itself", [suite.message]);
  }
  passed += results.numPassedTests;
  failed += results.numFailedTests + (results.success === false && results.numFailedTests === 0 ? 1 : 0);
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

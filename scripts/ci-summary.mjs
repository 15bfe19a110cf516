/**
 * ci-summary.mjs FOLDER [STEP...]
 *
 * Adds up vitest's JSON reports in a folder: each failed test with the first lines of its message, the steps that failed, then
 * "N passed, N failed": tests, and steps in which no test failed. Exits with 1 when anything failed or no test ran.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

/** @typedef {{ status: string, fullName: string, failureMessages: string[] }} Assertion */
/** @typedef {{ name: string, status: string, message: string, assertionResults: Assertion[] }} Suite */

const messageLines = 12;
const [, , folder = ".", ...failedSteps] = process.argv;
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
for (const step of failedSteps) process.stdout.write(`FAILED: ${step}\n`);
// A run whose tests failed is counted by them.
const checks = failedSteps.filter((step) => !step.startsWith("npm test")).length;
failed = Math.max(failed + checks, failedSteps.length);
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;

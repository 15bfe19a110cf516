/** Prints what the run cost before the runner's own summary: each folder of tests, the dearest files and the longest tests. */
import type { Reporter, TestCase, TestModule } from "vitest/node";

/** COST_ROWS=200 shows every file and test. */
const SHOWN = Number(process.env["COST_ROWS"] ?? 10);

type Row = ReadonlyArray<string | number>;

export default class CostReporter implements Reporter {
  onTestRunEnd(files: readonly TestModule[]): void {
    const tests = files.flatMap((file) => [...file.children.allTests()]);
    const folders = Object.entries(Object.groupBy(files, folderOf)).map(([name, own = []]): Row => {
      const count = own.reduce((sum, file) => sum + [...file.children.allTests()].length, 0);
      const wallMs = own.reduce((sum, file) => sum + file.diagnostic().duration, 0);
      const cpuMs = own.reduce((sum, file) => sum + cpuMsOf(file), 0);
      return [name, own.length, count, seconds(wallMs), seconds(cpuMs)];
    });
    const { user, system } = process.cpuUsage();
    print(["folder", "files", "tests", "wall s", "CPU s"], [...folders, ["the runner", "", "", "", seconds((user + system) / 1_000)]]);
    const dearest = files.filter((file) => file.meta().cpuMs !== undefined).sort((one, other) => cpuMsOf(other) - cpuMsOf(one));
    print(
      ["CPU s", "wall s", "the files that cost most"],
      dearest.slice(0, SHOWN).map((file) => [seconds(cpuMsOf(file)), seconds(file.diagnostic().duration), file.relativeModuleId]),
    );
    const longest = tests.sort((one, other) => durationOf(other) - durationOf(one)).slice(0, SHOWN);
    print(
      ["wall s", `the longest ${longest.length} tests`],
      longest.map((test) => [seconds(durationOf(test)), `${test.module.relativeModuleId}: ${test.fullName}`]),
    );
  }
}

/** The file's folder in test/. */
function folderOf({ relativeModuleId }: TestModule): string {
  return relativeModuleId.split("/")[1] ?? relativeModuleId;
}

/** NaN where it is not known. */
function cpuMsOf(file: TestModule): number {
  return file.meta().cpuMs ?? Number.NaN;
}

function durationOf(test: TestCase): number {
  return test.diagnostic()?.duration ?? 0;
}

function seconds(ms: number): string {
  return Number.isNaN(ms) ? "-" : (ms / 1_000).toFixed(1);
}

function print(head: Row, rows: readonly Row[]): void {
  const all = [head, ...rows];
  const widths = head.map((_title, at) => Math.max(...all.map((row) => String(row[at]).length)));
  const lines = all.map((row) => row.map((cell, at) => String(cell).padEnd(widths[at] ?? 0)).join("  "));
  process.stdout.write(`\n${lines.map((line) => `  ${line.trimEnd()}\n`).join("")}`);
}

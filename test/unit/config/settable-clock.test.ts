import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createSettableClock } from "../../../src/config/settable-clock.ts";
import { eventually } from "../../support/eventually.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-clock-"));
const file = join(folder, "clock");
afterAll(() => rmSync(folder, { recursive: true }));

const DAY_MS = 86_400_000;

function write(text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

test("the clock is ahead by what its file says, never goes back, and fires what comes due by that in order", async () => {
  write("1d\n");
  const sets: number[] = [];
  const clock = createSettableClock(file, (aheadMs) => void sets.push(aheadMs / DAY_MS));
  expect(Math.round((clock.now() - Date.now()) / DAY_MS)).toBe(1);
  const fired: string[] = [];
  clock.after(3 * DAY_MS, () => void fired.push("third day"));
  clock.after(DAY_MS, () => void fired.push("first day"));
  clock.after(2 * DAY_MS, () => void fired.push("cancelled"))();
  clock.after(30 * DAY_MS, () => void fired.push("month"));
  write("nonsense");
  write("5d");
  await eventually(() => fired.length === 2);
  expect([fired, sets]).toEqual([
    ["first day", "third day"],
    [1, 5],
  ]);
  write("2d");
  write("6d");
  await eventually(() => sets.length === 3);
  expect(sets).toEqual([1, 5, 6]);
});

test("a file that is not there, or says no duration, is named", () => {
  expect(() => createSettableClock(join(folder, "nowhere"), () => {})).toThrow(/POSTHORN_TEST_CLOCK: .*nowhere.*ENOENT/);
  write("tomorrow");
  expect(() => createSettableClock(file, () => {})).toThrow(/POSTHORN_TEST_CLOCK: .*wanted a duration such as/);
});

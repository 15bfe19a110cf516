/** Files of one worker share its environment, and hand it to the programs they start. A setup file of every project. */
import { afterAll, expect } from "vitest";

const before = { ...process.env };

afterAll(() => {
  expect({ ...process.env }, "process.env when the tests of this file have ended").toEqual(before);
});

import { expect, test } from "vitest";
import { pauseReason } from "../../../src/model/installation-pause.ts";

test.each([
  ["active", "park", null],
  ["active", "deliver", null],
  ["broken", "park", "broken"],
  ["broken", "deliver", null],
  ["disabled", "park", "disabled"],
  ["disabled", "deliver", "disabled"],
  [undefined, "park", null],
] as const)("an installation that is %s, with the broken action %s, is paused because: %s", (status, brokenAction, reason) => {
  expect(pauseReason(status, brokenAction)).toBe(reason);
});

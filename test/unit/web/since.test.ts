import { expect, test } from "vitest";
import { SINCE_OPTIONS, sinceStart } from "../../../src/web/parts/since.ts";
import { PROTOTYPE_NAMES } from "../../support/prototype-names.ts";

test("a span of the list begins in the past, and any other text of an address is any time", () => {
  for (const { value } of SINCE_OPTIONS.slice(1)) expect(Date.parse(sinceStart(value) ?? "")).toBeLessThan(Date.now());
  for (const other of ["", "2y", ...PROTOTYPE_NAMES]) expect(sinceStart(other)).toBeNull();
});

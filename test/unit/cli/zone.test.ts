import { expect, test } from "vitest";
import { createZone, UTC } from "../../../src/cli/zone.ts";

test.each<[string, string, string]>([
  ["Europe/Berlin", "2026-01-05T10:11:12.999Z", "2026-01-05 11:11:12+01:00"],
  ["Europe/Berlin", "2026-07-05T10:11:12.000Z", "2026-07-05 12:11:12+02:00"],
  ["America/St_Johns", "2026-01-05T00:00:00.000Z", "2026-01-04 20:30:00-03:30"],
  ["Asia/Kathmandu", "2026-12-31T23:00:00.000Z", "2027-01-01 04:45:00+05:45"],
  ["UTC", "2026-01-05T00:00:00.000Z", "2026-01-05 00:00:00Z"],
])("in %s %s is %s", (name, instant, shown) => {
  const zone = createZone(name);
  const at = Date.parse(instant);
  expect(zone.wallClock(at) + zone.offset(at)).toBe(shown);
  expect(zone.instantOf(Date.parse(`${shown.slice(0, 19).replace(" ", "T")}Z`))).toBe(Math.floor(at / 1000) * 1000);
});

test("a time that clocks skip or repeat is one near it", () => {
  const berlin = createZone("Europe/Berlin");
  expect(new Date(berlin.instantOf(Date.UTC(2026, 2, 29, 2, 30))).toISOString()).toMatch(/^2026-03-29T0[01]:30/);
  expect(new Date(berlin.instantOf(Date.UTC(2026, 9, 25, 2, 30))).toISOString()).toMatch(/^2026-10-25T0[01]:30/);
});

test("a zone that only the C library reads is the machine's", () => {
  expect(createZone("CET-1CEST,M3.5.0").wallClock(0)).toBe(createZone(undefined).wallClock(0));
  expect(UTC.offset(0)).toBe("Z");
});

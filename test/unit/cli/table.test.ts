import { expect, test } from "vitest";
import { type Column, layOut, shortIds } from "../../../src/cli/table.ts";
import { createZone, UTC } from "../../../src/cli/zone.ts";

interface Row {
  readonly at: string | null;
  readonly id: string;
  readonly app: string;
  readonly took: string;
  readonly error: string;
}

const COLUMNS: ReadonlyArray<Column<Row>> = [
  { title: "TIME", cell: ({ at }) => at, isTime: true },
  { title: "APP", cell: ({ app }) => app },
  { title: "TOOK", cell: ({ took }) => took, isSpare: true },
  { title: "DELIVERY", cell: ({ id }) => id, isId: true },
  { title: "ERROR", cell: ({ error }) => error, isDetail: true },
];
const row = (change: Partial<Row> = {}): Row => ({
  at: "2026-01-05T10:11:12.345Z",
  id: `dlv_5f2b6c0a${"0".repeat(24)}`,
  app: "acme-tracker",
  took: "1.2 s",
  error: "answered with status 503",
  ...change,
});

const linesOf = (rows: readonly Row[], room: number | null, zone = UTC): string[] => {
  const { titles, rows: laidOut } = layOut(COLUMNS, rows, { room, zone });
  const lines = laidOut.flatMap(({ cells, below }) => [
    cells.map(({ text }) => text).join("  "),
    ...(below === null ? [] : [`  ${below}`]),
  ]);
  return [titles.join("  "), ...lines].map((line) => line.trimEnd());
};

test("a pipe gets every cell whole", () => {
  const [titles, line] = linesOf([row({ error: "x".repeat(500) })], null);
  expect(titles).toMatch(/^TIME \(UTC\) {11}APP/);
  expect(line).toBe(`2026-01-05 10:11:12  acme-tracker  1.2 s  dlv_5f2b6c0a${"0".repeat(24)}  ${"x".repeat(500)}`);
});

test("a narrow terminal gets ids that can be pasted, and whole errors", () => {
  const long = "could not connect: the address 10.1.2.3 is not allowed, and this sentence continues for longer than a line";
  const lines = linesOf([row(), row({ id: `dlv_77770000${"1".repeat(24)}`, error: long })], 80);
  expect(lines).toEqual([
    "TIME (UTC)      APP           TOOK   DELIVERY",
    "01-05 10:11:12  acme-tracker  1.2 s  dlv_5f2b6c0a",
    "  answered with status 503",
    "01-05 10:11:12  acme-tracker  1.2 s  dlv_77770000",
    `  ${long}`,
  ]);
});

test("what is spare is left out before anything is cut, and an id is never cut", () => {
  expect(linesOf([row()], 44)).toEqual([
    "TIME (UTC)      APP           DELIVERY",
    "01-05 10:11:12  acme-tracker  dlv_5f2b6c0a",
    "  answered with status 503",
  ]);
  expect(linesOf([row()], 38)[1]).toBe("01-05 10:11:12  acme-tr…  dlv_5f2b6c0a");
  expect(linesOf([row()], 10)[1]).toBe("01-05 10:11:12  acme-…  dlv_5f2b6c0a");
});

test.each([20, 40, 80, 120, 200])("at %i columns no line but an error is longer than it has to be", (room) => {
  const rows = [row(), row({ app: "a".repeat(60), error: "" }), row({ took: "", at: null })];
  for (const line of linesOf(rows, room)) if (!line.startsWith("  ")) expect(line.length).toBeLessThanOrEqual(Math.max(room, 36));
});

test("short ids are long enough to differ from each other", () => {
  const ids = ["0f3c1d2e-5b6a-4c7d-8e9f-0a1b2c3d4e5f", "0f3c1d2e-5b6b-4c7d-8e9f-0a1b2c3d4e5f", "evt-1", ""];
  expect(shortIds(ids)).toEqual(["0f3c1d2e-5b6a", "0f3c1d2e-5b6b", "evt-1", ""]);
  expect(shortIds([`rpl_${"ab".repeat(16)}`])).toEqual(["rpl_abababab"]);
});

test("times are in the reader's zone, which the title names, or each cell when the clocks were changed between", () => {
  const berlin = createZone("Europe/Berlin");
  expect(linesOf([row()], null, berlin).map((line) => line.slice(0, 21))).toEqual(["TIME (+01:00)        ", "2026-01-05 11:11:12  "]);
  const [titles, winter, summer] = linesOf([row(), row({ at: "2026-07-05T10:11:12Z" })], null, berlin);
  expect(titles).toMatch(/^TIME {2,}APP/);
  expect([winter, summer]).toEqual([
    expect.stringMatching(/^2026-01-05 11:11:12\+01:00 {2}acme/),
    expect.stringMatching(/^2026-07-05 12:11:12\+02:00 {2}acme/),
  ]);
});

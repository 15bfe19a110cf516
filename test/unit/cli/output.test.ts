import fc from "fast-check";
import { expect, test } from "vitest";
import { createOutput, type OutputStream } from "../../../src/cli/output.ts";
import { UTC } from "../../../src/cli/zone.ts";
import { cases } from "../../support/fuzz.ts";

function recorded(json: boolean, stream: Partial<OutputStream> = {}, environment: Record<string, string> = {}) {
  const written = { out: "", err: "" };
  const to = (name: "out" | "err"): OutputStream => ({
    write(text) {
      written[name] += text;
    },
    ...stream,
  });
  return { written, output: createOutput({ stdout: to("out"), stderr: to("err"), environment, json, zone: UTC }) };
}

const COLUMNS = [
  { title: "NAME", cell: ({ name }: { name: string; note: string }) => name, style: () => "green" as const },
  { title: "NOTE", cell: ({ note }: { name: string; note: string }) => note },
];
const ROWS = [
  { name: "a", note: "short" },
  { name: "longer", note: "a note that is longer than the terminal is wide" },
];

test("a table lines up, and is whole where it is not on a terminal", () => {
  const { written, output } = recorded(false);
  output.table(COLUMNS, ROWS, "none");
  expect(written.out).toBe("NAME    NOTE\na       short\nlonger  a note that is longer than the terminal is wide\n");
});

test("a table fits the terminal, in colours unless NO_COLOR is set", () => {
  const plain = recorded(false, { isTTY: true, columns: 20 }, { NO_COLOR: "1" });
  plain.output.table(COLUMNS, ROWS, "none");
  expect(plain.written.out.split("\n")).toEqual(["NAME    NOTE", "a       short", "longer  a note that…", ""]);
  const coloured = recorded(false, { isTTY: true, columns: 20 });
  coloured.output.table(COLUMNS, ROWS, "none");
  expect(coloured.written.out).toContain("\u001b[32m");
});

test("an empty table says what is missing, and nothing as JSON", () => {
  const { written, output } = recorded(false);
  output.table(COLUMNS, [], "No rows.");
  expect(written.out).toBe("No rows.\n");
  const asJson = recorded(true);
  asJson.output.table(COLUMNS, [], "No rows.");
  expect(asJson.written.out).toBe("");
});

test("with --json results are one object a line, and what is for people stays out of the way", () => {
  const { written, output } = recorded(true);
  output.table(COLUMNS, ROWS, "none");
  output.result({ a: 1 }, () => output.line("for people"));
  output.note("a note");
  expect(written).toEqual({ out: `${ROWS.map((row) => JSON.stringify(row)).join("\n")}\n{"a":1}\n`, err: "a note\n" });
});

test("control characters of others do not reach the terminal", () => {
  const { written, output } = recorded(false);
  output.table(COLUMNS, [{ name: "x", note: "\u001b[2Jgone\nand more" }], "none");
  expect(written.out.split("\n")[1]).toBe("x      [2Jgone and more");
});

test("progress is a bar on a terminal and nothing elsewhere", () => {
  const off = recorded(false);
  off.output.progress("replaying").at(1, 2);
  expect(off.written.err).toBe("");
  const on = recorded(false, { isTTY: true, columns: 80 });
  const progress = on.output.progress("replaying");
  progress.at(1, 2);
  progress.end();
  expect(on.written.err).toMatch(/^\rreplaying █{15}░{15} 1\/2\n$/);
});

/** C0 without the newline that ends a line, DEL, C1, line separators, and what changes the direction of text. */
const CONTROL = /(?!\n)[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;
const hostile = fc
  .array(
    fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.integer({ min: 0, max: 0x9f }).map((code) => String.fromCharCode(code)),
      fc.constantFrom("\u001b[31m", "\u001b]0;title\u0007", "\u009b2J", "\u202e", "\u2066", "\u061c", "\u2028", "\u001b[1m\u001b[22m"),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(""));

test("whatever others have written, nothing that is printed controls a terminal", () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const { written, output } = recorded(false);
      output.table(COLUMNS, [{ name: text, note: text }], "none");
      output.facts([[text, output.paint("red", text)]]);
      output.line(`${output.paint("bold", text)}${text}`.replaceAll("\t", ""));
      output.note(text.replaceAll("\t", ""));
      output.problem(text.replaceAll("\t", ""));
      expect(written.out).not.toMatch(CONTROL);
      expect(written.err).not.toMatch(CONTROL);
    }),
    cases(),
  );
});

test("only the styles of the command itself reach a terminal", () => {
  const { written, output } = recorded(false, { isTTY: true, columns: 200 });
  output.facts([["name", `${output.paint("green", "a\u001b[31mb")} \u001b[31mc`]]);
  output.problem("\u001b]0;title\u0007");
  expect(written).toEqual({
    out: "\u001b[2mname\u001b[22m  \u001b[32ma [31mb\u001b[39m  [31mc\n",
    err: " ]0;title \n",
  });
});

test("with --json everything comes back as it was, and is escaped on the way", () => {
  fc.assert(
    fc.property(hostile, (text) => {
      const { written, output } = recorded(true);
      output.result({ [text]: text }, () => {});
      expect(written.out.slice(0, -1)).not.toMatch(CONTROL);
      expect(JSON.parse(written.out)).toEqual(JSON.parse(JSON.stringify({ [text]: text })));
    }),
    cases(),
  );
});

/** The sources under src, parsed: imports, comments and functions, for the tests of the house rules. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync, Visitor } from "rolldown/utils";

const SRC = fileURLToPath(new URL("../../src/", import.meta.url));

export interface SourceComment {
  readonly line: number;
  /** Without its markers; consecutive line comments are one. */
  readonly text: string;
}

export interface SourceFunction {
  readonly name: string;
  readonly line: number;
  readonly lines: number;
}

export interface SourceImport {
  /** As it is written. */
  readonly from: string;
  /** From src; the same as `from` for a package. */
  readonly target: string;
  readonly typeOnly: boolean;
}

export interface Source {
  /** From src, e.g. `delivery/admission.ts`. */
  readonly file: string;
  /** Folder directly under src; empty for main.ts. */
  readonly folder: string;
  /** test/support/rooms.ts */
  readonly room: string;
  readonly isGenerated: boolean;
  readonly text: string;
  /** The text with its comments blanked out: offsets and lines stay. */
  readonly code: string;
  readonly lines: number;
  readonly imports: readonly SourceImport[];
  readonly comments: readonly SourceComment[];
  readonly functions: readonly SourceFunction[];
}

interface Spanned {
  readonly start: number;
  readonly end: number;
}

export function readSources(): Source[] {
  return globSync("**/*.{ts,tsx}", { cwd: SRC }).sort().map(readSource);
}

/** 1 for the first line. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) line++;
  return line;
}

function readSource(file: string): Source {
  const text = readFileSync(join(SRC, file), "utf8");
  const { program, comments, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`);
  const imports: SourceImport[] = [];
  const functions: SourceFunction[] = [];
  const names = new Map<number, string>();

  const addImport = (from: string, typeOnly: boolean): void => {
    imports.push({ from, typeOnly, target: from.startsWith(".") ? normalize(join(dirname(file), from)) : from });
  };
  const addFunction = ({ start, end }: Spanned, name = names.get(start)): void => {
    functions.push({ name: name ?? "anonymous function", line: lineAt(text, start), lines: lineAt(text, end) - lineAt(text, start) + 1 });
  };

  new Visitor({
    ImportDeclaration: ({ source, importKind }) => addImport(source.value, importKind === "type"),
    ExportNamedDeclaration: ({ source, exportKind }) => source && addImport(source.value, exportKind === "type"),
    ExportAllDeclaration: ({ source, exportKind }) => addImport(source.value, exportKind === "type"),
    ImportExpression: ({ source }) => source.type === "Literal" && addImport(String(source.value), false),
    VariableDeclarator: ({ id, init }) => init && id.type === "Identifier" && void names.set(init.start, id.name),
    Property: ({ key, value }) => key.type === "Identifier" && void names.set(value.start, key.name),
    MethodDefinition: ({ key, value }) => key.type === "Identifier" && void names.set(value.start, key.name),
    FunctionDeclaration: (node) => addFunction(node, node.id?.name),
    FunctionExpression: (node) => addFunction(node),
    ArrowFunctionExpression: (node) => addFunction(node),
  }).visit(program);

  const folder = file.includes("/") ? (file.split("/")[0] ?? "") : "";
  return {
    file,
    folder,
    room: folder === "" ? "src" : `src/${folder}`,
    isGenerated: file.endsWith(".generated.ts"),
    text,
    code: blanked(text, comments),
    lines: text.split("\n").length - 1,
    imports,
    comments: joined(text, comments),
    functions,
  };
}

function blanked(text: string, comments: readonly Spanned[]): string {
  let code = "";
  let at = 0;
  for (const { start, end } of comments) {
    code += text.slice(at, start) + text.slice(start, end).replace(/[^\n]/g, " ");
    at = end;
  }
  return code + text.slice(at);
}

function joined(text: string, comments: ReadonlyArray<Spanned & { readonly type: string; readonly value: string }>): SourceComment[] {
  const all: SourceComment[] = [];
  let before: (Spanned & { readonly type: string }) | undefined;
  for (const comment of comments) {
    const last = all.at(-1);
    const isNext = comment.type === "Line" && before?.type === "Line" && /^\n[ \t]*$/.test(text.slice(before.end, comment.start));
    const value = comment.value
      .split("\n")
      .map((line) => line.replace(/^\s*\*+ ?/, "").trimEnd())
      .join("\n")
      .trim();
    if (isNext && last !== undefined) all[all.length - 1] = { line: last.line, text: `${last.text}\n${value}` };
    else all.push({ line: lineAt(text, comment.start), text: value });
    before = comment;
  }
  return all;
}

/**
 * Lays out JSON text for reading without reading it as values: numbers keep their digits, members their order, and text
 * that was cut off is laid out as far as it goes.
 */

export interface JsonToken {
  readonly kind: "key" | "string" | "number" | "word" | "mark" | "space";
  readonly text: string;
}

export interface JsonLayout {
  readonly tokens: readonly JsonToken[];
  /** False: it ends in the middle. */
  readonly isComplete: boolean;
}

/** Includes the remains of a cut at the end: an open string, a lone backslash or minus. */
const TOKEN = /\s+|"(?:[^"\\]|\\[\s\S])*(?:"|\\$)?|-?\d[\d.eE+-]*|-$|[a-z]+|[{}[\],:]/gy;
const WORDS = ["true", "false", "null"];
/** Deeper levels are indented like this one: else the layout of `[[[[…` would be as long as the square of its text. */
const DEEPEST_INDENT = 40;

/** Takes one pass. Null: not a JSON object or array. */
export function layOutJson(text: string): JsonLayout | null {
  if (!/^\s*[{[]/.test(text)) return null;
  const tokens: JsonToken[] = [];
  const open: string[] = [];
  const newLine = (): void => void tokens.push({ kind: "space", text: `\n${"  ".repeat(Math.min(open.length, DEEPEST_INDENT))}` });
  const pattern = new RegExp(TOKEN);
  let isUnfinished = false;
  /** Whether the last piece has opened an object or array, which may turn out to be empty. */
  let isOpened = false;

  while (pattern.lastIndex < text.length) {
    const [piece] = pattern.exec(text) ?? [];
    if (piece === undefined) return null;
    if (piece.trim() === "") continue;
    if (isUnfinished || (open.length === 0 && tokens.length > 0)) return null;
    const isClosing = piece === "}" || piece === "]";
    if (isOpened && piece !== open.at(-1)) newLine();
    if (piece === "{" || piece === "[") {
      tokens.push({ kind: "mark", text: piece });
      open.push(piece === "{" ? "}" : "]");
    } else if (isClosing) {
      if (open.pop() !== piece) return null;
      if (!isOpened) newLine();
      tokens.push({ kind: "mark", text: piece });
    } else if (piece === ",") {
      tokens.push({ kind: "mark", text: piece });
      newLine();
    } else if (piece === ":") {
      const name = tokens.at(-1);
      if (name?.kind === "string") tokens[tokens.length - 1] = { kind: "key", text: name.text };
      tokens.push({ kind: "mark", text: ": " });
    } else if (piece.startsWith('"')) {
      isUnfinished = !/^"(?:[^"\\]|\\.)*"$/s.test(piece);
      tokens.push({ kind: "string", text: piece });
    } else if (/^[a-z]/.test(piece)) {
      const isAtEnd = pattern.lastIndex === text.length;
      if (!WORDS.some((word) => word === piece || (isAtEnd && word.startsWith(piece)))) return null;
      tokens.push({ kind: "word", text: piece });
    } else {
      tokens.push({ kind: "number", text: piece });
    }
    isOpened = piece === "{" || piece === "[";
  }
  if (isOpened) newLine();
  return { tokens, isComplete: open.length === 0 && !isUnfinished };
}

/** The request log keeps 1,024 bytes of a body and never half a character of up to four. */
const SHORTEST_CUT_BYTES = 1024 - 3;

/** Whether a body of the request log is the beginning of a longer one. */
export function isCut(text: string): boolean {
  return new TextEncoder().encode(text).length >= SHORTEST_CUT_BYTES && layOutJson(text)?.isComplete !== true;
}

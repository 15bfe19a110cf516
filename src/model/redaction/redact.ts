/**
 * Takes secrets out of text that came from outside, in whatever form it has them (byte-view.ts).
 *
 * REDACT-1  The input is cut before it is searched, so that the work is bounded; where the cut goes through a secret, its
 *           beginning is taken out.
 * REDACT-2  All matches are found in the input, and each stretch of them is replaced once: a replacement is never searched.
 * REDACT-3  The output is at most `maxBytes` of UTF-8, whatever is replaced.
 */
import { viewsOf } from "./byte-view.ts";
import type { SecretMatcher } from "./secret-matcher.ts";

export const REDACTED = "[redacted]";
export const MAX_BODY_BYTES = 1024;

/** Twice what is kept, because redacted text is usually shorter. */
const SEARCHED_BYTES = 2 * MAX_BODY_BYTES;
/** Fewer characters of a secret that the cut goes through are no loss. */
const SHORTEST_BEGINNING = 4;
/** An escape that the cut goes through, in its longest form `\uD83D\uDE00`. */
const OPEN_ESCAPE = /(?:(?:\\u[0-9a-f]{4})?\\(?:u\{?[0-9a-f]{0,5}|x[0-9a-f]?)?|%[0-9a-f]?|&#?[0-9a-z]{0,8})$/i;

export interface Redaction {
  readonly text: string;
  /** Steps that the matchers took. */
  readonly steps: number;
}

export function redact(input: Uint8Array | string, matchers: readonly SecretMatcher[], maxBytes = MAX_BODY_BYTES): Redaction {
  const whole = typeof input === "string" ? Buffer.from(input) : input;
  const isCut = whole.length > SEARCHED_BYTES;
  const searched = isCut ? cutForSearch(whole) : whole;
  const { depths, steps } = search(searched, matchers, isCut);
  return { text: written(searched, depths, maxBytes), steps };
}

function cutForSearch(whole: Uint8Array): Uint8Array {
  const cut = whole.subarray(0, characterEnd(whole, SEARCHED_BYTES));
  const tail = Buffer.from(cut.subarray(-16)).toString("latin1");
  return cut.subarray(0, cut.length - (OPEN_ESCAPE.exec(tail)?.[0].length ?? 0));
}

/** @returns for each byte how many more matches begin there than end: a match costs two steps, however long it is. */
function search(bytes: Uint8Array, matchers: readonly SecretMatcher[], isCut: boolean): { depths: Int32Array; steps: number } {
  const depths = new Int32Array(bytes.length + 1);
  let steps = 0;
  const mark = (start: number, end: number): void => {
    depths[start] = (depths[start] ?? 0) + 1;
    depths[end] = (depths[end] ?? 0) - 1;
  };
  for (const view of viewsOf(bytes)) {
    const length = view.bytes.length;
    for (const matcher of matchers) {
      steps += matcher.scan(view, mark);
      if (!isCut || view.ends[length - 1] !== bytes.length) continue;
      const open = matcher.openAtEnd(view);
      if (open >= SHORTEST_BEGINNING) mark(view.starts[length - open] ?? 0, bytes.length);
    }
  }
  return { depths, steps };
}

function written(bytes: Uint8Array, depths: Int32Array, maxBytes: number): string {
  let text = "";
  let left = maxBytes;
  let depth = 0;
  let from = 0;
  for (let at = 0; at <= bytes.length; at++) {
    const before = depth;
    depth += depths[at] ?? 0;
    const begins = before === 0 && depth > 0;
    if (begins || (at === bytes.length && before === 0)) {
      const piece = cutText(Buffer.from(bytes.subarray(from, at)).toString("utf8"), left);
      text += piece;
      left -= Buffer.byteLength(piece);
    }
    if (begins) {
      if (left < REDACTED.length) return text;
      text += REDACTED;
      left -= REDACTED.length;
    } else if (before > 0 && depth === 0) from = at;
  }
  return text;
}

/** At most `maxBytes` of UTF-8, never half a character. */
export function cutText(text: string, maxBytes = MAX_BODY_BYTES): string {
  const bytes = Buffer.from(text);
  return bytes.length <= maxBytes ? text : bytes.toString("utf8", 0, characterEnd(bytes, maxBytes));
}

/** The last place up to `end` that is not inside of a character. */
function characterEnd(bytes: Uint8Array, end: number): number {
  let at = end;
  // 10xxxxxx continues a character: the cut goes before the byte that began it.
  while (at > 0 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at--;
  return at;
}

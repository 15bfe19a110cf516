/**
 * Text as it reads after decoding, with the position in the original of each byte. Every decoding is one pass.
 * Escapes are those of JSON and JavaScript, HTML entities and percent-encoding. It isn't known which of them a receiver used:
 * each is read by itself, in another, and all at once.
 */
export interface ByteView {
  readonly bytes: Uint8Array;
  /** For each byte, its source in the original: the first byte, and the one after the last. */
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** Mostly noise, because what was decoded probably wasn't encoded: short values are matched in whole runs only. */
  readonly isGuess: boolean;
}

/** Between decoded runs; no value contains it. */
export const RUN_BREAK = 0;

const SHORTEST_BASE64_RUN = 4;
const SHORTEST_HEX_RUN = 6;
const MOST_UNESCAPES = 3;

/** Upper bound of the number of readings. No reading is more than one byte longer than the original. */
export const MOST_VIEWS = 40;

/** The bytes themselves, and every reading of them that can contain a value. */
export function* viewsOf(original: Uint8Array): Generator<ByteView> {
  const raw = rawView(original);
  yield raw;
  const signs = SIGNS.filter((sign) => original.includes(sign));
  // One kind alone is read as all at once.
  if (signs.length > 1) {
    for (const sign of signs) {
      const once = unescaped(raw, [sign]);
      if (once === null) continue;
      yield once;
      for (const inner of SIGNS) {
        const twice = unescaped(once, [inner]);
        if (twice !== null) yield twice;
      }
    }
  }
  let last = raw;
  for (let level = 1; level <= MOST_UNESCAPES; level++) {
    const next = unescaped(last);
    if (next === null) break;
    yield next;
    last = next;
  }
  for (const view of last === raw ? [raw] : [raw, last]) {
    for (const decoded of guesses(view)) {
      yield decoded;
      const inside = unescaped(decoded);
      if (inside !== null) yield inside;
    }
  }
}

function rawView(bytes: Uint8Array): ByteView {
  const starts = new Int32Array(bytes.length);
  const ends = new Int32Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) {
    starts[at] = at;
    ends[at] = at + 1;
  }
  return { bytes, starts, ends, isGuess: false };
}

/** A value without its escapes, as `unescape` reads it in a text; the value itself when it has none. */
export function unescapedValue(value: Uint8Array): Uint8Array {
  return unescaped(rawView(value))?.bytes ?? value;
}

/** @param signs that begin the escapes to decode. @returns null when there is nothing to decode. */
function unescaped(view: ByteView, signs: readonly number[] = SIGNS): ByteView | null {
  const { bytes } = view;
  if (!signs.some((sign) => bytes.includes(sign))) return null;
  const writer = createWriter(view);
  let isChanged = false;
  for (let at = 0; at < bytes.length; ) {
    const found = signs.includes(bytes[at] ?? 0) ? escapeAt(bytes, at) : null;
    if (found === null) writer.add(bytes[at] ?? 0, at, at + 1);
    else for (const byte of found.bytes) writer.add(byte, at, at + found.length);
    isChanged ||= found !== null;
    at += found?.length ?? 1;
  }
  return isChanged ? writer.end(view.isGuess) : null;
}

interface Escape {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Escapes are ASCII, and no longer than this. */
const LONGEST_ESCAPE = 12;
const BACKSLASH = 0x5c;
const PERCENT = 0x25;
const AMPERSAND = 0x26;
const SIGNS = [BACKSLASH, PERCENT, AMPERSAND];
const UNICODE_PAIR = /^\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})/i;
const CODE_POINT = /^\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|u\{([0-9a-f]{1,6})\})/i;
const ENTITY = /^&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}))(;?)/i;
const CONTROLS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
/** Printable ASCII, and the two entities for white space. */
const ENTITIES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{ amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", tab: "\t", newline: "\n", excl: "!", num: "#", dollar: "$" },
    ...{ percnt: "%", lpar: "(", rpar: ")", ast: "*", midast: "*", plus: "+", comma: ",", period: ".", sol: "/", colon: ":" },
    ...{ semi: ";", equals: "=", quest: "?", commat: "@", lsqb: "[", lbrack: "[", bsol: "\\", rsqb: "]", rbrack: "]", hat: "^" },
    ...{ lowbar: "_", underbar: "_", grave: "`", lcub: "{", lbrace: "{", verbar: "|", vert: "|", rcub: "}", rbrace: "}" },
    ...{ hyphen: "-", dash: "-" },
  }),
);

function escapeAt(bytes: Uint8Array, at: number): Escape | null {
  const first = bytes[at];
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(LONGEST_ESCAPE, bytes.length - at)).toString("latin1");
  if (first === PERCENT) {
    const [all, digits = ""] = /^%([0-9a-f]{2})/i.exec(text) ?? [];
    return all === undefined ? null : { bytes: Uint8Array.of(Number.parseInt(digits, 16)), length: all.length };
  }
  return first === BACKSLASH ? backslashEscape(text) : entity(text);
}

function backslashEscape(text: string): Escape | null {
  const pair = UNICODE_PAIR.exec(text);
  if (pair !== null) {
    const [high = 0, low = 0] = pair.slice(1).map((digits) => Number.parseInt(digits, 16));
    return { bytes: utf8(((high & 0x3ff) << 10) + (low & 0x3ff) + 0x10000), length: pair[0].length };
  }
  const point = CODE_POINT.exec(text);
  if (point !== null) {
    return { bytes: utf8(Number.parseInt(point[1] ?? point[2] ?? point[3] ?? "", 16)), length: point[0].length };
  }
  const next = text[1] ?? "";
  const control = Object.hasOwn(CONTROLS, next) ? CONTROLS[next] : undefined;
  if (control !== undefined) return { bytes: Buffer.from(control), length: 2 };
  return /^["'`/\\]$/.test(next) ? { bytes: Buffer.from(next), length: 2 } : null;
}

function entity(text: string): Escape | null {
  const found = ENTITY.exec(text);
  if (found === null) return null;
  const [all, decimal, hexadecimal, name, semicolon] = found;
  if (name === undefined) {
    const point = decimal === undefined ? Number.parseInt(hexadecimal ?? "", 16) : Number(decimal);
    return { bytes: utf8(point), length: all.length };
  }
  const character = semicolon === ";" ? ENTITIES.get(name.toLowerCase()) : undefined;
  return character === undefined ? null : { bytes: Buffer.from(character), length: all.length };
}

function utf8(codePoint: number): Uint8Array {
  return Buffer.from(codePoint <= 0x10ffff ? String.fromCodePoint(codePoint) : "\ufffd");
}

/** Base64 in both alphabets and hex, of every run of their characters, from every character that a group could begin with. */
function* guesses(view: ByteView): Generator<ByteView> {
  for (const { digits, bits, shortest } of RADIXES) {
    const runs = runsOf(view.bytes, digits, shortest);
    if (runs.length === 0) continue;
    for (let offset = 0; offset < (bits === 6 ? 4 : 2); offset++) {
      const writer = createWriter(view);
      for (const [start, end] of runs) decodeRun(view, start + offset, end, digits, bits, writer);
      yield writer.end(true);
    }
  }
}

function decodeRun(view: ByteView, from: number, end: number, digits: Int8Array, bits: number, writer: Writer): void {
  let held = 0;
  let count = 0;
  for (let at = from; at < end; at++) {
    held = ((held << bits) | (digits[view.bytes[at] ?? 0] ?? 0)) & 0xffff;
    count += bits;
    if (count < 8) continue;
    count -= 8;
    // A byte's bits are in two characters, of which the first may have some of the byte before.
    writer.add((held >> count) & 0xff, at - 1, at + 1);
  }
  writer.add(RUN_BREAK, end - 1, end);
}

function runsOf(bytes: Uint8Array, digits: Int8Array, shortest: number): Array<[start: number, end: number]> {
  const runs: Array<[number, number]> = [];
  let start = 0;
  for (let at = 0; at <= bytes.length; at++) {
    if (at < bytes.length && (digits[bytes[at] ?? 0] ?? -1) >= 0) continue;
    if (at - start >= shortest) runs.push([start, at]);
    start = at + 1;
  }
  return runs;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const RADIXES = [
  { digits: digitTable([`${LETTERS}+/`, `${LETTERS}-_`]), bits: 6, shortest: SHORTEST_BASE64_RUN },
  { digits: digitTable(["0123456789abcdef", "0123456789ABCDEF"]), bits: 4, shortest: SHORTEST_HEX_RUN },
] as const;

/** Character code → digit, or -1. */
function digitTable(alphabets: readonly string[]): Int8Array {
  const table = new Int8Array(256).fill(-1);
  for (const alphabet of alphabets) for (let digit = 0; digit < alphabet.length; digit++) table[alphabet.charCodeAt(digit)] = digit;
  return table;
}

interface Writer {
  /** @param from of the view that is decoded; `to` is behind the last. */
  add(byte: number, from: number, to: number): void;
  end(isGuess: boolean): ByteView;
}

function createWriter({ bytes: source, starts, ends }: ByteView): Writer {
  // No decoding makes text longer; each run has a byte for its end.
  const size = source.length + 1;
  const view = { bytes: new Uint8Array(size), starts: new Int32Array(size), ends: new Int32Array(size) };
  let length = 0;
  return {
    add(byte, from, to) {
      view.bytes[length] = byte;
      view.starts[length] = starts[from] ?? 0;
      view.ends[length] = ends[to - 1] ?? 0;
      length++;
    },
    end: (isGuess) => ({
      bytes: view.bytes.subarray(0, length),
      starts: view.starts.subarray(0, length),
      ends: view.ends.subarray(0, length),
      isGuess,
    }),
  };
}

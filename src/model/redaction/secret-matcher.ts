/**
 * Finds any of many values in bytes (Aho and Corasick, "Efficient string matching", 1975): the work is linear in the input,
 * whatever the values are. Case is ignored, and a space matches `+`.
 *
 * A value shorter than SHORTEST_ANYWHERE matches only as a whole word: anywhere it would blot out ordinary text.
 */
import { type ByteView, RUN_BREAK, unescapedValue } from "./byte-view.ts";

export interface SecretMatcher {
  /** @param mark gets ranges of the original. @returns how many steps it took. */
  scan(view: ByteView, mark: (start: number, end: number) => void): number;
  /** Number of bytes at the end of the view that could begin a value. */
  openAtEnd(view: ByteView): number;
}

const SHORTEST_ANYWHERE = 6;
/** In decoded noise a shorter one turns up by chance. */
const SHORTEST_IN_GUESS = 3;
const COLON = 0x3a;

const FOLDED = Uint8Array.from({ length: 256 }, (_, byte) => (byte === 0x20 ? 0x2b : byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte));
const IS_WORD = Uint8Array.from({ length: 256 }, (_, byte) => Number(/\w/.test(String.fromCharCode(byte))));

/** The values in the forms in which they are looked for: folded, each once, also as they read without their own escapes. */
function patternsOf(values: readonly Uint8Array[]): Uint8Array[] {
  const patterns = new Map<string, Uint8Array>();
  for (const value of values) {
    const once = unescapedValue(value);
    for (const form of [value, once, unescapedValue(once)]) {
      const folded = form.map((byte) => FOLDED[byte] ?? 0);
      const isSignsOnly = folded.every((byte) => IS_WORD[byte] === 0);
      if (folded.length >= (isSignsOnly ? SHORTEST_ANYWHERE : 1)) patterns.set(Buffer.from(folded).toString("latin1"), folded);
    }
  }
  return [...patterns.values()];
}

export function createSecretMatcher(values: readonly Uint8Array[]): SecretMatcher {
  const patterns = patternsOf(values);
  const size = 1 + patterns.reduce((sum, { length }) => sum + length, 0);
  const edges = createEdges(size);
  /** Indexed by node; 0 is the root. */
  const depth = new Int32Array(size);
  const parent = new Int32Array(size);
  const symbol = new Uint8Array(size);
  const fail = new Int32Array(size);
  /** The longest value that ends at a node and may be anywhere; 0 for none. */
  const longest = new Int32Array(size);
  /** One bit for each length of a short value that ends at a node. */
  const short = new Uint8Array(size);

  let steps = 0;
  function step(from: number, byte: number): number {
    for (let node = from; ; node = fail[node] ?? 0) {
      steps++;
      const next = edges.get(node, byte);
      if (next !== 0 || node === 0) return next;
    }
  }

  let nodes = 1;
  for (const pattern of patterns) {
    let node = 0;
    for (const byte of pattern) {
      let next = edges.get(node, byte);
      if (next === 0) {
        next = nodes++;
        edges.set(node, byte, next);
        depth[next] = (depth[node] ?? 0) + 1;
        parent[next] = node;
        symbol[next] = byte;
      }
      node = next;
    }
    if (pattern.length >= SHORTEST_ANYWHERE) longest[node] = pattern.length;
    else short[node] = (short[node] ?? 0) | (1 << pattern.length);
  }
  for (const node of byDepth(depth.subarray(0, nodes))) {
    const above = parent[node] ?? 0;
    if (above !== 0) fail[node] = step(fail[above] ?? 0, symbol[node] ?? 0);
    const shorter = fail[node] ?? 0;
    if (longest[node] === 0) longest[node] = longest[shorter] ?? 0;
    short[node] = (short[node] ?? 0) | (short[shorter] ?? 0);
  }

  return {
    scan(view, mark) {
      const { bytes, starts, ends } = view;
      let node = 0;
      steps = 0;
      for (let at = 0; at < bytes.length; at++) {
        node = step(node, FOLDED[bytes[at] ?? 0] ?? 0);
        const found = longest[node] ?? 0;
        if (found > 0) mark(starts[at - found + 1] ?? 0, ends[at] ?? 0);
        const lengths = short[node] ?? 0;
        for (let length = 1; lengths >> length > 0; length++) {
          if ((lengths >> length) & 1 && isWhole(view, at - length + 1, at + 1)) mark(starts[at - length + 1] ?? 0, ends[at] ?? 0);
        }
      }
      return steps;
    },
    openAtEnd({ bytes }) {
      let node = 0;
      for (const byte of bytes) node = step(node, FOLDED[byte] ?? 0);
      return depth[node] ?? 0;
    },
  };
}

function isWhole({ bytes, isGuess }: ByteView, start: number, end: number): boolean {
  const [before, after] = [bytes[start - 1] ?? RUN_BREAK, bytes[end] ?? RUN_BREAK];
  if (!isGuess) return IS_WORD[before] === 0 && IS_WORD[after] === 0;
  const isEdge = (byte: number): boolean => byte === RUN_BREAK || byte === COLON;
  return end - start >= SHORTEST_IN_GUESS && isEdge(before) && isEdge(after);
}

/** The edges of a tree of that many nodes; 0 for none. A hash table, because a Map of them takes ten times as long to make. */
function createEdges(nodes: number) {
  const bits = Math.ceil(Math.log2(nodes * 2)) + 1;
  const keys = new Int32Array(2 ** bits);
  const targets = new Int32Array(2 ** bits);
  const slotOf = (key: number): number => {
    let slot = Math.imul(key, 0x9e3779b1) >>> (32 - bits);
    while (keys[slot] !== 0 && keys[slot] !== key) slot = (slot + 1) & (keys.length - 1);
    return slot;
  };
  return {
    get: (node: number, byte: number): number => targets[slotOf(node * 256 + byte + 1)] ?? 0,
    set(node: number, byte: number, target: number): void {
      const slot = slotOf(node * 256 + byte + 1);
      keys[slot] = node * 256 + byte + 1;
      targets[slot] = target;
    },
  };
}

/** All nodes but the root, those near it first (counting sort). */
function byDepth(depth: Int32Array): Int32Array {
  const counts = new Int32Array(depth.reduce((most, one) => Math.max(most, one), 0) + 2);
  for (const one of depth) counts[one + 1] = (counts[one + 1] ?? 0) + 1;
  for (let at = 1; at < counts.length; at++) counts[at] = (counts[at] ?? 0) + (counts[at - 1] ?? 0);
  const sorted = new Int32Array(depth.length);
  for (let node = 0; node < depth.length; node++) {
    const at = depth[node] ?? 0;
    sorted[counts[at] ?? 0] = node;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return sorted.subarray(1);
}

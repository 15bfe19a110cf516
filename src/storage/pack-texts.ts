/**
 * Packs texts into one argument of a script, which reads it with `cmsgpack.unpack` (an array of strings, https://msgpack.org): an
 * argument each costs the client and the server more than the text itself.
 */
const ARRAY_32 = 0xdd;
const STRING_32 = 0xdb;
const SHORT_STRING = 0xa0;
const MAX_SHORT = 31;
const HEADER_BYTES = 5;
/** UTF-8 bytes of one UTF-16 unit. */
const MAX_UNIT_BYTES = 3;
const FIRST_BYTES = 64 * 1024;
/** A larger buffer is not kept. */
const MAX_KEPT_BYTES = 1024 * 1024;

let kept = Buffer.allocUnsafeSlow(FIRST_BYTES);

/** Bytes arrive in the script as they are. */
export function packTexts(texts: ReadonlyArray<string | number | Buffer>): Buffer {
  let buffer = kept;
  buffer[0] = ARRAY_32;
  buffer.writeUInt32BE(texts.length, 1);
  let at = HEADER_BYTES;
  for (const each of texts) {
    const text = typeof each === "number" ? String(each) : each;
    const room = HEADER_BYTES + text.length * MAX_UNIT_BYTES;
    if (buffer.length - at < room) {
      const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, at + room));
      buffer.copy(larger, 0, 0, at);
      buffer = larger;
    }
    at = typeof text === "string" ? (writeShort(buffer, at, text) ?? writeAny(buffer, at, text)) : writeBytes(buffer, at, text);
  }
  if (buffer.length <= MAX_KEPT_BYTES) kept = buffer;
  return Buffer.from(buffer.subarray(0, at));
}

/** Most texts are numbers and names: a loop is faster than a call into native code. @returns null for a text that is long or not ASCII */
function writeShort(buffer: Buffer, start: number, text: string): number | null {
  if (text.length > MAX_SHORT) return null;
  let at = start;
  buffer[at++] = SHORT_STRING | text.length;
  for (let n = 0; n < text.length; n++) {
    const code = text.charCodeAt(n);
    if (code > 0x7f) return null;
    buffer[at++] = code;
  }
  return at;
}

/** @returns where the next text begins */
function writeAny(buffer: Buffer, at: number, text: string): number {
  const size = buffer.write(text, at + HEADER_BYTES);
  buffer[at] = STRING_32;
  buffer.writeUInt32BE(size, at + 1);
  return at + HEADER_BYTES + size;
}

function writeBytes(buffer: Buffer, at: number, bytes: Buffer): number {
  buffer[at] = STRING_32;
  buffer.writeUInt32BE(bytes.length, at + 1);
  return at + HEADER_BYTES + bytes.copy(buffer, at + HEADER_BYTES);
}

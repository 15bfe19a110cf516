/**
 * Packs texts into one argument of a script, which reads it with `cmsgpack.unpack` (an array of strings, https://msgpack.org): an
 * argument each costs the client and the server more than the text itself.
 */
const ARRAY_32 = 0xdd;
const STRING_32 = 0xdb;
const FIXED_STRING = 0xa0;
const MAX_FIXED_BYTES = 31;
const HEADER_BYTES = 5;
/** UTF-8 bytes of one UTF-16 unit. */
const MAX_UNIT_BYTES = 3;
const FIRST_BYTES = 64 * 1024;
/** A larger buffer is not kept. */
const MAX_KEPT_BYTES = 1024 * 1024;

let kept = Buffer.allocUnsafeSlow(FIRST_BYTES);

export function packTexts(texts: ReadonlyArray<string | number>): Buffer {
  let buffer = kept;
  buffer[0] = ARRAY_32;
  buffer.writeUInt32BE(texts.length, 1);
  let at = HEADER_BYTES;
  for (const each of texts) {
    const text = typeof each === "string" ? each : String(each);
    const room = HEADER_BYTES + text.length * MAX_UNIT_BYTES;
    if (buffer.length - at < room) {
      const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, at + room));
      buffer.copy(larger, 0, 0, at);
      buffer = larger;
    }
    if (text.length * MAX_UNIT_BYTES <= MAX_FIXED_BYTES) {
      const size = buffer.write(text, at + 1);
      buffer[at] = FIXED_STRING | size;
      at += 1 + size;
    } else {
      const size = buffer.write(text, at + HEADER_BYTES);
      buffer[at] = STRING_32;
      buffer.writeUInt32BE(size, at + 1);
      at += HEADER_BYTES + size;
    }
  }
  if (buffer.length <= MAX_KEPT_BYTES) kept = buffer;
  return Buffer.from(buffer.subarray(0, at));
}

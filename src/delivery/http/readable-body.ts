/**
 * Turns a response body into UTF-8 text for people: decompressed and decoded from the character set of its Content-Type. A body that
 * is not text becomes a line that describes it.
 *
 * TEXT-1  No body is inflated beyond MAX_READABLE_BYTES, and the result has at most as many.
 */
import { isUtf8 } from "node:buffer";
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress, constants as zlib } from "node:zlib";
import type { ResponseHeaders } from "./response-head.ts";

export const MAX_READABLE_BYTES = 64 * 1024;
/** RFC 9110 section 8.4: several are applied one after the other. */
const MAX_CODINGS = 3;
const MAX_TYPE_CHARACTERS = 60;

/** Control characters that text doesn't have. ESC and backspace are allowed: terminal output has them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are searched for here
const NO_TEXT = /[\x00-\x07\x0e-\x1a\x1c-\x1f]/;

/** @returns the same buffer if it is plain UTF-8 */
export function readableBody(body: Buffer | null, headers: ResponseHeaders): Buffer | null | Promise<Buffer | null> {
  if (body === null) return null;
  const type = textOf(headers["content-type"]);
  const codings = textOf(headers["content-encoding"])
    .toLowerCase()
    .split(",")
    .map((coding) => coding.trim())
    .filter((coding) => coding !== "" && coding !== "identity");
  if (codings.length === 0) return asText(body, type) ?? notText(body, type);
  return decompress(body, codings).then((plain) => {
    const text = plain === null ? null : asText(plain, type);
    return text ?? notText(body, [...codings.slice(0, MAX_CODINGS), type].filter(Boolean).join(", "));
  });
}

function asText(bytes: Buffer, type: string): Buffer | null {
  const charset = /;\s*charset\s*=\s*"?([^\s";]{1,40})/i.exec(type)?.[1] ?? byteOrderMark(bytes);
  const isUtf = charset === null || /^utf-?8$/i.test(charset);
  if (isUtf && isUtf8(withoutCutCharacter(bytes))) return NO_TEXT.test(bytes.toString("latin1")) ? null : bytes;
  // Bytes that should be UTF-8 and are not are most often windows-1252, from old servers.
  const text = decode(bytes, isUtf ? "windows-1252" : charset);
  return text === null || NO_TEXT.test(text) || (isUtf && !isTextType(type)) ? null : Buffer.from(text);
}

/** Drops a last character that was cut. @returns null for any other invalid byte, or for an unknown character set */
function decode(bytes: Buffer, charset: string): string | null {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return null;
  }
}

function byteOrderMark(bytes: Buffer): string | null {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  return null;
}

/** A body is cut at a fixed size, possibly within a character. */
function withoutCutCharacter(bytes: Buffer): Buffer {
  if (bytes.length < MAX_READABLE_BYTES) return bytes;
  let end = bytes.length;
  for (let back = 1; back <= 3; back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) {
      end = bytes.length - back;
      break;
    }
    if (byte < 0x80) break;
  }
  return bytes.subarray(0, end);
}

function isTextType(type: string): boolean {
  return type === "" || /^\s*(text\/|application\/([\w.+-]*\+)?(json|xml|problem|x-www-form-urlencoded|javascript))/i.test(type);
}

function notText(body: Buffer, type: string): Buffer {
  const shown = type.replace(/[^\x20-\x7e]/g, "").slice(0, MAX_TYPE_CHARACTERS);
  return Buffer.from(`[not text: ${body.length} bytes${shown === "" ? "" : `, ${shown}`}]`);
}

function textOf(header: string | string[] | undefined): string {
  return Array.isArray(header) ? header.join(",") : (header ?? "");
}

/** @returns null when nothing could be inflated */
async function decompress(body: Buffer, codings: readonly string[]): Promise<Buffer | null> {
  if (codings.length > MAX_CODINGS) return null;
  let bytes: Buffer | null = body;
  for (const coding of [...codings].reverse()) bytes = bytes === null ? null : await inflate(bytes, coding);
  return bytes;
}

/** Inflates up to the limit or the first bad byte: a body that was cut is still readable. */
function inflate(bytes: Buffer, coding: string): Promise<Buffer | null> {
  const stream = inflaterOf(bytes, coding);
  if (stream === null) return Promise.resolve(null);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const end = (): void => resolve(size === 0 ? null : Buffer.concat(chunks, Math.min(size, MAX_READABLE_BYTES)));
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size >= MAX_READABLE_BYTES) stream.destroy();
    });
    stream.on("error", end);
    stream.on("close", end);
    stream.end(bytes);
  });
}

function inflaterOf(bytes: Buffer, coding: string) {
  const options = { finishFlush: zlib.Z_SYNC_FLUSH };
  switch (coding) {
    case "gzip":
    case "x-gzip":
      return createGunzip(options);
    case "deflate":
      // Some servers omit the zlib header, whose low bits are 8.
      return ((bytes[0] ?? 0) & 0x0f) === 8 ? createInflate(options) : createInflateRaw(options);
    case "br":
      return createBrotliDecompress({ finishFlush: zlib.BROTLI_OPERATION_FLUSH });
    case "zstd":
      return createZstdDecompress({ finishFlush: zlib.ZSTD_e_flush });
    default:
      return null;
  }
}

/** A response body gets into a row as text, or as a line that says what it was. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_READABLE_BYTES, readableBody } from "../../../../src/delivery/http/readable-body.ts";
import { cases } from "../../../support/fuzz.ts";

const TEXT = '{"error":"Café fermé – désolé"}';
const LATIN1 = Buffer.from("Café fermé", "latin1");

async function read(body: Buffer, headers: Record<string, string | string[]> = {}): Promise<string | undefined> {
  return (await readableBody(body, headers))?.toString("utf8");
}

test("plain UTF-8 is the same buffer, at once; no body stays none", () => {
  const body = Buffer.from(TEXT);
  expect(readableBody(body, { "content-type": "application/json" })).toBe(body);
  expect(readableBody(body, { "content-encoding": "identity", "content-type": "text/plain; charset=UTF-8" })).toBe(body);
  expect(readableBody(null, { "content-encoding": "gzip" })).toBeNull();
});

describe("a compressed body", () => {
  test.each<[string, (text: Buffer) => Buffer]>([
    ["gzip", gzipSync],
    ["X-GZIP", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
    ["gzip, br", (text) => brotliCompressSync(gzipSync(text))],
    ["identity, gzip", gzipSync],
  ])("in %s is read", async (coding, compress) => {
    expect(await read(compress(Buffer.from(TEXT)), { "content-encoding": coding })).toBe(TEXT);
    expect(await read(compress(LATIN1), { "content-encoding": coding, "content-type": "text/html; charset=latin1" })).toBe("Café fermé");
  });

  test("that was cut is read as far as it goes", async () => {
    const long = Buffer.from(Array.from({ length: 2_000 }, (_, n) => `line ${n}`).join("\n"));
    for (const [coding, compressed] of [
      ["gzip", gzipSync(long)],
      ["deflate", deflateSync(long)],
      ["br", brotliCompressSync(long)],
    ] as const) {
      const text = await read(compressed.subarray(0, compressed.length - 20), { "content-encoding": coding });
      expect(long.toString().startsWith(text ?? "?"), coding).toBe(true);
      expect(text?.length).toBeGreaterThan(1_000);
    }
  });

  test("that would inflate without end is read up to the limit", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024, 120));
    expect(bomb.length).toBeLessThanOrEqual(MAX_READABLE_BYTES);
    expect((await read(bomb, { "content-encoding": "gzip" }))?.length).toBe(MAX_READABLE_BYTES);
    expect((await read(gzipSync(bomb), { "content-encoding": "gzip, gzip" }))?.length).toBe(MAX_READABLE_BYTES);
  });

  test("that isn't what it says, or says too much, is named", async () => {
    expect(await read(Buffer.from("plain"), { "content-encoding": "gzip", "content-type": "text/plain" })).toBe(
      "[not text: 5 bytes, gzip, text/plain]",
    );
    expect(await read(gzipSync("x"), { "content-encoding": "compress" })).toMatch(/^\[not text: \d+ bytes, compress\]$/);
    expect(await read(gzipSync("x"), { "content-encoding": "gzip, gzip, gzip, gzip" })).toMatch(/^\[not text: /);
  });
});

describe("a character set", () => {
  test.each<[string, Buffer, string]>([
    ["text/html; charset=iso-8859-1", LATIN1, "Café fermé"],
    ['text/plain; Charset="windows-1252"', Buffer.from([0x93, 0x41, 0x94]), "“A”"],
    ["text/plain; charset=shift_jis", Buffer.from([0x83, 0x47, 0x83, 0x89, 0x81, 0x5b]), "エラー"],
    ["text/plain; charset=utf-16le", Buffer.from("Café", "utf16le"), "Café"],
    ["text/plain", Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from("Café", "utf16le")]), "Café"],
    ["text/html", LATIN1, "Café fermé"],
    ["", LATIN1, "Café fermé"],
    ["text/html; charset=utf-8", LATIN1, "Café fermé"],
    ["application/problem+json", LATIN1, "Café fermé"],
  ])("%j is read", async (type, body, text) => {
    expect(await read(body, type === "" ? {} : { "content-type": type })).toBe(text);
  });

  test("that nobody knows is named", async () => {
    expect(await read(LATIN1, { "content-type": "text/html; charset=nonsense" })).toBe("[not text: 10 bytes, text/html; charset=nonsense]");
  });
});

test.each<[string, Buffer]>([
  ["image/png", Buffer.from("89504e470d0a1a0a0000000d49484452", "hex")],
  ["application/octet-stream", Buffer.from([0xde, 0xad, 0xbe, 0xef])],
  ["text/plain", Buffer.from("a\0b")],
  ["text/plain; charset=latin1", Buffer.from([1, 2, 3, 0xe9])],
  ["text/plain; charset=utf-16", Buffer.from([0x00, 0xd8, 0x41, 0x00])],
])("a body of %s that isn't text is named", async (type, body) => {
  expect(await read(body, { "content-type": type })).toBe(`[not text: ${body.length} bytes, ${type}]`);
});

test("a body that was cut within a character is text", async () => {
  const body = Buffer.from("é".repeat(MAX_READABLE_BYTES)).subarray(1, MAX_READABLE_BYTES + 1);
  const shifted = Buffer.concat([Buffer.from("a"), Buffer.from("é".repeat(MAX_READABLE_BYTES))]).subarray(0, MAX_READABLE_BYTES);
  expect(body.length).toBe(MAX_READABLE_BYTES);
  expect(await read(shifted, { "content-type": "image/png" })).toMatch(/^aééé/);
});

test("whatever comes, it is text without control characters, within the limit", async () => {
  const coding = fc.constantFrom("", "gzip", "deflate", "br", "zstd", "gzip, deflate", "x");
  const type = fc.oneof(fc.constantFrom("", "text/html", "image/png", "text/plain; charset=utf-16", "a;charset=__proto__"), fc.string());
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    fc.string().map((text) => gzipSync(text)),
  );
  await fc.assert(
    fc.asyncProperty(body, coding, type, async (bytes, encoding, contentType) => {
      const text = (await read(bytes, { "content-encoding": encoding, "content-type": contentType })) ?? "";
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
      expect(text).not.toMatch(/[\x00-\x07\x0e-\x1a\x1c-\x1f]/);
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(3 * MAX_READABLE_BYTES);
    }),
    cases(),
  );
});

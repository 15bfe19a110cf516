/** However its bytes come, an answer is read to the same end, within bounds. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ResponseError, type ResponseHeaders } from "../../../../src/delivery/http/response-head.ts";
import { ResponseReader } from "../../../../src/delivery/http/response-reader.ts";
import { READ_ANSWERS, UNREAD_ANSWERS } from "../../../support/answer-vectors.ts";
import { cases } from "../../../support/fuzz.ts";

interface Read {
  status: number;
  headers: ResponseHeaders;
  body: string;
  ends: number;
  isReusable: boolean | null;
  error: string | null;
}

/** @param hasEnd whether the connection is closed behind the last piece */
function readAll(pieces: readonly Buffer[], hasEnd = true): Read {
  const read: Read = { status: 0, headers: {}, body: "", ends: 0, isReusable: null, error: null };
  const reader = new ResponseReader({
    onHead(status, headers) {
      expect(read.status).toBe(0);
      Object.assign(read, { status, headers });
    },
    onBody(chunk) {
      expect([read.status, read.ends]).toEqual([expect.any(Number), 0]);
      read.body += chunk.toString("latin1");
    },
    onEnd(isReusable) {
      read.isReusable = isReusable;
      read.ends++;
    },
  });
  try {
    for (const piece of pieces) if (!reader.isDone) reader.read(piece);
    if (hasEnd) reader.close();
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    read.error = error.message;
  }
  return read;
}

const bytesOf = (text: string): Buffer => Buffer.from(text, "latin1");
const oneByOne = (bytes: Buffer): Buffer[] => Array.from(bytes, (byte) => Buffer.from([byte]));

describe("an answer is read", () => {
  test.each(READ_ANSWERS)("with $name", ({ bytes, status, body, isReusable }) => {
    expect(readAll([bytesOf(bytes)])).toMatchObject({ status, body, isReusable, ends: 1, error: null });
  });

  test.each(READ_ANSWERS.filter(({ bytes }) => bytes.length < 100_000))("with $name, byte by byte", ({ name, bytes, status, body }) => {
    // Without a usable length the body is what came together with the head.
    const expected = ["two lengths", "a length that is no number", "a negative length", "an empty length", "a length beyond all numbers"];
    expect(readAll(oneByOne(bytesOf(bytes)))).toMatchObject({ status, body: expected.includes(name) ? "" : body, ends: 1, error: null });
  });

  test.each(UNREAD_ANSWERS)("but not with %s", (_name, bytes, error) => {
    for (const pieces of [bytes === "" ? [] : [bytesOf(bytes)], oneByOne(bytesOf(bytes))]) {
      const read = readAll(pieces);
      expect(read).toMatchObject({ status: 0, ends: 0, error: expect.stringMatching(error) });
    }
  });
});

test("headers are kept by lower-case name, up to a limit, folded ones as one value, without control characters", () => {
  const { headers } = readAll([
    bytesOf(
      `HTTP/1.1 200 OK\r\nRetry-After : 7\r\nX-A: a\x1b[31m\r\n\tb\r\nX-B: 1\r\nx-b: 2\r\n__proto__: p\r\nX-Big: ${"x".repeat(16_384)}\r\nX-Late: 1\r\nContent-Length: 0\r\n\r\n`,
    ),
  ]);
  expect({ ...headers }).toEqual({ "retry-after": "7", "x-a": "a[31m b", "x-b": ["1", "2"], ["__proto__"]: "p" });
});

test("an endless head is read no further than 4 MiB: the status counts if there is one", () => {
  const filler = bytesOf(`X: ${"x".repeat(64 * 1024)}\r\n`);
  const much = Array.from({ length: 80 }, () => filler);
  expect(readAll([bytesOf("HTTP/1.1 200 OK\r\n"), ...much], false)).toMatchObject({ status: 200, ends: 1, isReusable: false });
  expect(readAll([bytesOf("HTTP/1.1 100 Continue\r\n"), ...much], false).error).toMatch(/no final answer in/);
  expect(
    readAll([bytesOf("HTTP/1.1 200 OK\r\nX: "), ...Array.from({ length: 5_000 }, () => Buffer.alloc(1_024, 120))], false),
  ).toMatchObject({
    ...{ status: 200, ends: 1 },
  });
});

test("another protocol is recognized at once, not when its line ends", () => {
  expect(readAll([bytesOf("\x16\x03\x01")], false).error).toMatch(/not HTTP/);
});

const piece = fc.oneof(
  fc.constantFrom(
    ...[
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 100 Continue\r\n\r\n",
      "HTTP/1.0 404\n",
      "HTTP/1.1 ",
      "\r\n",
      "\n",
      "\r",
      " ",
      ":",
      "0\r\n\r\n",
      "5\r\nhello\r\n",
    ],
    ...[
      "Content-Length: 5\r\n",
      "Content-Length: 5, 6\r\n",
      "Transfer-Encoding: chunked\r\n",
      "Connection: close\r\n",
      " folded\r\n",
      "hello",
      "ffffffffffff\r\n",
    ],
  ),
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.nat({ max: 40_000 }).map((length) => "x".repeat(length)),
);

test("any bytes end at most once, in any pieces to the same end, and keep little", () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), fc.array(fc.nat({ max: 50 }), { minLength: 1, maxLength: 5 }), (parts, sizes) => {
      const bytes = bytesOf(parts.join(""));
      const pieces: Buffer[] = [];
      for (let at = 0, n = 0; at < bytes.length; n++) {
        const size = 1 + (sizes[n % sizes.length] ?? 0);
        pieces.push(bytes.subarray(at, at + size));
        at += size;
      }
      const [whole, cut] = [readAll([bytes]), readAll(pieces)];
      expect(whole.ends).toBe(whole.error === null ? 1 : 0);
      expect(cut).toMatchObject({ status: whole.status, ends: whole.ends });
      expect(cut.error === null).toBe(whole.error === null);
      expect(whole.body.startsWith(cut.body) || cut.body.startsWith(whole.body)).toBe(true);
      const kept = Object.entries(whole.headers).flat(2).join("").length;
      expect(kept).toBeLessThanOrEqual(16 * 1024);
    }),
    cases(2),
  );
});

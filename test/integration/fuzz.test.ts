/** Whatever a receiver answers, the sender says what it was, keeps little of it, and works on. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { classify } from "../../src/delivery/classify.ts";
import { MAX_RESPONSE_BYTES } from "../../src/delivery/http/exchange.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { OUTCOMES } from "../../src/model/outcome.ts";
import { cases, heapBytes } from "../support/fuzz.ts";
import { type RawServer, startRawServer } from "../support/raw-server.ts";
import { makeSender } from "../support/sender.ts";

const MEMORY_BYTES = 64 * 1024 * 1024;
/** A server that was told to say nothing more is waited for so long. */
const TIMEOUT_MS = 30;

type Ending = "close" | "reset" | "hang";
let answer: { readonly chunks: readonly Buffer[]; readonly ending: Ending } = { chunks: [], ending: "close" };
let server: RawServer;
let sender: Sender;

beforeAll(async () => {
  server = await startRawServer((socket) => {
    for (const chunk of answer.chunks) socket.write(chunk);
    if (answer.ending === "close") socket.end();
    else if (answer.ending === "reset") setImmediate(() => socket.resetAndDestroy());
  });
  sender = makeSender({ connectionsPerOrigin: 4 });
});
afterAll(async () => {
  await sender.close();
  await server.stop();
});

const post = (timeoutMs: number) =>
  sender.send({ url: `http://127.0.0.1:${server.port}/`, headers: {}, body: Buffer.from("{}"), timeoutMs });

const status = fc.oneof(
  fc.integer({ min: 0, max: 999 }).map((code) => `HTTP/1.1 ${code} X\r\n`),
  fc.constantFrom(
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200\r\n",
    "HTTP/2 200\r\n",
    "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 101 X\r\n",
    "",
  ),
  fc.string({ unit: "binary" }),
);
const header = fc.oneof(
  fc.constantFrom(
    ...[
      "Content-Length: 5",
      "Content-Length: 0",
      "Content-Length: -1",
      "Content-Length: 99999999999999999999",
      "Content-Length: 5\r\nContent-Length: 6",
    ],
    ...[
      "Transfer-Encoding: chunked",
      "Transfer-Encoding: chunked, chunked",
      "Content-Encoding: gzip",
      "Connection: close",
      "Connection: upgrade",
    ],
    ...[
      "Retry-After: 1e99",
      "Retry-After: -5",
      "Retry-After: Thu, 99 Foo 0000",
      "Set-Cookie: a=b",
      "Location: http://127.0.0.1:1/",
      "__proto__: x",
    ],
    ...[
      "Sentry-Hook-Error: e",
      "Keep-Alive: timeout=99999999999",
      "Trailer: x",
      ": x",
      "X",
      ` folded: x\r\n y`,
      `X: ${"x".repeat(20_000)}`,
    ],
  ),
  fc.string({ unit: "binary" }),
);
const body = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom("5\r\nhello\r\n0\r\n\r\n", "ffffffffff\r\n", "-1\r\n\r\n", "0\r\nX: y\r\n\r\n", "hello").map((text) => Buffer.from(text)),
  fc.nat({ max: 200_000 }).map((length) => Buffer.alloc(length, 120)),
);
const response = fc
  .tuple(status, fc.array(header, { maxLength: 4 }), fc.array(body, { maxLength: 3 }))
  .map(([first, headers, bodies]) => [Buffer.from(`${first}${headers.map((line) => `${line}\r\n`).join("")}\r\n`, "latin1"), ...bodies]);
const ending = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Ending>("close") },
  { weight: 4, arbitrary: fc.constant<Ending>("reset") },
  {
    weight: 1,
    arbitrary: fc.constant<Ending>("hang"),
  },
);

test("responses of any kind", { timeout: 3_600_000 }, async () => {
  await post(1_000);
  const heapBefore = heapBytes();
  await fc.assert(
    fc.asyncProperty(response, ending, async (chunks, how) => {
      answer = { chunks, ending: how };
      const result = await post(TIMEOUT_MS);
      const { outcome, responseCode, retryAfterMs, error } = classify(result, { retryOn: null }, Date.now());
      expect(OUTCOMES).toContain(outcome);
      expect(outcome === "delivered").toBe(error === null);
      if (result.kind !== "answered") expect(responseCode).toBe(0);
      else expect(result.body?.byteLength ?? 0).toBeLessThanOrEqual(MAX_RESPONSE_BYTES);
      if (retryAfterMs !== null) expect(retryAfterMs).toBeLessThanOrEqual(24 * 3_600_000);
    }),
    cases(0.5),
  );
  answer = { chunks: [Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")], ending: "close" };
  expect(await post(2_000)).toMatchObject({ kind: "answered", status: 200 });
  expect(heapBytes() - heapBefore).toBeLessThan(MEMORY_BYTES);
});

/**
 * The same bytes to the sender, to node:http and to undici: whatever one of the others reads as a complete answer, the sender reads as the
 * same; and whatever came before on a connection, the next answer is the next request's own.
 */
import { request as nodeRequest } from "node:http";
import fc from "fast-check";
import { Client } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MAX_RESPONSE_BYTES } from "../../src/delivery/http/exchange.ts";
import type { Sender } from "../../src/delivery/http/sender.ts";
import { READ_ANSWERS } from "../support/answer-vectors.ts";
import { cases } from "../support/fuzz.ts";
import { type RawServer, startRawServer } from "../support/raw-server.ts";
import { makeSender } from "../support/sender.ts";

interface Answer {
  /** From 200: what an interim answer without a final one means is no question of reading. */
  readonly status: number;
  readonly body: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
}

const SECOND = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond";
/** The server has nothing more to say: a client that waits for more gives up after this time. */
const SILENT_MS = 100;

let answer: { readonly pieces: readonly Buffer[]; readonly closes: boolean } = { pieces: [], closes: true };
let server: RawServer;
let sender: Sender;

beforeAll(async () => {
  server = await startRawServer((socket, text) => {
    if (text.startsWith("POST /second")) return void socket.write(SECOND);
    const { pieces, closes } = answer;
    const write = (at: number): void => {
      const piece = pieces[at];
      if (socket.destroyed) return;
      if (piece === undefined) return void (closes && socket.end());
      socket.write(piece);
      setImmediate(write, at + 1);
    };
    write(0);
  });
  sender = makeSender({ connectionsPerOrigin: 4 });
});
afterAll(async () => {
  await sender.close();
  await server.stop();
});

const post = (path: string, timeoutMs: number) =>
  sender.send({ url: `http://127.0.0.1:${server.port}${path}`, headers: {}, body: Buffer.from("{}"), timeoutMs });

const keptOf = (chunks: readonly Buffer[]): string => Buffer.concat(chunks).subarray(0, MAX_RESPONSE_BYTES).toString("latin1");

/** Null: it is no answer, or not a complete one. */
function readByNode(): Promise<Answer | null> {
  return new Promise((resolve) => {
    const sent = nodeRequest({ host: "127.0.0.1", port: server.port, method: "POST", agent: false });
    sent.on("error", () => resolve(null));
    sent.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(null);
    });
    sent.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", () => resolve(null));
      response.on("close", () => {
        if (!response.complete) return resolve(null);
        const headers = new Map(Object.entries(response.headersDistinct).map(([name, values]) => [name, values ?? []]));
        resolve({ status: response.statusCode ?? 0, body: keptOf(chunks), headers });
      });
    });
    sent.end("{}");
  });
}

async function readByUndici(): Promise<Answer | null> {
  const client = new Client(`http://127.0.0.1:${server.port}`);
  try {
    const { statusCode, headers, body } = await client.request({ path: "/", method: "POST", body: "{}" });
    const chunks: Buffer[] = [];
    for await (const chunk of body as AsyncIterable<Buffer>) chunks.push(chunk);
    const values = Object.entries(headers).map(([name, value]) => [name, [value ?? ""].flat()] as const);
    return { status: statusCode, body: keptOf(chunks), headers: new Map(values) };
  } catch {
    return null;
  } finally {
    await client.destroy();
  }
}

const LINES = [
  ...["Content-Length: 5", "Content-Length: 0", "Content-Length: 05", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length:5 "],
  ...["Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, gzip", "transfer-encoding: CHUNKED "],
  ...["Connection: close", "Connection: keep-alive", "Keep-Alive: timeout=5", "Retry-After: 7", "Retry-After: 7\r\nRetry-After: 8"],
  ...["Location: http://a/\xe9", "X-A: \xa0b\xa0", "X-A:\tb\t", "X-A:", "Content-Encoding: gzip", "Trailer: x", "X-A: a\r\n b"],
];
const statusLine = fc.oneof(
  fc.constant("HTTP/1.1 200 OK"),
  fc.integer({ min: 100, max: 999 }).map((status) => `HTTP/1.1 ${status} X`),
  fc.constantFrom(
    "HTTP/1.0 200 OK",
    "HTTP/1.1 204",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Y",
    "HTTP/1.1 304 X",
    "\r\nHTTP/1.1 200 OK",
  ),
);
const bodyText = fc.oneof(
  fc.constantFrom("hello", "", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n2\r\n!!\r\n0\r\nX: y\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n"),
  fc.constantFrom("05\r\nhello\r\n00\r\n\r\n", "5\nhello\n0\n\n", "5\r\nhello0\r\n\r\n", "hello, and more", SECOND),
  fc.nat({ max: 100_000 }).map((length) => "x".repeat(length)),
);
const built = fc
  .tuple(statusLine, fc.array(fc.constantFrom(...LINES), { maxLength: 4 }), bodyText)
  .map(([first, lines, body]) => `${[first, ...lines].join("\r\n")}\r\n\r\n${body}`);
const known = fc.constantFrom(...READ_ANSWERS.filter(({ bytes }) => bytes.length < 100_000).map(({ bytes }) => bytes));
/** A byte is cut out, doubled or replaced. */
const damaged = fc
  .tuple(fc.oneof(built, known), fc.nat(), fc.constantFrom("", "\r\n", "\n", " ", ":", "\0", "9"))
  .map(([text, where, by]) => {
    const at = where % Math.max(1, Math.min(text.length, 200));
    return text.slice(0, at) + by + text.slice(at + 1);
  });
const pieces = fc
  .tuple(fc.oneof({ weight: 3, arbitrary: built }, damaged), fc.array(fc.nat({ max: 300 }), { maxLength: 4 }))
  .map(([text, cuts]) => {
    const bytes = Buffer.from(text, "latin1");
    const ends = [...new Set(cuts.filter((cut) => cut > 0 && cut < bytes.length))].sort((a, b) => a - b);
    return [0, ...ends].map((from, at) => bytes.subarray(from, ends[at] ?? bytes.length)).filter(({ length }) => length > 0);
  });

test("an answer that node:http or undici reads is read as the same", { timeout: 3_600_000 }, async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(pieces, async (given) => {
      answer = { pieces: given, closes: true };
      const others = (await Promise.all([readByNode(), readByUndici()])).flatMap((other) =>
        other === null || other.status < 200 ? [] : [other],
      );
      const own = await post("/", 10_000);
      for (const other of others) {
        compared++;
        expect(own).toMatchObject({ kind: "answered", status: other.status });
        if (own.kind !== "answered") continue;
        expect(own.body?.toString("latin1") ?? "").toBe(other.body);
        // undici keeps spaces behind a value, which don't belong to it (RFC 9110 section 5.5).
        for (const [name, values] of other.headers)
          expect([name, [own.headers[name] ?? []].flat()]).toEqual([name, values.map((value) => value.replace(/[ \t]+$/, ""))]);
      }
    }),
    cases(1),
  );
  expect(compared).toBeGreaterThan(20);
});

test("after any bytes the next request gets its own answer", { timeout: 3_600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(pieces, async (given) => {
      answer = { pieces: given, closes: false };
      await post("/", SILENT_MS);
      const second = await post("/second", 10_000);
      expect(second).toMatchObject({ kind: "answered", status: 200 });
      expect(second.kind === "answered" && second.body?.toString("latin1")).toBe("second");
    }),
    cases(0.1),
  );
});

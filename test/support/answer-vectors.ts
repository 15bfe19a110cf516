/**
 * Answers byte by byte, and the status that is to be read from them: all that curl 7.88, Python 3.11's http.client and Go 1.26's
 * net/http read alike, and those where one of them is stricter, as long as the bytes can mean one status only.
 */

export interface AnswerVector {
  readonly name: string;
  /** Latin-1. The connection is closed behind it. */
  readonly bytes: string;
  readonly status: number;
  readonly body: string;
  /** Whether the same connection may carry the next request, had it stayed open. */
  readonly isReusable: boolean;
}

const manyHeaders = (bytes: number): string =>
  Array.from({ length: Math.ceil(bytes / 100) }, (_, n) => `X-${n}: ${"x".repeat(90)}\r\n`).join("");

const read = (name: string, bytes: string, { status = 200, body = "ok", isReusable = false } = {}): AnswerVector => ({
  ...{ name, bytes, status, body, isReusable },
});
const OK = "HTTP/1.1 200 OK\r\n";
const TWO = "Content-Length: 2\r\n\r\nok";

export const READ_ANSWERS: readonly AnswerVector[] = [
  read("as it should be", `${OK}${TWO}`, { isReusable: true }),
  read("100 that nobody asked for", `HTTP/1.1 100 Continue\r\n\r\n${OK}${TWO}`, { isReusable: true }),
  read(
    "100, 102, 103 and 199",
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 199 X\r\n\r\nHTTP/1.1 201 Created\r\n${TWO}`,
    { status: 201, isReusable: true },
  ),
  read("fifty times 100", `${"HTTP/1.1 100 Continue\r\n\r\n".repeat(50)}${OK}${TWO}`, { isReusable: true }),
  read("a length, then chunks", `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`),
  read("chunks, then another length", `${OK}Transfer-Encoding: chunked\r\nContent-Length: 200\r\n\r\n2\r\nok\r\n0\r\n\r\n`),
  read("bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
  read("bare line feeds around chunks", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n"),
  read("both line endings", "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok"),
  read("a space before a colon", `${OK}Content-Length : 2\r\n\r\nok`),
  read("a tab before a colon", `${OK}X\t: 1\r\n${TWO}`),
  read("no space behind the colon", `${OK}Content-Length:2\r\n\r\nok`, { isReusable: true }),
  read("names in capitals", `${OK}CONTENT-LENGTH: 2\r\n\r\nok`, { isReusable: true }),
  read("20 KiB of headers", `${OK}${manyHeaders(20_000)}${TWO}`),
  read("60 KiB of headers", `${OK}${manyHeaders(60_000)}${TWO}`),
  read("a megabyte of headers", `${OK}${manyHeaders(1_000_000)}${TWO}`),
  read("one header of 60 KiB", `${OK}X: ${"x".repeat(60_000)}\r\n${TWO}`),
  read("one header of 200,000 bytes", `${OK}X: ${"x".repeat(200_000)}\r\n${TWO}`),
  read("chunked behind 60 KiB of headers", `${OK}${manyHeaders(60_000)}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`),
  read("a folded header", `${OK}X-A: a\r\n b\r\n${TWO}`),
  read("a folded transfer coding", `${OK}Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`),
  read("a folded line without a header", `${OK} x\r\n${TWO}`),
  read("no reason phrase", `HTTP/1.1 200\r\n${TWO}`, { isReusable: true }),
  read("an empty reason phrase", `HTTP/1.1 200 \r\n${TWO}`, { isReusable: true }),
  read("a reason phrase in latin-1", `HTTP/1.1 200 D\xe9j\xe0\r\n${TWO}`, { isReusable: true }),
  read("two spaces in the status line", `HTTP/1.1  200 OK\r\n${TWO}`, { isReusable: true }),
  read("HTTP/1.0 without a length", "HTTP/1.0 200 OK\r\n\r\nok"),
  read("HTTP/1.0 with one", `HTTP/1.0 200 OK\r\n${TWO}`),
  read("HTTP/1.2", `HTTP/1.2 200 OK\r\n${TWO}`),
  read("HTTP/1.1 without a length", `${OK}\r\nok`),
  read("no header at all", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "", isReusable: true }),
  read("204 with a body", `HTTP/1.1 204 No Content\r\n${TWO}`, { status: 204, body: "" }),
  read("bytes behind the answer", `${OK}${TWO}GARBAGE GARBAGE\r\n`),
  read("a second answer that nobody asked for", `${OK}${TWO}HTTP/1.1 500 X\r\n\r\n`),
  read("a value in latin-1", `${OK}X-A: D\xe9j\xe0\r\n${TWO}`, { isReusable: true }),
  read("a NUL in a value", `${OK}X-A: a\0b\r\n${TWO}`),
  read("a control character in a value", `${OK}X-A: a\x01b\r\n${TWO}`),
  read("brackets in a name", `${OK}X(A): b\r\n${TWO}`, { isReusable: true }),
  read("a line without a colon", `${OK}X-A\r\n${TWO}`),
  read("a header without a name", `${OK}: x\r\n${TWO}`),
  read("names of Object.prototype", `${OK}__proto__: x\r\nconstructor: y\r\ntoString: z\r\n${TWO}`, { isReusable: true }),
  read("the same length twice", `${OK}Content-Length: 2\r\n${TWO}`),
  read("the same length twice in one header", `${OK}Content-Length: 2, 2\r\n\r\nok`),
  read("two lengths", `${OK}Content-Length: 3\r\n${TWO}`),
  read("a length that is no number", `${OK}Content-Length: two\r\n\r\nok`),
  read("a negative length", `${OK}Content-Length: -2\r\n\r\nok`),
  read("an empty length", `${OK}Content-Length:\r\n\r\nok`),
  read("a length beyond all numbers", `${OK}Content-Length: 99999999999999999999\r\n\r\nok`),
  read("a longer length than the body", `${OK}Content-Length: 20\r\n\r\nok`),
  read("chunks without an end", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n`),
  read("chunked, but no chunks", `${OK}Transfer-Encoding: chunked\r\n\r\nhello\r\n`, { body: "" }),
  read("spaces behind a chunk's size", `${OK}Transfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n`, { isReusable: true }),
  read("a chunk extension and trailers", `${OK}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: 1\r\n\r\n`, { isReusable: true }),
  read("a longer chunk than it says", `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nokXX\r\n0\r\n\r\n`),
  read("the coding in capitals", `${OK}Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n`, { isReusable: true }),
  read("the coding identity", `${OK}Transfer-Encoding: identity\r\n${TWO}`, { isReusable: true }),
  read("a coding that isn't chunked", `${OK}Transfer-Encoding: gzip\r\n\r\nok`),
  read("a connection that is to be closed", `${OK}Connection: X, close\r\n${TWO}`),
  read("headers that end with the connection", "HTTP/1.1 200 OK\r\nContent-Le", { body: "" }),
  read("a status line and nothing else", "HTTP/1.1 200 OK\r\n", { body: "" }),
  read("an empty line before it", `\r\n${OK}${TWO}`),
  read("a CR before it", `\r${OK}${TWO}`),
  read("status 600", `HTTP/1.1 600 X\r\n${TWO}`, { status: 600, isReusable: true }),
  read("status 999", `HTTP/1.1 999 X\r\n${TWO}`, { status: 999, isReusable: true }),
];

/** Bytes that no status can be read from, and what is said of them. */
export const UNREAD_ANSWERS: ReadonlyArray<readonly [name: string, bytes: string, error: RegExp]> = [
  ["status 000", `HTTP/1.1 000 X\r\n${TWO}`, /status 000/],
  ["status 099", `HTTP/1.1 099 X\r\n${TWO}`, /status 099/],
  ["status 9999", `HTTP/1.1 9999 X\r\n${TWO}`, /malformed: status 9999/],
  ["status 20", `HTTP/1.1 20 X\r\n${TWO}`, /malformed: status 20/],
  ["status -200", `HTTP/1.1 -200 X\r\n${TWO}`, /malformed: status -200/],
  ["no status", `HTTP/1.1 OK\r\n${TWO}`, /malformed: status OK/],
  ["a status line of words", `HTTP/1.1 \x1b[31mred\r\n${TWO}`, /malformed$/],
  ["status 101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", /status 101 \(Switching Protocols\)/],
  ["an interim answer only", "HTTP/1.1 100 Continue\r\n\r\n", /interim answer \(status 100\)/],
  ["half a status line", "HTTP/1.1 20", /within the status line/],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", /not HTTP/],
  ["a body without a head", '{"ok":true}', /not HTTP/],
  ["nothing", "", /without an answer/],
];

/** Rejects requests before their body is read. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { STATUS_CODES } from "../../model/node-http.ts";
import { problem } from "./problems.ts";

export interface RequestLimits {
  readonly maxBodyBytes: number;
  /** All headers together. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** Characters of an event's id in a path. */
  readonly maxIdLength: number;
  readonly requestTimeoutMs: number;
}

/** Default headers of every answer. No answer may be cached; some contain secrets. */
export const ANSWER_HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" } as const;
export const ANSWER_HEADER_LIST = Object.entries(ANSWER_HEADERS);

class Rejected extends Error {
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/** @throws an error with `statusCode` */
export function checkHead({ rawHeaders, headers, headersDistinct, httpVersion }: IncomingMessage, { maxHeaders }: RequestLimits): void {
  const count = rawHeaders.length / 2;
  if (count > maxHeaders) throw new Rejected(431, `found ${count} headers, wanted at most ${maxHeaders} (POSTHORN_HTTP_MAX_HEADERS)`);
  const hosts = headersDistinct["host"]?.length ?? 0;
  // RFC 9112, 3.2. A proxy in front may have gone by the other one.
  if (hosts > 1) throw new Rejected(400, `Host: found ${hosts} of them, wanted one`);
  if (hosts === 0 && httpVersion === "1.1") throw new Rejected(400, "Host: found nothing, wanted one");
  const { expect = "100-continue" } = headers;
  if (!/(?:^|\W)100-continue(?:$|\W)/i.test(expect))
    throw new Rejected(417, `Expect: found ${JSON.stringify(expect)}, wanted 100-continue or no Expect`);
  const encoding = headers["content-encoding"] ?? "identity";
  // A small compressed body could expand to any size.
  if (encoding.toLowerCase() !== "identity") throw new Rejected(415, `content-encoding: found ${encoding}, wanted an uncompressed body`);
}

/** Answers input that the HTTP parser rejects before there is a request. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const [status, detail] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? [431, "the headers exceed POSTHORN_HTTP_MAX_HEADER_SIZE"]
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? [408, "the request did not arrive within POSTHORN_HTTP_REQUEST_TIMEOUT"]
        : [400, "not an HTTP request"];
  const body = JSON.stringify(problem(status, detail));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json\r\n` +
      `${ANSWER_HEADER_LIST.map(([name, value]) => `${name}: ${value}\r\n`).join("")}` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

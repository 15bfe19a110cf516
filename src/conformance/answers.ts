/** Answers of the kit's receiver: as HTTP wants them, and as a receiver that is broken or hostile gives them. */
import { pipeline } from "node:stream/promises";
import { gzipSync } from "node:zlib";
import type { Answer } from "./receiver.ts";

const DRIP_EVERY_MS = 250;
const CHUNK_BYTES = 64 * 1024;
/** Beyond this a sender has no limit. */
export const ENDLESS_BYTES = 16 * 1024 * 1024;

export function status(code: number, headers: Readonly<Record<string, string>> = {}, body: string | Buffer = ""): Answer {
  return ({ response }) => {
    response.statusCode = code;
    response.setHeaders(new Map(Object.entries(headers))).end(body);
  };
}

export const OK = status(200);

/** 200 to all requests but the first. */
export function firstly(first: Answer): Answer {
  return (exchange) => (exchange.nth === 1 ? first : OK)(exchange);
}

export const nothing: Answer = () => {};
export const reset: Answer = ({ attempt }) => void attempt.connection.resetAndDestroy();

/** These bytes, and the end of the connection. */
export function bytes(text: string): Answer {
  return ({ attempt }) => void attempt.connection.end(text);
}

/** A beginning, then one piece after the other, for ever. */
export function drip(head: string, piece: string): Answer {
  return ({ attempt: { connection } }) => {
    connection.write(head);
    const timer = setInterval(() => connection.write(piece), DRIP_EVERY_MS);
    connection.once("close", () => clearInterval(timer));
  };
}

/** Bytes as fast as the sender takes them, up to ENDLESS_BYTES; then the connection stays open. */
export function flood(head: string, piece: string): Answer {
  const chunk = Buffer.from(piece.repeat(Math.ceil(CHUNK_BYTES / piece.length)));
  const pieces = function* (): Generator<string | Buffer> {
    yield head;
    for (let sent = 0; sent < ENDLESS_BYTES; sent += chunk.length) yield chunk;
  };
  // It fails when the sender ends the connection, which is what the check waits for.
  return ({ attempt }) => void pipeline(pieces, attempt.connection, { end: false }).catch(() => {});
}

export const GZIP = { "content-encoding": "gzip", "content-type": "application/json" };

/** A megabyte that expands to a gigabyte: members of gzip follow each other (RFC 1952 2.2). */
export const gzipBomb: Answer = (exchange) => {
  const member = gzipSync(Buffer.alloc(1024 * 1024));
  status(200, GZIP, Buffer.concat(Array.from({ length: 1024 }, () => member)))(exchange);
};

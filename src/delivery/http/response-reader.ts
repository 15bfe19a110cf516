/**
 * Reads one HTTP/1.x answer from a stream of bytes, as leniently as other clients do (RFC 9112): a receiver that wrote a
 * status has handled the request, and a retry because of a bare LF in its headers would only repeat the work.
 *
 * READ-1  Memory is bounded: a line and the kept headers have a limit. Bytes beyond it are read and dropped. Headers that frame
 *         the body are honoured even there.
 * READ-2  Interim answers (1xx, RFC 9110 section 15.2) are skipped, whether asked for or not.
 * READ-3  An answer with anything unusual in it ends the connection: the start of the next answer would be a guess.
 * READ-4  A final status counts even if the receiver closes the connection before headers or body are complete: a retry to a
 *         receiver that miscounts its bodies would end the same way.
 */
import {
  MAX_LINE_BYTES,
  ResponseError,
  ResponseHead,
  type ResponseHeaders,
  refuseOtherProtocol,
  withoutLeadingCrs,
} from "./response-head.ts";

export interface ResponseSink {
  onHead(status: number, headers: ResponseHeaders): void;
  onBody(chunk: Buffer): void;
  /** @param isReusable whether the connection can carry another request */
  onEnd(isReusable: boolean): void;
}

/** Heads of interim answers and trailers included. Beyond it the answer counts without its body. */
const MAX_HEAD_BYTES = 4 * 1024 * 1024;

const LF = 0x0a;
const CHUNK_SIZE = /^[ \t]*([0-9a-f]{1,12})[ \t]*(?:;|$)/i;

type State = "status" | "header" | "length" | "chunk size" | "chunk" | "chunk end" | "trailer" | "until close" | "done";

/** A class for its fixed shape: one is created per connection and used for one answer after the other. */
export class ResponseReader {
  /** Whether a byte of the current answer has arrived. */
  hasBegun = false;
  private readonly sink: ResponseSink;
  private readonly head = new ResponseHead();
  private state: State = "status";
  /** The beginning of a line whose end has not arrived. */
  private partial = "";
  private headBytes = 0;
  /** Bytes left of the body, or of its current chunk. */
  private remaining = 0;

  constructor(sink: ResponseSink) {
    this.sink = sink;
  }

  get isDone(): boolean {
    return this.state === "done";
  }

  /** @throws ResponseError */
  read(bytes: Buffer): void {
    this.hasBegun = true;
    let at = 0;
    while (at < bytes.length && this.state !== "done") {
      switch (this.state) {
        case "length":
        case "chunk": {
          const end = Math.min(bytes.length, at + this.remaining);
          this.remaining -= end - at;
          const isLast = this.remaining === 0;
          this.sink.onBody(bytes.subarray(at, end));
          at = end;
          if (isLast && this.state === "length") this.end(at === bytes.length);
          else if (isLast && this.state === "chunk") this.state = "chunk end";
          break;
        }
        case "until close":
          this.sink.onBody(bytes.subarray(at));
          at = bytes.length;
          break;
        default:
          at = this.readLine(bytes, at);
      }
    }
  }

  /** The receiver closed its half in good order: no reset, no deadline. @throws ResponseError without a final status */
  close(): void {
    if (this.isDone) return;
    const { status, isInterim } = this.head;
    if (!this.hasBegun) throw new ResponseError("the receiver closed the connection without an answer");
    if (status === 0) throw new ResponseError("the receiver closed the connection within the status line");
    if (isInterim)
      throw new ResponseError(`the receiver closed the connection after an interim answer (status ${status}), without a final one`);
    // READ-4
    if (this.state === "header") this.reportHead();
    this.end(false);
  }

  /** Nothing more is read or reported. */
  stop(): void {
    this.state = "done";
  }

  /** For the next answer on the same connection. */
  reset(): void {
    this.state = "status";
    this.hasBegun = false;
    this.headBytes = 0;
    this.head.status = 0;
    this.head.clear();
  }

  /** @returns where the next line begins */
  private readLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at);
    const stop = end === -1 ? bytes.length : end;
    this.headBytes += stop - at + 1;
    const room = MAX_LINE_BYTES - this.partial.length;
    if (stop > at && room > 0) this.partial += bytes.toString("latin1", at, Math.min(stop, at + room));
    if (end === -1) {
      if (this.state === "status") refuseOtherProtocol(this.partial);
    } else {
      let line = this.partial;
      this.partial = "";
      if (line.endsWith("\r")) line = line.slice(0, -1);
      else this.head.isUnusual = true;
      this.onLine(line, bytes, stop + 1);
    }
    if (this.headBytes > MAX_HEAD_BYTES && !this.isDone) this.giveUpHead();
    return stop + 1;
  }

  /** @param next where the bytes after the line begin */
  private onLine(line: string, bytes: Buffer, next: number): void {
    const isLast = next === bytes.length;
    switch (this.state) {
      case "status":
        return this.onStatusLine(line);
      case "header":
        if (line === "") this.onHeadEnd(isLast, bytes, next);
        else this.head.readHeader(line);
        return;
      case "chunk size":
        return this.onChunkSize(line);
      case "chunk end":
        // Other clients refuse or ignore more bytes than announced; the answer is known either way.
        if (line === "") this.state = "chunk size";
        else this.end(false);
        return;
      default:
        if (line === "") this.end(isLast);
    }
  }

  private onStatusLine(line: string): void {
    const status = withoutLeadingCrs(line);
    // Empty lines may be left over from the previous answer (RFC 9112 section 2.2).
    if (status === "" || status !== line) this.head.isUnusual = true;
    if (status === "") return;
    this.head.readStatus(status);
    this.state = "header";
  }

  private onHeadEnd(isLast: boolean, bytes: Buffer, next: number): void {
    if (this.head.isInterim) {
      this.head.clear();
      this.state = "status";
      return;
    }
    this.reportHead();
    if (this.isDone) return;
    const framing = this.head.framing();
    switch (framing.kind) {
      case "none":
        return this.end(isLast);
      case "chunked":
        this.state = "chunk size";
        return;
      case "until-close":
        this.state = "until close";
        return;
      case "length":
        this.remaining = framing.length;
        this.state = "length";
        return;
      case "invalid":
        // The body is the part of it that came with the head.
        if (!isLast) this.sink.onBody(bytes.subarray(next));
        this.end(false);
    }
  }

  private onChunkSize(line: string): void {
    const match = CHUNK_SIZE.exec(line);
    // The status counts, although nobody knows any more where the body ends.
    if (match === null) return this.end(false);
    this.remaining = Number.parseInt(match[1] ?? "", 16);
    this.state = this.remaining === 0 ? "trailer" : "chunk";
  }

  private giveUpHead(): void {
    if (this.state === "status" || this.head.isInterim) throw new ResponseError(`no final answer in ${MAX_HEAD_BYTES} bytes of headers`);
    if (this.state === "header") this.reportHead();
    this.end(false);
  }

  private reportHead(): void {
    this.head.keepHeader();
    this.sink.onHead(this.head.status, this.head.headers);
  }

  private end(isClean: boolean): void {
    if (this.state === "done") return;
    this.state = "done";
    this.sink.onEnd(isClean && this.head.isPersistent && !this.head.isUnusual);
  }
}

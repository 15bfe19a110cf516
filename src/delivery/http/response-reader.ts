/**
 * Reads one HTTP/1.x answer from a stream of bytes, as leniently as other clients do (RFC 9112): a receiver that wrote a
 * status has handled the request, and asking it again because of a bare LF in its headers would only repeat the work.
 *
 * READ-1  Memory is bounded: a line and the headers that are kept have a limit, and what is beyond it is read and dropped.
 *         Headers that frame the body are honoured even there.
 * READ-2  Interim answers (1xx, RFC 9110 section 15.2) are skipped, asked for or not.
 * READ-3  An answer with anything unusual in it ends the connection: where the next answer would begin is a guess.
 * READ-4  A final status counts even if the receiver closes the connection before the headers or the body are complete:
 *         sending the same again to one that miscounts its bodies would have the same end.
 */

/** Lower-case names; values without control characters. Made without a prototype: any name may come. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface ResponseSink {
  onHead(status: number, headers: ResponseHeaders): void;
  onBody(chunk: Buffer): void;
  /** @param isReusable whether the connection can carry another request */
  onEnd(isReusable: boolean): void;
}

/** The bytes are no answer, or end before it does. The message is for people. */
export class ResponseError extends Error {}

/** Names and values together, as much as Node's own client takes. */
const MAX_KEPT_HEADER_BYTES = 16 * 1024;
const MAX_LINE_BYTES = 16 * 1024;
/** Heads of interim answers and trailers included; the answer counts without its body beyond it. */
const MAX_HEAD_BYTES = 4 * 1024 * 1024;

const LF = 0x0a;
const STATUS_LINE_BEGIN = "http/";
/** More than the grammar has, as long as it can mean one status only. */
const STATUS_LINE = /^(HTTP\/\d(?:\.\d)?)[ \t]+(\d{3})(?!\d)/i;
const CHUNK_SIZE = /^[ \t]*([0-9a-f]{1,12})[ \t]*(?:;|$)/i;
const UNUSUAL_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

type State = "status" | "header" | "length" | "chunk size" | "chunk" | "chunk end" | "trailer" | "until close" | "done";

/** A class for its fixed shape: one is made per connection and used for one answer after the other. */
export class ResponseReader {
  /** Whether any byte of the present answer has come. */
  hasBegun = false;
  private readonly sink: ResponseSink;
  private state: State = "status";
  /** The beginning of a line that has no end yet. */
  private partial = "";
  private headBytes = 0;

  private status = 0;
  private protocol = "";
  private headers: Record<string, string | string[] | undefined> = Object.create(null);
  private keptBytes = 0;
  private name = "";
  private value = "";
  private isUnusual = false;

  /** Null: there is none. An empty one can't be right. */
  private contentLength: string | null = null;
  private transferEncoding = "";
  private connection = "";
  /** Bytes left of the body, or of its present chunk. */
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

  /** The other side closed its half, in good order: no reset, no deadline. @throws ResponseError when no status has come */
  close(): void {
    if (this.isDone) return;
    if (!this.hasBegun) throw new ResponseError("the receiver closed the connection without an answer");
    if (this.status === 0) throw new ResponseError("the receiver closed the connection within the status line");
    if (this.status < 200)
      throw new ResponseError(`the receiver closed the connection after an interim answer (status ${this.status}), without a final one`);
    // READ-4
    if (this.state === "header") this.tellHead();
    this.end(false);
  }

  /** @returns where the next line begins */
  private readLine(bytes: Buffer, at: number): number {
    const end = bytes.indexOf(LF, at);
    const stop = end === -1 ? bytes.length : end;
    this.headBytes += stop - at + 1;
    const room = MAX_LINE_BYTES - this.partial.length;
    if (stop > at && room > 0) this.partial += bytes.toString("latin1", at, Math.min(stop, at + room));
    if (end === -1) {
      if (this.state === "status") refuseOther(this.partial);
    } else {
      let line = this.partial;
      this.partial = "";
      if (line.endsWith("\r")) line = line.slice(0, -1);
      else this.isUnusual = true;
      this.takeLine(line, stop + 1 === bytes.length, bytes, stop + 1);
    }
    if (this.headBytes > MAX_HEAD_BYTES && !this.isDone) this.giveUpHead();
    return stop + 1;
  }

  private takeLine(line: string, isLast: boolean, bytes: Buffer, next: number): void {
    switch (this.state) {
      case "status":
        return this.takeStatus(line);
      case "header":
        if (line === "") return this.takeHead(isLast, bytes, next);
        return this.takeHeader(line);
      case "chunk size":
        return this.takeChunkSize(line);
      case "chunk end":
        // Other clients refuse or ignore more bytes than announced; either way the answer is known by now.
        if (line === "") this.state = "chunk size";
        else this.end(false);
        return;
      default:
        if (line === "") this.end(isLast);
    }
  }

  private takeStatus(line: string): void {
    // Empty lines may be left over from the answer before (RFC 9112 section 2.2).
    if (line === "") {
      this.isUnusual = true;
      return;
    }
    const match = STATUS_LINE.exec(line);
    if (match === null) {
      refuseOther(line);
      throw new ResponseError(`the answer's status line is malformed${shownStatus(line)}`);
    }
    this.protocol = match[1] ?? "";
    this.status = Number(match[2]);
    if (this.status < 100) throw new ResponseError(`the receiver answered with status ${match[2]}, and HTTP's begin at 100`);
    if (this.status === 101)
      throw new ResponseError("the receiver answered with status 101 (Switching Protocols), which was not asked for");
    this.state = "header";
  }

  private takeHeader(line: string): void {
    const first = line.charCodeAt(0);
    if (first === 0x20 || first === 0x09) {
      // Folded lines are obsolete, and one value all the same (RFC 9112 section 5.2).
      this.isUnusual = true;
      if (this.name !== "" && this.value.length < MAX_LINE_BYTES) this.value += ` ${line.trim()}`;
      return;
    }
    this.keepHeader();
    const colon = line.indexOf(":");
    if (colon <= 0) {
      this.isUnusual = true;
      return;
    }
    const name = line.slice(0, colon);
    this.name = name.trimEnd().toLowerCase();
    if (this.name.length !== name.length) this.isUnusual = true;
    this.value = line.slice(colon + 1).trim();
  }

  /** A header is complete once the line behind it is known not to go on with it. */
  private keepHeader(): void {
    const { name } = this;
    if (name === "") return;
    let { value } = this;
    this.name = "";
    if (UNUSUAL_VALUE.test(value)) {
      this.isUnusual = true;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      value = value.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, "");
    }
    if (name === "content-length") this.contentLength = this.contentLength === null ? value : joined(this.contentLength, value);
    else if (name === "transfer-encoding") this.transferEncoding = joined(this.transferEncoding, value.toLowerCase());
    else if (name === "connection") this.connection = joined(this.connection, value.toLowerCase());
    this.keptBytes += name.length + value.length;
    if (this.keptBytes > MAX_KEPT_HEADER_BYTES) {
      this.isUnusual = true;
      return;
    }
    const before = this.headers[name];
    if (before === undefined) this.headers[name] = value;
    else if (typeof before === "string") this.headers[name] = [before, value];
    else before.push(value);
  }

  /** RFC 9112 section 6.3. */
  private takeHead(isLast: boolean, bytes: Buffer, next: number): void {
    if (this.status < 200) {
      this.clearHead();
      this.state = "status";
      return;
    }
    this.tellHead();
    if (this.isDone) return;
    const codings = this.transferEncoding.split(",").map((coding) => coding.trim());
    const isCoded = codings.some((coding) => coding !== "" && coding !== "identity");
    const lengths = new Set(this.contentLength?.split(",").map((length) => length.trim()));
    const [length = ""] = lengths;
    if (this.contentLength !== null && (this.contentLength !== length || isCoded)) this.isUnusual = true;

    if (this.status === 204 || this.status === 304) return this.end(isLast);
    if (isCoded) {
      // A transfer coding overrides a length.
      this.state = codings.at(-1) === "chunked" ? "chunk size" : "until close";
      return;
    }
    if (lengths.size === 0) {
      this.state = "until close";
      return;
    }
    this.remaining = Number(length);
    if (lengths.size > 1 || !/^\d{1,15}$/.test(length)) {
      // A length that can't be right: nobody knows where the body ends, so it is what came with the head.
      if (!isLast) this.sink.onBody(bytes.subarray(next));
      return this.end(false);
    }
    if (this.remaining === 0) return this.end(isLast);
    this.state = "length";
  }

  private takeChunkSize(line: string): void {
    const match = CHUNK_SIZE.exec(line);
    // The status counts, although the body can't be told from what is around it any more.
    if (match === null) return this.end(false);
    this.remaining = Number.parseInt(match[1] ?? "", 16);
    this.state = this.remaining === 0 ? "trailer" : "chunk";
  }

  private giveUpHead(): void {
    if (this.state === "status" || this.status < 200) throw new ResponseError(`no final answer in ${MAX_HEAD_BYTES} bytes of headers`);
    if (this.state === "header") this.tellHead();
    this.end(false);
  }

  private tellHead(): void {
    this.keepHeader();
    this.sink.onHead(this.status, this.headers);
  }

  private end(isClean: boolean): void {
    if (this.state === "done") return;
    const isPersistent = this.protocol === "HTTP/1.1" && !/(^|[, \t])close([, \t]|$)/.test(this.connection);
    this.state = "done";
    this.sink.onEnd(isClean && isPersistent && !this.isUnusual);
  }

  /** Nothing more is read or told. */
  stop(): void {
    this.state = "done";
  }

  /** For the next answer on the same connection. */
  reset(): void {
    this.state = "status";
    this.hasBegun = false;
    this.headBytes = 0;
    this.status = 0;
    this.clearHead();
  }

  private clearHead(): void {
    this.headers = Object.create(null);
    this.keptBytes = 0;
    this.name = "";
    this.contentLength = null;
    this.transferEncoding = "";
    this.connection = "";
  }
}

/** A header that comes several times is one list (RFC 9110 section 5.3). */
function joined(before: string, value: string): string {
  if (before === "") return value;
  return before.length > MAX_LINE_BYTES ? before : `${before},${value}`;
}

/** Without waiting for the end of the line: a server of another protocol may wait for us. @throws ResponseError */
function refuseOther(line: string): void {
  const begin = line.slice(0, STATUS_LINE_BEGIN.length).toLowerCase();
  if (!STATUS_LINE_BEGIN.startsWith(begin) && begin !== "\r") throw new ResponseError("the answer is not HTTP/1.x");
}

/** Nothing else of what a stranger wrote gets into an error. */
function shownStatus(line: string): string {
  const status = /^HTTP\/\S{0,10}[ \t]+([\w+-]{1,12})(?:[ \t]|$)/.exec(line)?.[1];
  return status === undefined ? "" : `: status ${status}`;
}

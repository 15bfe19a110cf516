/** The head of one HTTP/1.x answer, line by line: status, headers, and how the body is framed (RFC 9112). */

/** Lower-case names; values without control characters. Created without a prototype: any name may arrive. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The bytes are no answer, or end before it does. The message is for people. */
export class ResponseError extends Error {}

/** `invalid`: nobody knows where the body ends. */
export type BodyFraming =
  | { readonly kind: "none" | "chunked" | "until-close" | "invalid" }
  | { readonly kind: "length"; readonly length: number };

export const MAX_LINE_BYTES = 16 * 1024;
/** Names and values together, as many as Node's own client accepts. */
const MAX_KEPT_HEADER_BYTES = 16 * 1024;

const STATUS_LINE_BEGIN = "http/";
/** More than the grammar allows, as long as it can mean only one status. */
const STATUS_LINE = /^(HTTP\/\d(?:\.\d)?)[ \t]+(\d{3})(?!\d)/i;
const UNUSUAL_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** A class for its fixed shape: it is reused for all answers of a connection. */
export class ResponseHead {
  /** 0: the status line has not arrived. */
  status = 0;
  headers: Record<string, string | string[] | undefined> = Object.create(null);
  /** READ-3 in response-reader.ts. Stays set for the connection. */
  isUnusual = false;
  private protocol = "";
  private keptBytes = 0;
  private name = "";
  private value = "";
  /** Null: there is none. An empty one is invalid. */
  private contentLength: string | null = null;
  private transferEncoding = "";
  private connection = "";

  get isInterim(): boolean {
    return this.status < 200;
  }

  /** Whether the server keeps the connection open after the answer. */
  get isPersistent(): boolean {
    return this.protocol === "HTTP/1.1" && !/(^|[, \t])close([, \t]|$)/.test(this.connection);
  }

  /** @throws ResponseError */
  readStatus(line: string): void {
    const match = STATUS_LINE.exec(line);
    if (match === null) {
      refuseOtherProtocol(line);
      throw new ResponseError(`the answer's status line is malformed${shownStatus(line)}`);
    }
    this.protocol = match[1] ?? "";
    this.status = Number(match[2]);
    if (this.status < 100) throw new ResponseError(`the receiver answered with status ${match[2]}; HTTP statuses begin at 100`);
    if (this.status === 101)
      throw new ResponseError("the receiver answered with status 101 (Switching Protocols), which was not asked for");
  }

  readHeader(line: string): void {
    const first = line.charCodeAt(0);
    if (first === 0x20 || first === 0x09) {
      // Folded lines are obsolete, but are one value (RFC 9112 section 5.2).
      this.isUnusual = true;
      if (this.name !== "" && this.value.length < MAX_LINE_BYTES) this.value += ` ${withoutSpace(line)}`;
      return;
    }
    this.keepHeader();
    const colon = line.indexOf(":");
    if (colon <= 0) {
      this.isUnusual = true;
      return;
    }
    const name = withoutSpace(line, 0, colon);
    if (name.length !== colon) this.isUnusual = true;
    this.name = name.toLowerCase();
    this.value = withoutSpace(line, colon + 1);
  }

  /** Completes the last header: only the line after it shows that it does not continue. */
  keepHeader(): void {
    const { name } = this;
    if (name === "") return;
    let { value } = this;
    this.name = "";
    if (UNUSUAL_VALUE.test(value)) {
      this.isUnusual = true;
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are removed here
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
  framing(): BodyFraming {
    const codings = this.transferEncoding.split(",").map((coding) => coding.trim());
    const isCoded = codings.some((coding) => coding !== "" && coding !== "identity");
    const lengths = new Set(this.contentLength?.split(",").map((length) => length.trim()));
    const [length = ""] = lengths;
    if (this.contentLength !== null && (this.contentLength !== length || isCoded)) this.isUnusual = true;

    if (this.status === 204 || this.status === 304) return { kind: "none" };
    // A transfer coding overrides a length.
    if (isCoded) return { kind: codings.at(-1) === "chunked" ? "chunked" : "until-close" };
    if (lengths.size === 0) return { kind: "until-close" };
    if (lengths.size > 1 || !/^\d{1,15}$/.test(length)) return { kind: "invalid" };
    return Number(length) === 0 ? { kind: "none" } : { kind: "length", length: Number(length) };
  }

  /** Forgets the headers, for the next answer or for the final one after an interim one. */
  clear(): void {
    this.headers = Object.create(null);
    this.keptBytes = 0;
    this.name = "";
    this.contentLength = null;
    this.transferEncoding = "";
    this.connection = "";
  }
}

/** Without the spaces and tabs around it. String.trim would remove other characters, too, which belong to a value. */
function withoutSpace(text: string, from = 0, to = text.length): string {
  let [first, end] = [from, to];
  while (first < end && isSpace(text.charCodeAt(first))) first++;
  while (end > first && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(first, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A header that occurs several times is one list (RFC 9110 section 5.3). */
function joined(before: string, value: string): string {
  if (before === "") return value;
  return before.length > MAX_LINE_BYTES ? before : `${before},${value}`;
}

/** Takes the beginning of a line, too: a server of another protocol may wait for us. @throws ResponseError */
export function refuseOtherProtocol(line: string): void {
  const begin = withoutLeadingCrs(line).slice(0, STATUS_LINE_BEGIN.length).toLowerCase();
  if (!STATUS_LINE_BEGIN.startsWith(begin)) throw new ResponseError("the answer is not HTTP/1.x");
}

/** Other clients ignore them before a status line, with and without the LF of an empty line. */
export function withoutLeadingCrs(line: string): string {
  return line.startsWith("\r") ? line.replace(/^\r+/, "") : line;
}

/** Nothing else of the line gets into an error: the receiver wrote it. */
function shownStatus(line: string): string {
  const status = /^HTTP\/\S{0,10}[ \t]+([\w+-]{1,12})(?:[ \t]|$)/.exec(line)?.[1];
  return status === undefined ? "" : `: status ${status}`;
}

/**
 * An undici Dispatcher for POSTs with a body in memory, over HTTP/1.1 keep-alive connections to one origin. undici's own client
 * refuses answers that other clients read, and doesn't say whether a connection was reused; both decide whether a receiver gets a
 * webhook twice.
 *
 * CONN-1  A request is written to one connection. It is written again, to a new connection and at once, only if the first had
 *         carried an answer before and ended before the first byte of this answer: the receiver closed an idle connection while
 *         the request was in transit (RFC 9112 section 9.3.1).
 * CONN-2  onRequestStart is called when the request gets a connection, open or opening. Exactly one end follows: onResponseEnd or
 *         onResponseError.
 * CONN-3  At most `connections` are open or opening. Further requests wait in FIFO order.
 * CONN-4  There is no pipelining. Bytes without a request end the connection.
 */
import { Dispatcher } from "undici";
import type { Opening } from "./connector.ts";
import { type Connected, Http1Connection, type Posted } from "./http1-connection.ts";
import type { IdleConnections } from "./idle-connections.ts";
import { requestHead } from "./request-head.ts";
import { SenderFault } from "./sender-fault.ts";

/** Opens a connection. */
export type Connect = (origin: URL, connected: Connected) => Opening;

export interface PostOptions extends Dispatcher.DispatchOptions {
  readonly method: "POST";
  readonly headers: Record<string, string>;
  /** ASCII; comes before `body`. */
  readonly bodyHead?: string;
  readonly body: Buffer;
}

export interface Http1Options {
  readonly connect: Connect;
  readonly connections: number;
  /** Shared by the dispatchers of all origins. */
  readonly allIdle: IdleConnections;
}

export class Http1Dispatcher extends Dispatcher {
  private readonly origin: URL;
  private readonly host: string;
  private readonly options: Http1Options;
  private readonly all = new Set<Http1Connection>();
  /** The most recently used connection is used next, so that surplus ones become stale. */
  private readonly idle: Http1Connection[] = [];
  private readonly waiting: Posted[] = [];
  private isClosed = false;

  constructor(origin: string, options: Http1Options) {
    super();
    this.origin = new URL(origin);
    this.host = this.origin.host;
    this.options = options;
  }

  override dispatch({ method, path, headers, bodyHead = "", body }: PostOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (method !== "POST" || !Buffer.isBuffer(body)) throw new TypeError("this dispatcher takes a POST with its body in a Buffer");
    if (this.isClosed) throw new SenderFault("the dispatcher is closed");
    const head = `${requestHead(this.host, path, headers, bodyHead.length + body.length)}${bodyHead}`;
    this.start({ head, body, handler, hasBeenRepeated: false });
    return this.waiting.length === 0;
  }

  /** Ends connections that have been idle for longer than servers usually keep them. */
  closeIdle(): void {
    const now = performance.now();
    for (const connection of [...this.idle]) if (connection.isStale(now)) connection.destroy();
  }

  /** Ends idle connections now and the others after their answers. */
  override close(): Promise<void> {
    this.isClosed = true;
    for (const connection of [...this.idle]) connection.destroy();
    return Promise.resolve();
  }

  /** Ends everything now. */
  override destroy(): Promise<void> {
    this.isClosed = true;
    const error = new SenderFault("the sender is closed");
    for (const { handler } of this.waiting.splice(0)) failUnsent(handler, error);
    for (const connection of [...this.all]) connection.abort(error);
    return Promise.resolve();
  }

  private start(posted: Posted): void {
    const now = performance.now();
    for (let connection = this.idle.pop(); connection !== undefined; connection = this.idle.pop()) {
      this.options.allIdle.remove(connection);
      if (!connection.isStale(now)) return connection.post(posted);
      connection.destroy();
    }
    if (this.all.size < this.options.connections) this.open(posted);
    else this.waiting.push(posted);
  }

  private open(posted: Posted): void {
    const connection = new Http1Connection({
      onFree: () => this.take(connection),
      onGone: (unanswered) => {
        this.all.delete(connection);
        this.options.allIdle.remove(connection);
        const at = this.idle.indexOf(connection);
        if (at !== -1) this.idle.splice(at, 1);
        if (unanswered !== null) return this.open({ ...unanswered, hasBeenRepeated: true });
        const next = this.waiting.shift();
        if (next !== undefined) this.start(next);
      },
    });
    this.all.add(connection);
    connection.open((connected) => this.options.connect(this.origin, connected), posted);
  }

  private take(connection: Http1Connection): void {
    const next = this.waiting.shift();
    if (next !== undefined) connection.post(next);
    else if (this.isClosed) connection.destroy();
    else {
      this.idle.push(connection);
      this.options.allIdle.add(connection);
    }
  }
}

function failUnsent(handler: Dispatcher.DispatchHandler, error: Error): void {
  handler.onResponseError?.(undefined as unknown as Dispatcher.DispatchController, error);
}

/** One connection of an Http1Dispatcher: opening, carrying a request, idle, or gone. */
import type { Socket } from "node:net";
import type { Dispatcher } from "undici";
import type { Opening } from "./connector.ts";
import type { SendController } from "./exchange.ts";
import type { Idle } from "./idle-connections.ts";
import type { ResponseHeaders } from "./response-head.ts";
import { ResponseReader, type ResponseSink } from "./response-reader.ts";

export type Connected = (...result: [error: Error, socket: null] | [error: null, socket: Socket]) => void;

/** A request and its handler. */
export interface Posted {
  /** In latin-1. */
  readonly head: string;
  /** Comes after it. Several requests may share it. */
  readonly body: Buffer;
  readonly handler: Dispatcher.DispatchHandler;
  hasBeenRepeated: boolean;
}

export interface ConnectionListener {
  /** It can carry another request. */
  onFree(): void;
  /** Called once. @param unanswered the request to repeat over a new connection, or null */
  onGone(unanswered: Posted | null): void;
}

/**
 * How long an idle connection is reused if the server doesn't announce a limit. One that the server closes before is gone at once; a
 * request that crosses its end is repeated (CONN-1). Firewalls and balancers forget connections without a word after a minute or more.
 */
const IDLE_MS = 15_000;
const MAX_IDLE_MS = 60_000;
/** Subtracted from the server's own limit: a request takes time to arrive. */
const IDLE_MARGIN_MS = 1_000;
/** Up to this size, head and body are copied into one write. A larger body goes to the socket as it is (BODY-1). */
const MAX_COPIED_BYTES = 16 * 1024;

/** Also the controller of its request. A class for its fixed shape. */
export class Http1Connection implements SendController, ResponseSink, Idle {
  readonly paused = false;
  before: Idle | null = null;
  after: Idle | null = null;
  aborted = false;
  reason: Error | null = null;
  private readonly listener: ConnectionListener;
  private readonly reader = new ResponseReader(this);
  private socket: Socket | null = null;
  /** Until the connection is open. */
  private opening: Opening | null = null;
  private posted: Posted | null = null;
  private answers = 0;
  private isGone = false;
  private staleAt = 0;
  private idleMs = IDLE_MS;

  constructor(listener: ConnectionListener) {
    this.listener = listener;
  }

  /** Calls `connect`, and posts when the connection is open. */
  open(connect: (connected: Connected) => Opening, posted: Posted): void {
    this.posted = posted;
    posted.handler.onRequestStart?.(this, null);
    if (this.isGone) return;
    const opening = connect((error, socket) => {
      this.opening = null;
      if (this.isGone) return void socket?.destroy();
      if (error !== null) return this.fail(error);
      this.listenTo(socket);
      this.write(posted);
    });
    // `connect` may have called back already.
    if (this.socket === null && !this.isGone) this.opening = opening;
  }

  /** Only for a free connection. */
  post(posted: Posted): void {
    this.posted = posted;
    this.reader.reset();
    posted.handler.onRequestStart?.(this, null);
    if (!this.isGone) this.write(posted);
  }

  isStale(now: number): boolean {
    return now >= this.staleAt;
  }

  waitsForSender(): boolean {
    return this.opening?.waitsForSender() ?? false;
  }

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    this.fail(reason);
  }

  /** undici's controllers can pause; answers of at most 64 KiB don't need that. */
  pause(): void {}
  resume(): void {}

  destroy(): void {
    this.leave(null);
  }

  onHead(status: number, headers: ResponseHeaders): void {
    const keepAlive = headers["keep-alive"];
    const seconds = typeof keepAlive === "string" ? /(?:^|[,; \t])timeout=(\d{1,6})/i.exec(keepAlive)?.[1] : undefined;
    this.idleMs = seconds === undefined ? IDLE_MS : Math.min(MAX_IDLE_MS, Number(seconds) * 1_000 - IDLE_MARGIN_MS);
    this.posted?.handler.onResponseStart?.(this, status, headers as Record<string, string>);
  }

  onBody(chunk: Buffer): void {
    this.posted?.handler.onResponseData?.(this, chunk);
  }

  onEnd(isReusable: boolean): void {
    const { posted, socket } = this;
    this.posted = null;
    this.answers++;
    // If the answer came before the whole request was sent, the rest of the request is still on the connection.
    if (isReusable && this.idleMs > 0 && socket !== null && socket.writableLength === 0) {
      this.staleAt = performance.now() + this.idleMs;
      this.listener.onFree();
    } else this.leave(null);
    posted?.handler.onResponseEnd?.(this, {});
  }

  private listenTo(socket: Socket): void {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => {
      if (this.posted === null) return this.destroy();
      this.tryTo(() => this.reader.read(bytes));
    });
    socket.on("end", () => this.tryTo(() => this.reader.close()));
    socket.on("error", (error) => this.fail(error));
    socket.on("close", () => this.fail(new Error("the connection was closed")));
  }

  private tryTo(read: () => void): void {
    if (this.isGone) return;
    if (this.posted === null) return this.destroy();
    try {
      read();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  private write({ head, body }: Posted): void {
    const { socket } = this;
    if (socket === null) return;
    const length = head.length + body.length;
    if (length <= MAX_COPIED_BYTES) {
      const bytes = Buffer.allocUnsafe(length);
      bytes.write(head, 0, "latin1");
      body.copy(bytes, head.length);
      socket.write(bytes);
      return;
    }
    socket.cork();
    socket.write(head, "latin1");
    socket.write(body);
    socket.uncork();
  }

  private fail(error: Error): void {
    if (this.isGone) return;
    const { posted } = this;
    this.posted = null;
    // CONN-1
    const isRepeated = posted !== null && this.answers > 0 && !this.reader.hasBegun && !posted.hasBeenRepeated && !this.aborted;
    this.leave(isRepeated ? posted : null);
    if (!isRepeated) posted?.handler.onResponseError?.(this, error);
  }

  private leave(unanswered: Posted | null): void {
    if (this.isGone) return;
    this.isGone = true;
    this.reader.stop();
    this.opening?.cancel();
    this.opening = null;
    this.socket?.destroy();
    this.listener.onGone(unanswered);
  }
}

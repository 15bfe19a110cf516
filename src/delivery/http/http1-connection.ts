/** One connection of an Http1Dispatcher: opening, carrying a request, idle, gone. */
import type { Socket } from "node:net";
import type { Dispatcher } from "undici";
import type { ResponseHeaders } from "./response-head.ts";
import { ResponseReader, type ResponseSink } from "./response-reader.ts";

export type Connected = (...result: [error: Error, socket: null] | [error: null, socket: Socket]) => void;

/** A request and who is told of it. */
export interface Posted {
  readonly head: string;
  readonly body: Buffer;
  readonly handler: Dispatcher.DispatchHandler;
  hasBeenRepeated: boolean;
}

export interface ConnectionListener {
  /** It can carry another request. */
  onFree(): void;
  /** Told once. @param unanswered the request to be repeated over a fresh connection, or null */
  onGone(unanswered: Posted | null): void;
}

/** How long an idle connection is used again when the server doesn't say. */
const IDLE_MS = 4_000;
const MAX_IDLE_MS = 60_000;
/** A server's own limit less this: a request takes time to get there. */
const IDLE_MARGIN_MS = 1_000;
/** Head and body are copied into one write up to here; a larger body is written as it is. */
const MAX_COPIED_BYTES = 64 * 1024;

/** It is its request's controller, too. A class for its fixed shape. */
export class Http1Connection implements Dispatcher.DispatchController, ResponseSink {
  readonly paused = false;
  aborted = false;
  reason: Error | null = null;
  private readonly listener: ConnectionListener;
  private readonly reader = new ResponseReader(this);
  private socket: Socket | null = null;
  private giveUp: (() => void) | null = null;
  private posted: Posted | null = null;
  private answers = 0;
  private isGone = false;
  private staleAt = 0;
  private idleMs = IDLE_MS;

  constructor(listener: ConnectionListener) {
    this.listener = listener;
  }

  /** Calls `connect` and posts when the connection is there. */
  open(connect: (connected: Connected) => () => void, posted: Posted): void {
    this.posted = posted;
    posted.handler.onRequestStart?.(this, null);
    if (this.isGone) return;
    const giveUp = connect((error, socket) => {
      this.giveUp = null;
      if (this.isGone) return void socket?.destroy();
      if (error !== null) return this.fail(error);
      this.listenTo(socket);
      this.write(posted);
    });
    // It may be settled by now.
    if (this.socket === null && !this.isGone) this.giveUp = giveUp;
  }

  /** Only when it is free. */
  post(posted: Posted): void {
    this.posted = posted;
    this.reader.reset();
    posted.handler.onRequestStart?.(this, null);
    if (!this.isGone) this.write(posted);
  }

  isStale(now: number): boolean {
    return now >= this.staleAt;
  }

  abort(reason: Error): void {
    this.aborted = true;
    this.reason = reason;
    this.fail(reason);
  }

  /** undici's controllers can pause; answers of at most 64 KiB need not. */
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
    // A request that is answered before all of it was sent leaves its rest on the connection.
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
    this.giveUp?.();
    this.giveUp = null;
    this.socket?.destroy();
    this.listener.onGone(unanswered);
  }
}

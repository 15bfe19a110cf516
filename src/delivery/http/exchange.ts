/** One request and its answer, as the handler of a dispatcher. */
import type { Dispatcher } from "undici";
import type { Slotted } from "../../model/slots.ts";
import { BlockedAddressError, ConnectTimeoutError } from "./connector.ts";
import type { ResponseHeaders } from "./response-head.ts";
import { isSenderFault } from "./sender-fault.ts";

export const MAX_RESPONSE_BYTES = 64 * 1024;

export type SendResult =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly headers: ResponseHeaders;
      readonly body: Buffer | null;
      /** Size of the whole body in bytes; null when it was cut and the receiver did not announce it. */
      readonly bodySize: number | null;
    }
  | { readonly kind: "timed_out" | "unreachable" | "sender_failed" | "blocked"; readonly error: string };

/** A connection, open or opening. */
export interface SendController extends Dispatcher.DispatchController {
  /** Whether it waits for a part of Posthorn's side, and not for the receiver. */
  waitsForSender(): boolean;
}

const MAX_ERROR_CHARACTERS = 300;

/** A class for its fixed shape: one is created per attempt, on the hot path. */
export class Exchange implements Dispatcher.DispatchHandler, Slotted {
  slot = -1;
  /** By performance.now(). Infinite until the request has a connection. */
  dueAt = Number.POSITIVE_INFINITY;
  private controller: SendController | undefined;
  private status = 0;
  private headers: ResponseHeaders = {};
  private chunks: Buffer[] = [];
  private size = 0;
  private resolve: ((result: SendResult) => void) | null;
  private readonly timeoutMs: number;

  constructor(timeoutMs: number, resolve: (result: SendResult) => void) {
    this.resolve = resolve;
    this.timeoutMs = timeoutMs;
  }

  onRequestStart(controller: SendController): void {
    this.controller = controller;
    // A request that is sent a second time keeps its deadline.
    if (this.dueAt === Number.POSITIVE_INFINITY) this.dueAt = performance.now() + this.timeoutMs;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, string | string[] | undefined>): void {
    this.status = status;
    this.headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.resolve === null) return;
    const room = MAX_RESPONSE_BYTES - this.size;
    this.chunks.push(chunk.length > room ? chunk.subarray(0, room) : chunk);
    this.size += chunk.length;
    if (chunk.length > room) {
      this.answered(contentLengthOf(this.headers["content-length"]));
      controller.abort(new Error(`the response body is longer than ${MAX_RESPONSE_BYTES} bytes`));
    }
  }

  onResponseEnd(): void {
    this.answered(this.size);
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    this.finish(failureOf(error, this.status));
  }

  expire(): void {
    const had = this.status === 0 ? "no answer" : `status ${this.status}, but no complete body`;
    const kind = this.controller?.waitsForSender() ? "sender_failed" : "timed_out";
    this.finish({ kind, error: `${had} within ${this.timeoutMs} ms` });
    this.controller?.abort(new Error("deadline"));
  }

  private answered(bodySize: number | null): void {
    const body = this.size === 0 ? null : this.chunks.length === 1 ? (this.chunks[0] ?? null) : Buffer.concat(this.chunks);
    this.finish({ kind: "answered", status: this.status, headers: this.headers, body, bodySize });
  }

  private finish(result: SendResult): void {
    const resolve = this.resolve;
    if (resolve === null) return;
    this.resolve = null;
    resolve(result);
  }
}

function contentLengthOf(header: string | string[] | undefined): number | null {
  return typeof header === "string" && /^\d+$/.test(header) ? Number(header) : null;
}

function failureOf(error: Error, status: number): SendResult {
  if (error instanceof BlockedAddressError) return { kind: "blocked", error: error.message };
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  if (error instanceof ConnectTimeoutError || code === "ETIMEDOUT") return { kind: "timed_out", error: error.message };
  // OpenSSL's own messages are positions in its source files.
  const text = typeof reason === "string" && String(code).startsWith("ERR_SSL_") ? withHint(reason) : error.message;
  const during = status === 0 ? "" : ` (after status ${status}, before the end of the body)`;
  const what = typeof code === "string" ? `${code}: ${text}` : text;
  // A certificate can have thousands of names, and the message lists them all.
  return { kind: isSenderFault(error) ? "sender_failed" : "unreachable", error: `${what.slice(0, MAX_ERROR_CHARACTERS)}${during}` };
}

/** Alerts whose names don't say what the receiver's owner has to change. */
const TLS_HINTS: ReadonlyArray<readonly [alert: RegExp, hint: string]> = [
  [/alert certificate required/, "the receiver asks for a client certificate"],
  [/alert handshake failure/, "the receiver accepts none of Posthorn's ciphers, or asks for a client certificate"],
];

function withHint(reason: string): string {
  const hint = TLS_HINTS.find(([alert]) => alert.test(reason))?.[1];
  return hint === undefined ? reason : `${reason} (${hint})`;
}

/**
 * Publishes a message and keeps trying until JetStream has stored it.
 *
 * PUBLISH-1  A call resolves only on JetStream's ack, and retries until then, until its deadline or until `stop`. Its source stays
 *          unacknowledged and held, which is the back-pressure when NATS is down. Nothing is published after the deadline. A call without
 *          a deadline rejects with STORE_FULL when the server has had no room for REFUSED_FOR_MS, and so do calls that have waited that
 *          long for the same window: only a delivery that succeeds makes room in a full store, so the others must be free to be
 *          attempted again.
 * PUBLISH-2  A message that is larger than the server or the stream accepts is not tried again: the call rejects. A server that accepts too
 *          small messages altogether counts as one that is down.
 * PUBLISH-3  A stream counts as refusing while a message for it is waiting whose last try failed. Messages that it accepts meanwhile, and
 *          other streams, don't change that. A full stream counts as refusing until it stores a message while no other one waits, or
 *          for FULL_FOR_MS: most messages that it refused are back by then.
 * PUBLISH-4  Each stream has a publish window, and so have fan-out batches. A flood of parked deliveries, or a stream that refuses, thus
 *          delays nothing in another stream. Messages of one window are published in the order of the calls (DISPATCH-2 in
 *          delivery/dispatcher.ts relies on it), and have no body before they are.
 */
import { NatsError, ErrorCode as NatsErrorCode, type PubAck } from "nats";
import type { MessageRef, StoredMessageRef, StreamName } from "../delivery/ports.ts";
import { isLeaseOver, requireLease } from "../delivery/source-lease.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import { resolvesWithin } from "../model/within.ts";
import { isStoreFull, natsReason } from "./nats-errors.ts";
import type { PipelinedPublish } from "./pipelined-publish.ts";
import { createPublishWindow, type PublishCounts } from "./publish-window.ts";

/** The streams that Posthorn stores messages in. */
export const STORED_STREAMS = ["retries", "parked", "dead-letters", "status"] as const satisfies readonly StreamName[];

export type StoredStream = (typeof STORED_STREAMS)[number];

export interface MessageToStore {
  readonly stream: StoredStream;
  readonly subject: string;
  /** About as large as the body will be, in characters. */
  readonly size: number;
  /** Called when the window admits the message. */
  readonly body: () => string;
  readonly messageId: string;
  readonly trace: TraceHeaders | null;
  readonly contentType?: string;
  /** The message that this one replaces: nothing is stored once its lease is over. */
  readonly source?: MessageRef;
  /** The publish window; the stream's own when absent. */
  readonly window?: "fan-out";
}

export interface DurablePublish {
  /**
   * @param until milliseconds since the epoch; null: no deadline
   * @throws AppError STREAM_REFUSED, STORE_FULL (without a deadline: PUBLISH-1), TOO_LARGE (PUBLISH-2), LeaseOver
   */
  store(message: MessageToStore, until: number | null): Promise<StoredMessageRef>;
  /** Messages of all windows that are being published, and that wait. */
  counts(): PublishCounts;
  /** Messages that are being published or wait. */
  underWay(): number;
  /** PUBLISH-3. */
  refusing(): readonly StoredStream[];
  /** Ends every try and every wait. */
  stop(): void;
}

export interface DurablePublishDependencies {
  readonly publish: PipelinedPublish;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether NATS is up and accepts messages of a useful size. */
  readonly isUsable: () => boolean;
}

/** Carries the token of the owner that stored the message, if one did (MessageRef). */
export const FENCE_HEADER = "posthorn-fence";

const TRY_AGAIN_MS = 500;
const REFUSED_FOR_MS = 2_000;
/** Longer than the longest wait of a message that was given back (4 s), an attempt with the default timeout (10 s) and REFUSED_FOR_MS. */
const FULL_FOR_MS = 25_000;
/** The server logs each publish that its user may not make. */
const FORBIDDEN_AGAIN_MS = 3_000;
/** The server's JSStreamMessageExceedsMaximumErr: over the stream's max_msg_size. */
const MESSAGE_TOO_LARGE = 10054;
const NEVER = Number.NEGATIVE_INFINITY;
/** The limits of each window: JetStream acknowledges well over 10,000 a second with as many pending. */
const WINDOW = { maxMessages: 256, maxBytes: 16 * 1024 * 1024 };

export function createDurablePublish({ publish, clock, logger, isUsable }: DurablePublishDependencies): DurablePublish {
  const windowOf = (name: string) => createPublishWindow(clock, { name, ...WINDOW });
  const windows = {
    retries: windowOf("retries"),
    parked: windowOf("parked"),
    "dead-letters": windowOf("dead-letters"),
    status: windowOf("status"),
    "fan-out": windowOf("retries"),
  };
  const all = Object.values(windows);
  /** Stream → messages whose last try failed (PUBLISH-3). */
  const refused: Record<StoredStream, number> = { retries: 0, parked: 0, "dead-letters": 0, status: 0 };
  /** When the stream last had no room; milliseconds since the epoch (PUBLISH-3). */
  const fullAt: Record<StoredStream, number> = { retries: NEVER, parked: NEVER, "dead-letters": NEVER, status: NEVER };
  const isRefusing = (stream: StoredStream): boolean => refused[stream] > 0 || clock.now() - fullAt[stream] < FULL_FOR_MS;
  let isStopped = false;

  const tryOnce = async (message: MessageToStore, body: string, headers: Record<string, string>, until: number | null): Promise<PubAck> => {
    if (message.source !== undefined) requireLease(message.source);
    // The library may send afterwards what is published during a reconnect, which may be after the deadline.
    if (until !== null && !isUsable()) throw new Error("NATS can't be used");
    const ack = publish({ subject: message.subject, body, headers });
    if (until !== null && !(await resolvesWithin(clock, Math.max(1, until - clock.now()), ack)))
      throw new NatsError("no answer in time", NatsErrorCode.Timeout);
    return ack;
  };

  /**
   * @param fullSince when the server's series of refusals began
   * @returns why the message is not tried again; null when it is
   */
  const refusal = (error: unknown, { stream, subject }: MessageToStore, until: number | null, fullSince: number): AppError | null => {
    const refuse = (code: "STREAM_REFUSED" | "STORE_FULL", text: string): AppError =>
      new AppError(code, `${text} (${natsReason(error)})`, { retryable: true, cause: error });
    if (isStopped) return refuse("STREAM_REFUSED", `${subject}: not stored before the stop`);
    if (clock.now() + TRY_AGAIN_MS < (until ?? fullSince + REFUSED_FOR_MS)) return null;
    return refuse(until === null ? "STORE_FULL" : "STREAM_REFUSED", `the ${stream} stream has not stored ${subject} in time`);
  };

  /** Everything before the first publish is synchronous (PUBLISH-4). */
  const storeAdmitted = async (message: MessageToStore, until: number | null): Promise<StoredMessageRef> => {
    const { stream, subject, size, messageId } = message;
    const window = windows[message.window ?? stream];
    let isRefused = false;
    let fullSince = Number.POSITIVE_INFINITY;
    try {
      const headers = headersOf(message);
      const body = message.body();
      for (;;) {
        try {
          const { seq: sequence, duplicate = false } = await tryOnce(message, body, headers, until);
          if (isRefusing(stream) && refused[stream] === Number(isRefused)) {
            fullAt[stream] = NEVER;
            logger.info({ stream }, "stream accepts messages again");
          }
          // A duplicate of an own try that was stored but not acknowledged is not one.
          return { subject, sequence, messageId, isDuplicate: duplicate && !isRefused };
        } catch (error) {
          if (isLeaseOver(error)) throw error;
          if (isRefusedForSize(error) && isUsable()) throw tooLarge(subject, body, error);
          fullSince = isStoreFull(error) ? Math.min(fullSince, clock.now()) : Number.POSITIVE_INFINITY;
          const wasRefusing = isRefusing(stream);
          if (isStoreFull(error)) fullAt[stream] = clock.now();
          const final = refusal(error, message, until, fullSince);
          if (final?.code === "STORE_FULL") window.refuseWaiting(clock.now() - REFUSED_FOR_MS, final);
          if (final !== null) throw final;
          if (!wasRefusing)
            logger.error({ stream, subject, error: messageOf(error) }, "stream refuses messages; their sources stay unacknowledged");
          if (!isRefused) refused[stream]++;
          isRefused = true;
          await sleep(clock, until === null && isForbidden(error) ? FORBIDDEN_AGAIN_MS : TRY_AGAIN_MS);
        }
      }
    } finally {
      if (isRefused) refused[stream]--;
      window.leave(size);
    }
  };

  return {
    store: (message, until) => windows[message.window ?? message.stream].enter(message.size, () => storeAdmitted(message, until), until),
    counts() {
      const counts = all.map((window) => window.counts());
      const sum = (of: keyof PublishCounts): number => counts.reduce((total, each) => total + each[of], 0);
      return { pending: sum("pending"), pendingBytes: sum("pendingBytes"), waiting: sum("waiting") };
    },
    underWay: () => all.reduce((sum, window) => sum + window.size(), 0),
    refusing: () => STORED_STREAMS.filter(isRefusing),
    stop() {
      isStopped = true;
      for (const window of all) window.stop();
    },
  };
}

function headersOf({ stream, messageId, contentType, trace, source }: MessageToStore): Record<string, string> {
  const headers: Record<string, string> = { "Nats-Msg-Id": messageId };
  if (stream === "parked" && source?.fence !== undefined) headers[FENCE_HEADER] = String(source.fence);
  if (contentType !== undefined) headers["content-type"] = contentType;
  if (trace?.traceparent) headers["traceparent"] = trace.traceparent;
  if (trace?.tracestate) headers["tracestate"] = trace.tracestate;
  return headers;
}

function isForbidden(error: unknown): boolean {
  return error instanceof NatsError && error.code === NatsErrorCode.PermissionsViolation;
}

function isRefusedForSize(error: unknown): boolean {
  return error instanceof NatsError && (error.code === NatsErrorCode.MaxPayloadExceeded || error.api_error?.err_code === MESSAGE_TOO_LARGE);
}

function tooLarge(subject: string, body: string, cause: unknown): AppError {
  const found = `${subject}: found ${Buffer.byteLength(body)} bytes`;
  return new AppError("TOO_LARGE", `${found}, wanted no more than the stream's max_msg_size and the server's max_payload`, { cause });
}

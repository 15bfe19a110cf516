/** The ports of the delivery path; storage, telemetry, registry and jetstream implement them. */
import type { App, Installation } from "../model/app.ts";
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import type { BlockedBy } from "../model/delivery-message.ts";
import type { Outcome, ReceiverState } from "../model/outcome.ts";
import type { TokenBucket, Tokens } from "../model/token-bucket.ts";
import type { TraceHeaders } from "../model/trace-context.ts";

/** All facts of one attempt: the source of log row, counters, log line and metrics. */
export interface AttemptRecord {
  readonly delivery: Delivery;
  readonly app: App;
  readonly installation: Installation;
  /** From 1. */
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly durationMs: number;
  readonly webhookUrl: string;
  readonly outcome: Outcome;
  /** The receiver as this attempt shows it. */
  readonly receiver: ReceiverState;
  /** 0: no (complete) response. */
  readonly responseCode: number;
  /** Pause that the receiver asked for, for the whole app; null: none. */
  readonly pauseMs: number | null;
  /** Description of the failure, without the app's secrets; null when delivered. */
  readonly error: string | null;
  /** From the response's `<prefix>-Error` and `<prefix>-Project` headers, when it had both. Without the app's secrets. */
  readonly errorId: string | null;
  readonly projectId: string | null;
  readonly traceId: string;
  readonly spanId: string;
  /** As sent, in order, with custom headers (their names are the keys of `app.headers`). */
  readonly requestHeaders: Readonly<Record<string, string>>;
  /** Its first few KiB. */
  readonly requestBody: () => Uint8Array;
  /** By lower-case name; null: no response. */
  readonly responseHeaders: Readonly<Record<string, string | string[] | undefined>> | null;
  /** UTF-8, at most 64 KiB; null: no body. */
  readonly responseBody: Uint8Array | null;
  /** Size of the whole body in bytes; null without a response, or when the body was cut and the receiver did not announce it. */
  readonly responseBodySize: number | null;
}

/** The request log, health counters and dedup keys, written in batches after the attempts. */
export interface AttemptLog {
  /** Buffers the attempt; never throws and never waits. The batch also has the dedup key of a delivered attempt. */
  record(attempt: AttemptRecord): void;
  /** The event message that this run of the delivery was delivered for. Null: not delivered, or Redis is down. */
  findDelivered(delivery: Delivery): Promise<DeliveredFor | null>;
  /** Whether it was stored in another stream since its message was: nothing is left to do for that message. False when Redis does not answer. */
  isHandedOver(delivery: Delivery): Promise<boolean>;
  /** Records that a message was skipped. Buffered like `record`. */
  skipped(delivery: Delivery, delivered: DeliveredFor): void;
}

/** The event message that a delivery was delivered for, or will be. */
export interface DeliveredFor {
  /** In the EVENTS stream; null: the event was never in it. */
  readonly eventSequence: number | null;
  /** It was not delivered yet, but waits in the order of its app. */
  readonly isWaiting?: boolean;
}

/** The in-memory registry. */
export interface RegistryView {
  app(slug: string): App | undefined;
  installation(uuid: string): Installation | undefined;
}

/** The facts of a message that its span shows. */
export interface HandledMessage {
  readonly subject: string;
  /** Empty: the message was read without a consumer. */
  readonly consumer: string;
  readonly sequence: number;
  /** Number of deliveries, this one included. */
  readonly deliveries: number;
  header(name: string): string | undefined;
}

/** A message that is given up as raw bytes. */
export interface UnhandledMessage extends HandledMessage {
  readonly stream: string;
  readonly data: Uint8Array;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  headers(): Readonly<Record<string, string>>;
}

/** `fan-out`: batches of large fan-outs, which the retries stream stores. */
export type StreamName = StreamLocation["stream"] | "events" | "fan-out" | "status";

/** The message that a delivery was taken from; it is acknowledged once the delivery is done or stored in another stream. */
export interface MessageRef {
  readonly stream: string;
  readonly sequence: number;
  /** Whether its lease runs (source-lease.ts); a source without one is nobody else's. */
  isOurs?(): boolean;
  /** Its owner's token: what is parked for it carries the token, and has no effect if a later owner has taken over before. */
  readonly fence?: number;
  /** It stays where it is if its delivery can't be stored whole: the dead letter of that delivery is not cut. */
  readonly isKept?: boolean;
}

/** A message that is read, or (its event's message and its dedup key) a delivery that is attempted. */
export interface HandedOut {
  readonly stream: string;
  readonly sequence: number;
  readonly dedupKey: string | null;
}

/** A message that was read without a consumer is handed out, which is counted unless the process survives it (poison-limit.ts). */
export interface HandOut {
  /** Called before every attempt; counts once. @returns why the message is poison; null when it is not */
  begin(): Promise<string | null>;
  /** No attempt followed: the count is as it was before. */
  giveBack(): void;
  /** The process has survived the attempt. */
  end(): void;
}

export interface RetryDelay {
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
  /** The whole delay when it was scheduled. Its last 10 % may be skipped. */
  readonly delayMs: number;
  /** No attempt before dueAt, because a Retry-After asked for it. */
  readonly notBefore: boolean;
}

/** `<prefix>.parked.<app>`, or `<prefix>.parked.<app>.<installation uuid>` when `installationUuid` is set. */
export interface ParkedQueue {
  readonly app: string;
  readonly installationUuid: string | null;
}

/** A delivery in a parked queue and its message. */
export interface ParkedDelivery {
  readonly source: MessageRef;
  readonly delivery: Delivery;
}

/** A message as JetStream has it. */
export interface StoredMessageRef {
  readonly subject: string;
  readonly sequence: number;
  readonly messageId: string;
  /** An earlier call stored it. */
  readonly isDuplicate: boolean;
}

/**
 * Each call resolves when JetStream has stored the message, and rejects when it has not: with AppError TOO_LARGE when it never will,
 * otherwise with STREAM_REFUSED or STORE_FULL.
 * `trace` goes into the message's headers; without it the event's own trace does.
 */
export interface DeliveryStreams {
  retry(delivery: Delivery, delay: RetryDelay, source: MessageRef, trace?: TraceHeaders): Promise<StoredMessageRef>;
  /** @param dueAt not to be attempted before; null: when its turn comes */
  park(
    delivery: Delivery,
    queue: ParkedQueue,
    dueAt: number | null,
    source: MessageRef,
    trace?: TraceHeaders,
    /** The delivery is a dead letter and stops its key: the message is no place of the delivery. */
    blockedBy?: BlockedBy,
  ): Promise<StoredMessageRef>;
}

export type RawDeadLetterReason = Extract<DeadLetterReason, "invalid" | "redelivered">;

/** As DeliveryStreams. Only give-up.ts uses it. */
export interface DeadLetterWriter {
  deadLetter(
    delivery: Delivery,
    reason: DeadLetterReason,
    error: string | null,
    source: MessageRef,
    trace?: TraceHeaders,
  ): Promise<StoredMessageRef>;
  /** Stores the message with its bytes unchanged, as a dead letter of the app or (null) of `_invalid`. */
  deadLetterRaw(message: UnhandledMessage, reason: RawDeadLetterReason, error: string, app: string | null): Promise<StoredMessageRef>;
}

/** Hot-path telemetry: log lines and metrics. Calls must be cheap and never throw. */
export interface DeliveryObserver {
  attempted(attempt: AttemptRecord): void;
  /** A delivery was stored for later. DeadLetterObserver reports dead letters. */
  stored(stream: "retries" | "parked", delivery: Delivery, detail: string): void;
  /**
   * It was delivered before, for the same event message or for another one with the same key.
   * @param delivered null: it was not delivered yet, but is stored in another stream since its message was
   */
  skipped(delivery: Delivery, delivered: DeliveredFor | null): void;
}

/** Takes tokens of an app's rate limit from the bucket that all replicas share. @throws when the store can't be reached */
export type LeaseTokens = (app: string, bucket: TokenBucket, count: number) => Promise<Tokens>;

/** Log line and counters. */
export interface DeadLetterObserver {
  /** @param delivery null: the message has none, or was not decoded */
  deadLettered(reason: DeadLetterReason, delivery: Delivery | null, source: MessageRef): void;
}

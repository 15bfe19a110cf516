/** What the delivery path needs from the rest of Posthorn. storage, telemetry, registry and subscribers implement it. */
import type { App, Installation } from "../model/app.ts";
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import type { Event } from "../model/event.ts";
import type { AttemptSummary, Outcome } from "../model/outcome.ts";

/** Everything there is to know about one attempt; the log row, the counters, the log line and the metrics come from it. */
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
  /** 0: no (complete) response. */
  readonly responseCode: number;
  /** In words, null when delivered. Without the app's secrets. */
  readonly error: string | null;
  /** From the response's `<prefix>-Error` and `<prefix>-Project` headers, when it had both. Without the app's secrets. */
  readonly errorId: string | null;
  readonly projectId: string | null;
  readonly traceId: string;
  readonly spanId: string;
  /** As sent, in order, custom headers included (their names are the keys of `app.headers`). */
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly requestBody: Uint8Array;
  /** UTF-8, at most 64 KiB; null when there was none. */
  readonly responseBody: Uint8Array | null;
  /** Of all of it, in bytes; null when there was no answer, or it was cut and the receiver did not say. */
  readonly responseBodySize: number | null;
}

/** The request log, health counters and delivered marks, written in batches behind the delivery path. */
export interface AttemptLog {
  /** Buffers the attempt; never throws and never waits. A delivered attempt's mark is part of the same batch. */
  record(attempt: AttemptRecord): void;
  /** Which event message this run of the delivery was delivered for. Null: for none, or Redis can't tell. */
  findDelivered(delivery: Delivery): Promise<DeliveredFor | null>;
  /** Notes that a message was skipped. Buffered like `record`. */
  skipped(delivery: Delivery, delivered: DeliveredFor): void;
}

/** The event message that a delivery was delivered for. */
export interface DeliveredFor {
  /** In the EVENTS stream; null: it never was there. */
  readonly eventSequence: number | null;
}

/** The in-memory registry. */
export interface RegistryView {
  app(slug: string): App | undefined;
  installation(uuid: string): Installation | undefined;
}

/** Where a trace goes on: W3C Trace Context. An event has these members, too. */
export interface TraceHeaders {
  readonly traceparent: string | null;
  readonly tracestate: string | null;
}

/** A span, or the place of one where none is recorded. */
export interface TracePosition extends TraceHeaders {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceparent: string;
}

/** The client span of one attempt. */
export interface AttemptSpan extends TracePosition {
  end(attempt: AttemptRecord): void;
}

/** What a span tells of the message that is being handled. */
export interface HandledMessage {
  readonly subject: string;
  /** Empty: it was read without one. */
  readonly consumer: string;
  readonly sequence: number;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
  header(name: string): string | undefined;
}

/** A message in hand that is given up as it is. */
export interface UnhandledMessage extends HandledMessage {
  readonly stream: string;
  readonly data: Uint8Array;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  headers(): Readonly<Record<string, string>>;
}

/** A batch of attempts that was written to Redis late: slowly, or not at the first try. */
export interface LateBatch {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly tries: number;
  /** Of the last try that failed. */
  readonly error: string | null;
  /** The `traceparent` headers of its attempts. */
  readonly traceparents: readonly string[];
}

/**
 * Spans. Each `work` is called at once and the span ends when its promise settles. With the OpenTelemetry SDK off no span is
 * recorded, but the positions are valid, so that logs, rows and receivers share one trace id.
 */
export interface Tracing {
  /** Consumer span: a message of a stream is handled. It goes on with the trace of the message. */
  process<T>(event: Event, stream: StreamName, message: HandledMessage, work: (span: TracePosition) => Promise<T>): Promise<T>;
  /** Something that is done with an event without a message: a probe, a test. */
  start<T>(what: "probe" | "test", event: Event, work: (span: TracePosition) => Promise<T>): Promise<T>;
  /** One delivery of what is handled, until it is done or stored in a stream. */
  deliver<T>(parent: TracePosition, delivery: Delivery, work: (span: TracePosition) => Promise<T>): Promise<T>;
  attempt(parent: TracePosition, delivery: Delivery, attempt: number, url: string): AttemptSpan;
  /** Producer span: a delivery is stored in a stream. @param work gets what goes into the message's headers. */
  store(
    parent: TraceHeaders,
    stream: StreamName,
    delivery: Delivery,
    detail: string,
    work: (trace: TraceHeaders) => Promise<StoredMessageRef>,
  ): Promise<unknown>;
  /** Producer span: an event for very many is stored in parts. @param work gets what goes into their headers and returns how many there are. */
  fanOut(parent: TraceHeaders, event: Event, work: (trace: TraceHeaders) => Promise<number>): Promise<unknown>;
  /** Producer span: an event that came over HTTP is published. */
  publish<T>(caller: TraceHeaders, subject: string, eventId: string, work: (trace: TraceHeaders) => Promise<T>): Promise<T>;
  /** Many deliveries are sent on their way again at once: a trace of its own, linked with theirs. */
  batch<T>(name: string, work: (batch: TraceBatch) => Promise<T>): Promise<T>;
  lateBatch(batch: LateBatch): void;
}

export interface TraceBatch {
  /** As `Tracing.store`; the delivery's own trace goes on. */
  store(stream: StreamName, delivery: Delivery, detail: string, work: (trace: TraceHeaders) => Promise<StoredMessageRef>): Promise<unknown>;
  /** As `Tracing.fanOut`; the event's own trace goes on. */
  fanOut(event: Event, work: (trace: TraceHeaders) => Promise<number>): Promise<unknown>;
}

/** fan-out: the parts of large fan-outs, which rest in the retries stream. */
export type StreamName = "events" | "retries" | "fan-out" | "parked" | "dead-letters" | "status";

/** The message that a delivery was taken from; it is acknowledged once the delivery is done or stored in another stream. */
export interface MessageRef {
  readonly stream: string;
  readonly sequence: number;
}

export interface RetryDelay {
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
  /** The whole delay at the time of scheduling; rests under 10 % of it are not walked. */
  readonly delayMs: number;
  /** Never earlier than dueAt: anything else would be earlier than a Retry-After. */
  readonly floor: boolean;
}

/** `<prefix>.parked.<app>`, or `<prefix>.parked.<app>.<installation uuid>` when `installationUuid` is set. */
export interface ParkedQueue {
  readonly app: string;
  readonly installationUuid: string | null;
}

/** A delivery in a parked queue, and where in the stream. */
export interface ParkedDelivery {
  readonly source: MessageRef;
  readonly delivery: Delivery;
}

/** A message as JetStream has it. */
export interface StoredMessageRef {
  readonly subject: string;
  readonly sequence: number;
  readonly messageId: string;
  /** It was stored before, by an earlier call. */
  readonly isDuplicate: boolean;
}

/**
 * Each call resolves when JetStream has stored the message, and rejects (AppError STREAM_REFUSED) when it has not.
 * `trace` goes into the message's headers; the event's own when it is not given.
 */
export interface DeliveryStreams {
  retry(delivery: Delivery, delay: RetryDelay, source: MessageRef, trace?: TraceHeaders): Promise<StoredMessageRef>;
  /** @param dueAt not to be attempted before; null: when its turn comes */
  park(delivery: Delivery, queue: ParkedQueue, dueAt: number | null, source: MessageRef, trace?: TraceHeaders): Promise<StoredMessageRef>;
}

export type RawDeadLetterReason = Extract<DeadLetterReason, "invalid" | "redelivered">;

/** As DeliveryStreams. Only give-up.ts writes dead letters. */
export interface DeadLetterWriter {
  deadLetter(
    delivery: Delivery,
    reason: DeadLetterReason,
    error: string | null,
    source: MessageRef,
    trace?: TraceHeaders,
  ): Promise<StoredMessageRef>;
  /** Stores the message as it is, bytes and all, under the app's or (null) the `_invalid` dead letters. */
  deadLetterRaw(message: UnhandledMessage, reason: RawDeadLetterReason, error: string, app: string | null): Promise<StoredMessageRef>;
}

/**
 * The delivery that an ordered app is getting, kept outside of the process: nobody attempts another one meanwhile, and a
 * restart goes on with it.
 */
export interface Hold {
  /** Null: nobody is getting one, and what was settled before its turn is all there is to keep. */
  readonly deliveryId: string | null;
  /** Its message in the parked stream; a hold whose message is gone holds nothing. */
  readonly parkedSequence: number;
  readonly attemptsMade: number;
  readonly attempts: readonly AttemptSummary[];
  /** Milliseconds since the epoch. */
  readonly dueAt: number;
  /** Until then its attempt may be waited for or under way, as far as a clock can tell; milliseconds since the epoch. */
  readonly busyUntil: number;
  /** Messages in the parked stream that were settled before their turn: any replica that gets one then skips it. */
  readonly settled: readonly number[];
}

/** A hold as it was read. */
export interface FoundHold extends Hold {
  readonly revision: number;
}

/** One record `hold.<app>` in the registry bucket. */
export interface Holds {
  read(app: string): Promise<FoundHold | null>;
  /** @param instead what it takes the place of; null for none. @returns false when somebody else was faster. */
  claim(app: string, hold: Hold, instead: FoundHold | null): Promise<boolean>;
  /**
   * Changes the app's hold, or what is settled before its turn. @param found what was read last; `next` is asked again when it
   * has changed since.
   */
  change(app: string, found: FoundHold | null, next: (current: Hold) => Hold): Promise<void>;
}

/** Hot-path telemetry: log lines and metrics. Calls must be cheap and never throw. */
export interface DeliveryObserver {
  attempted(attempt: AttemptRecord): void;
  /** A delivery left the fast path; give-up.ts has the observer of dead letters. */
  stored(stream: "retries" | "parked", delivery: Delivery, detail: string): void;
  /** It was delivered before, for the same event message or for another one with the same key. */
  skipped(delivery: Delivery, delivered: DeliveredFor): void;
}

/** Log line and counters. */
export interface DeadLetterObserver {
  /** @param delivery null: the message holds none, or none that was read */
  deadLettered(reason: DeadLetterReason, delivery: Delivery | null, source: MessageRef): void;
}

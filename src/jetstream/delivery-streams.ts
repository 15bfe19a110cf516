/**
 * Stores deliveries in the retries, parked and dead-letters streams.
 *
 * L1  A call resolves only on JetStream's ack. It goes on trying until then or until `stop`: the source stays
 *     unacknowledged and held, which is the back-pressure when a stream refuses or NATS is away. What somebody waits for
 *     (`within`) is given up at its deadline and not tried after it.
 * L2  The message id is `<delivery id>:<source stream>:<source sequence>:<when the event was stored>`, so that storing the same
 *     source twice is once, and storing the delivery again from another source is never swallowed. The time tells a message
 *     from the one that had its sequence before the stream was deleted and made again.
 * L3  What is larger than the server or the stream takes is not tried again for ever: the call rejects, its source comes
 *     again, and in the end rests in dead letters, cut to what fits.
 * L4  A stream refuses while a message for it is held that its last try could not store; another stream, or another message
 *     that it takes, says nothing about that.
 * L5  Not more is under way than a budget for each stream and one for the parts of fan-outs; who waits for room has no body yet.
 *     Each has its own, so that a flood of parks, or a stream that refuses, holds up nothing of another stream. Deliveries for one
 *     stream are published in the order of the calls (DISPATCH-2 in delivery/dispatcher.ts relies on it).
 */
import { headers, type JetStreamClient, NatsError, ErrorCode as NatsErrorCode } from "nats";
import { firstTier } from "../delivery/delay-tiers.ts";
import type { DeadLetterWriter, DeliveryStreams, MessageRef, StoredMessageRef, StreamName } from "../delivery/ports.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { Delivery } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import { deliveryMessageSize, encodeDeliveryMessage } from "../model/delivery-message.ts";
import { batchesOf, batchSize, encodeBatch, type FanOutBatch } from "../model/fan-out-batch.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import { natsReason } from "../registry/store.ts";
import { createPublishWindow, type PublishCounts } from "./publish-window.ts";
import { encodeRawMessage } from "./raw-message.ts";
import { INVALID, type Subjects } from "./subjects.ts";

/** What Posthorn stores messages in. */
export const STORED_STREAMS = ["retries", "parked", "dead-letters", "status"] as const satisfies readonly StreamName[];

type StoredStream = (typeof STORED_STREAMS)[number];

export interface DeliveryStreamWriter extends DeliveryStreams, DeadLetterWriter {
  /** Stores a large fan-out in parts. @returns how many. */
  fanOut(fanOut: FanOutBatch, source: MessageRef, trace: TraceHeaders): Promise<number>;
  /** Publishes a status event under its id. */
  announce(subject: string, eventJson: string, eventId: string): Promise<void>;
  /** Of all streams: what is being stored at the moment, and what waits until there is room for it (L5). */
  stores(): PublishCounts;
  /** DeliveryStreams that refuse (L4). */
  refusing(): readonly StoredStream[];
  /** For a caller who waits: a store that takes longer ends with AppError STREAM_REFUSED (retryable). */
  within(ms: number): DeliveryStreamWriter;
  /** Gives up what is still being stored or waits for it; its sources come again. */
  stop(): void;
}

const PUBLISH_TIMEOUT_MS = 5_000;
const TRY_AGAIN_MS = 500;
/** The server's JSStreamMessageExceedsMaximumErr: over the stream's max_msg_size. */
const MESSAGE_TOO_LARGE = 10054;
/** A letter without the body of its message is smaller. */
const SMALLEST_DEAD_LETTER = 4 * 1024;
/** Of one part of a fan-out, on average, at most. */
const TARGETS_PER_BATCH = 250;
const BATCHES_AT_ONCE = 16;
/** Of each budget (L5): JetStream acknowledges well over 10,000 a second with as many under way. */
const MAX_STORES = { maxMessages: 256, maxBytes: 16 * 1024 * 1024 };

export interface DeliveryStreamsDependencies {
  readonly jetStream: JetStreamClient;
  readonly names: Subjects;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isUp: () => boolean;
  /** What the server takes in one message, headers included. */
  readonly maxPayloadBytes: () => number;
  /** Told where each delivery was stored. */
  readonly onStored: (delivery: Delivery, place: StreamLocation) => void;
}

interface MessageToStore {
  readonly stream: StoredStream;
  readonly subject: string;
  /** About as large as the body will be, in characters. */
  readonly size: number;
  /** Called when there is room for it. */
  readonly body: () => string;
  readonly messageId: string;
  readonly trace: TraceHeaders | null;
  readonly contentType?: string;
  /** Which one it counts for; the stream's own when it is not given. */
  readonly budget?: "fan-out";
}

export function createDeliveryStreams({
  jetStream,
  names,
  clock,
  logger,
  isUp,
  maxPayloadBytes,
  onStored,
}: DeliveryStreamsDependencies): DeliveryStreamWriter {
  let stopped = false;
  const windowOf = (name: string) => createPublishWindow(clock, { name, ...MAX_STORES });
  const windows = {
    retries: windowOf("retries"),
    parked: windowOf("parked"),
    "dead-letters": windowOf("dead-letters"),
    status: windowOf("status"),
    "fan-out": windowOf("retries"),
  };
  /** Messages held that their last try could not store. */
  const held: Record<StoredStream, number> = { retries: 0, parked: 0, "dead-letters": 0, status: 0 };

  /** @param until when it is given up; null: never. */
  const store = (message: MessageToStore, until: number | null): Promise<StoredMessageRef> =>
    windows[message.budget ?? message.stream].enter(message.size, () => storeNow(message, until), until);

  /** Has room in its budget. Everything up to the publish is synchronous (L5). */
  const storeNow = async (
    { stream, subject, size, body: makeBody, messageId, trace, contentType, budget }: MessageToStore,
    until: number | null,
  ): Promise<StoredMessageRef> => {
    let isHeld = false;
    try {
      const messageHeaders = headers();
      if (contentType !== undefined) messageHeaders.set("content-type", contentType);
      if (trace?.traceparent) messageHeaders.set("traceparent", trace.traceparent);
      if (trace?.tracestate) messageHeaders.set("tracestate", trace.tracestate);
      const body = makeBody();
      for (;;) {
        const timeout = until === null ? PUBLISH_TIMEOUT_MS : Math.max(1, Math.min(PUBLISH_TIMEOUT_MS, until - clock.now()));
        try {
          // While it connects anew the library keeps what is published and sends it afterwards, past the deadline.
          if (until !== null && !isUp()) throw new Error("NATS is away");
          const ack = await jetStream.publish(subject, body, { msgID: messageId, headers: messageHeaders, timeout });
          if (isHeld && held[stream] === 1) logger.info({ stream }, "the stream takes messages again");
          // A duplicate of a try of its own that was stored and not answered is none.
          return { subject, sequence: ack.seq, messageId, isDuplicate: ack.duplicate && !isHeld };
        } catch (error) {
          if (isTooLarge(error)) {
            throw new AppError("STREAM_REFUSED", `${subject}: ${body.length} characters are more than the stream takes`, { cause: error });
          }
          if (stopped) {
            throw new AppError("STREAM_REFUSED", `${subject}: not stored before the stop (${natsReason(error)})`, {
              retryable: true,
              cause: error,
            });
          }
          if (!isHeld && held[stream]++ === 0)
            logger.error({ stream, subject, error: messageOf(error) }, "a stream refuses messages; their sources are held back");
          isHeld = true;
          if (until !== null && clock.now() + TRY_AGAIN_MS >= until) {
            throw new AppError("STREAM_REFUSED", `the ${stream} stream has not stored ${subject} in time (${natsReason(error)})`, {
              retryable: true,
              cause: error,
            });
          }
          await sleep(clock, TRY_AGAIN_MS);
        }
      }
    } finally {
      if (isHeld) held[stream]--;
      windows[budget ?? stream].leave(size);
    }
  };

  const storeDelivery = async (
    stream: StreamLocation["stream"],
    subject: string,
    body: () => string,
    delivery: Delivery,
    source: MessageRef,
    trace: TraceHeaders,
    until: number | null,
  ): Promise<StoredMessageRef> => {
    const receipt = await store(
      {
        stream,
        subject,
        size: deliveryMessageSize(delivery),
        body,
        messageId: `${delivery.id}:${source.stream}:${source.sequence}:${delivery.event.publishedAt}`,
        trace,
      },
      until,
    );
    onStored(delivery, { stream, sequence: receipt.sequence });
    return receipt;
  };

  /** @param patienceMs null: for ever. */
  const writer = (patienceMs: number | null): DeliveryStreamWriter => {
    const deadline = (): number | null => patienceMs && clock.now() + patienceMs;
    return {
      retry(delivery, delay, source, trace = delivery.event) {
        const subject = names.retry(firstTier(delay, clock.now()), delivery.app);
        return storeDelivery("retries", subject, () => encodeDeliveryMessage({ delivery, ...delay }), delivery, source, trace, deadline());
      },

      park(delivery, queue, dueAt, source, trace = delivery.event) {
        const body = (): string => {
          const parked = { ...delivery, firstParkedAt: delivery.firstParkedAt ?? clock.now() };
          return encodeDeliveryMessage({ delivery: parked, dueAt, delayMs: 0, notBefore: false });
        };
        return storeDelivery("parked", names.parked(queue.app, queue.installationUuid), body, delivery, source, trace, deadline());
      },

      async deadLetter(delivery, reason, error, source, trace = delivery.event) {
        const body = (): string => {
          const extra = { reason, error, dead_lettered_at: toRfc3339(clock.now()) };
          return encodeDeliveryMessage({ delivery, dueAt: null, delayMs: 0, notBefore: false }, extra);
        };
        return storeDelivery("dead-letters", names.deadLetter(delivery.app), body, delivery, source, trace, deadline());
      },

      async deadLetterRaw(message, reason, error, app) {
        const until = deadline();
        const facts = { reason, error, app, at: toRfc3339(clock.now()) };
        const subject = names.deadLetter(app ?? INVALID);
        const messageId = `${reason}:${message.stream}:${message.sequence}:${message.storedAt}`;
        for (let room = maxPayloadBytes(); ; room = Math.floor(room / 2)) {
          const size = Math.min(room, message.data.length);
          const body = (): string => encodeRawMessage(message, facts, room);
          try {
            return await store({ stream: "dead-letters", subject, size, body, messageId, trace: null }, until);
          } catch (fault) {
            // The stream may take less than the server.
            if (!(fault instanceof AppError) || fault.retryable || room < SMALLEST_DEAD_LETTER) throw fault;
          }
        }
      },

      async fanOut({ event, eventSequence, targets }, { stream, sequence }, trace) {
        const until = deadline();
        // A power of two: an event that is handled again with one installation more has the same parts, but at those numbers.
        const count = 2 ** Math.max(0, Math.ceil(Math.log2(targets.length / TARGETS_PER_BATCH)));
        const chunks = batchesOf(targets, count);
        for (let from = 0; from < count; from += BATCHES_AT_ONCE) {
          await Promise.all(
            chunks.slice(from, from + BATCHES_AT_ONCE).map((part, at) => {
              const chunk = { event, eventSequence, targets: part };
              const messageId = `fan-out:${count}:${from + at}:${stream}:${sequence}:${event.publishedAt}`;
              const [size, body] = [batchSize(chunk), (): string => encodeBatch(chunk)];
              return store({ stream: "retries", budget: "fan-out", subject: names.fanOut, size, body, messageId, trace }, until);
            }),
          );
        }
        return count;
      },

      async announce(subject, json, messageId) {
        const message = { stream: "status", subject, size: json.length, body: () => json, messageId, trace: null } as const;
        await store({ ...message, contentType: "application/cloudevents+json" }, deadline());
      },

      stores() {
        const all = Object.values(windows).map((budget) => budget.figures());
        const sum = (of: keyof PublishCounts): number => all.reduce((total, figures) => total + figures[of], 0);
        return { pending: sum("pending"), pendingBytes: sum("pendingBytes"), waiting: sum("waiting") };
      },
      refusing: () => STORED_STREAMS.filter((stream) => held[stream] > 0),
      within: writer,
      stop() {
        stopped = true;
        for (const budget of Object.values(windows)) budget.stop();
      },
    };
  };
  return writer(null);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof NatsError && (error.code === NatsErrorCode.MaxPayloadExceeded || error.api_error?.err_code === MESSAGE_TOO_LARGE);
}

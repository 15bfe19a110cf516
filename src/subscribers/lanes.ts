/**
 * Stores deliveries in the retries, parked and dead-letters lanes.
 *
 * L1  A call resolves only on JetStream's ack. It goes on trying until then or until `stop`: the source stays
 *     unacknowledged and held, which is the back-pressure when a lane refuses or NATS is away.
 * L2  The message id is `<delivery id>:<source stream>:<source sequence>`, so that storing the same source twice is once,
 *     and storing the delivery again from another source is never swallowed.
 * L3  What is larger than the server takes is not tried again for ever: the call rejects, its source comes again, and in
 *     the end rests in dead letters, cut to what fits.
 */
import { headers, type JetStreamClient, NatsError, ErrorCode as NatsErrorCode } from "nats";
import type { LaneReceipt, LaneSource, Lanes, TraceHeaders } from "../delivery/ports.ts";
import { firstRung } from "../delivery/rungs.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import { chunksOf, encodeChunk, type FanOutChunk } from "../model/fan-out-chunk.ts";
import { encodeLaneMessage } from "../model/lane-message.ts";
import type { Logger } from "../model/logger.ts";
import type { LanePlace } from "../model/whereabouts.ts";
import { type BusNames, INVALID } from "./names.ts";
import type { PulledMessage } from "./pulled-message.ts";
import { encodeRawLetter } from "./raw-letter.ts";

export interface LaneWriter extends Lanes {
  /** Stores a message that can't be handled as it is, bytes and all, under the app's or (null) the `_invalid` dead letters. */
  deadLetterRaw(message: PulledMessage, reason: "invalid" | "redelivered", error: string, app: string | null): Promise<void>;
  /** Stores a large fan-out in parts. @returns how many. */
  fanOut(fanOut: FanOutChunk, source: LaneSource, trace: TraceHeaders): Promise<number>;
  /** Publishes a status event under its id. */
  announce(subject: string, eventJson: string, eventId: string): Promise<void>;
  /** Messages that are being stored at the moment. */
  pending(): number;
  /** True while the last try of a store was refused. */
  refusing(): boolean;
  /** Gives up what is still being stored; its sources come again. */
  stop(): void;
}

const PUBLISH_TIMEOUT_MS = 5_000;
const TRY_AGAIN_MS = 500;
/** Of one part of a fan-out, on average. */
const TARGETS_PER_CHUNK = 250;
const CHUNKS_AT_ONCE = 16;

export interface LanesDependencies {
  readonly jetStream: JetStreamClient;
  readonly names: BusNames;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What the server takes in one message, headers included. */
  readonly maxPayloadBytes: () => number;
  /** Told where each delivery was stored. */
  readonly onStored: (delivery: Delivery, place: LanePlace) => void;
  readonly onDeadLetter: (reason: DeadLetterReason) => void;
}

export function createLanes({ jetStream, names, clock, logger, maxPayloadBytes, onStored, onDeadLetter }: LanesDependencies): LaneWriter {
  let pending = 0;
  let refusing = false;
  let stopped = false;

  const store = async (
    subject: string,
    body: string,
    messageId: string,
    trace: TraceHeaders | null,
    contentType?: string,
  ): Promise<LaneReceipt> => {
    const messageHeaders = headers();
    if (contentType !== undefined) messageHeaders.set("content-type", contentType);
    if (trace?.traceparent) messageHeaders.set("traceparent", trace.traceparent);
    if (trace?.tracestate) messageHeaders.set("tracestate", trace.tracestate);
    pending++;
    try {
      for (;;) {
        try {
          const ack = await jetStream.publish(subject, body, { msgID: messageId, headers: messageHeaders, timeout: PUBLISH_TIMEOUT_MS });
          refusing = false;
          return { subject, sequence: ack.seq, messageId };
        } catch (error) {
          if (error instanceof NatsError && error.code === NatsErrorCode.MaxPayloadExceeded) {
            throw new AppError("LANE_REFUSED", `${subject}: ${body.length} characters are more than the server takes`, { cause: error });
          }
          if (stopped) {
            throw new AppError("LANE_REFUSED", `${subject}: not stored before the stop (${messageOf(error)})`, {
              retryable: true,
              cause: error,
            });
          }
          if (!refusing) logger.error({ subject, error: messageOf(error) }, "a lane refuses messages; their sources are held back");
          refusing = true;
          await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
        }
      }
    } finally {
      pending--;
    }
  };

  const storeDelivery = async (
    lane: LanePlace["lane"],
    subject: string,
    body: string,
    delivery: Delivery,
    { stream, sequence }: LaneSource,
    trace: TraceHeaders = delivery.event,
  ): Promise<LaneReceipt> => {
    const receipt = await store(subject, body, `${delivery.id}:${stream}:${sequence}`, trace);
    onStored(delivery, { lane, sequence: receipt.sequence });
    return receipt;
  };

  return {
    retry(delivery, delay, source, trace) {
      const subject = names.retry(firstRung(delay, clock.now()), delivery.app);
      return storeDelivery("retries", subject, encodeLaneMessage({ delivery, ...delay }), delivery, source, trace);
    },

    park(delivery, queue, source, trace) {
      const parked = { ...delivery, firstParkedAt: delivery.firstParkedAt ?? clock.now() };
      const body = encodeLaneMessage({ delivery: parked, dueAt: null, delayMs: 0, floor: false });
      return storeDelivery("parked", names.parked(queue.app, queue.installationUuid), body, delivery, source, trace);
    },

    async deadLetter(delivery, reason, error, source, trace) {
      const extra = { reason, error, dead_lettered_at: toRfc3339(clock.now()) };
      const body = encodeLaneMessage({ delivery, dueAt: null, delayMs: 0, floor: false }, extra);
      const receipt = await storeDelivery("dead-letters", names.deadLetter(delivery.app), body, delivery, source, trace);
      onDeadLetter(reason);
      return receipt;
    },

    async deadLetterRaw(message, reason, error, app) {
      const letter = encodeRawLetter(message, { reason, error, app, at: toRfc3339(clock.now()) }, maxPayloadBytes());
      await store(names.deadLetter(app ?? INVALID), letter, `${reason}:${message.stream}:${message.sequence}`, null);
      onDeadLetter(reason);
    },

    async fanOut({ event, eventSequence, targets }, { stream, sequence }, trace) {
      const count = Math.ceil(targets.length / TARGETS_PER_CHUNK);
      const chunks = chunksOf(targets, count);
      for (let from = 0; from < count; from += CHUNKS_AT_ONCE) {
        await Promise.all(
          chunks.slice(from, from + CHUNKS_AT_ONCE).map((chunk, at) => {
            const body = encodeChunk({ event, eventSequence, targets: chunk });
            return store(names.fanOut, body, `fan-out:${count}:${from + at}:${stream}:${sequence}`, trace);
          }),
        );
      }
      return count;
    },

    async announce(subject, eventJson, eventId) {
      await store(subject, eventJson, eventId, null, "application/cloudevents+json");
    },

    pending: () => pending,
    refusing: () => refusing,
    stop() {
      stopped = true;
    },
  };
}

/**
 * Stores deliveries in the retries, parked and dead-letters lanes.
 *
 * L1  A call resolves only on JetStream's ack. It goes on trying until then or until `stop`: the source stays
 *     unacknowledged and held, which is the back-pressure when a lane refuses or NATS is away. What somebody waits for
 *     (`within`) is given up at its deadline and not tried after it.
 * L2  The message id is `<delivery id>:<source stream>:<source sequence>`, so that storing the same source twice is once,
 *     and storing the delivery again from another source is never swallowed. A run of a delivery has one dead letter at most.
 * L3  What is larger than the server or the stream takes is not tried again for ever: the call rejects, its source comes
 *     again, and in the end rests in dead letters, cut to what fits.
 * L4  A lane refuses while a message for it is held that its last try could not store; another lane, or another message
 *     that it takes, says nothing about that.
 * L5  Not more is under way than a budget for each lane and one for the parts of fan-outs; who waits for room has no body yet.
 *     Each has its own, so that a flood of parks, or a lane that refuses, holds up nothing of another lane. Deliveries for one
 *     lane are published in the order of the calls (D2 in delivery/dispatcher.ts counts on it).
 */
import { headers, type JetStreamClient, NatsError, ErrorCode as NatsErrorCode } from "nats";
import type { LaneName, LaneReceipt, LaneSource, Lanes, TraceHeaders } from "../delivery/ports.ts";
import { firstRung } from "../delivery/rungs.ts";
import { requireLease } from "../delivery/source-lease.ts";
import { AppError, messageOf } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { type DeadLetterReason, type Delivery, markOf } from "../model/delivery.ts";
import { chunkSize, chunksOf, encodeChunk, type FanOutChunk } from "../model/fan-out-chunk.ts";
import { encodeLaneMessage, laneMessageSize } from "../model/lane-message.ts";
import type { Logger } from "../model/logger.ts";
import type { LanePlace } from "../model/whereabouts.ts";
import { type BusNames, INVALID } from "./names.ts";
import { encodeRawLetter, type RawSource } from "./raw-letter.ts";
import { createStoreBudget, type StoreFigures } from "./store-budget.ts";

/** What Posthorn stores messages in. */
export const STORED_LANES = ["retries", "parked", "dead-letters", "status"] as const satisfies readonly LaneName[];

type StoredLane = (typeof STORED_LANES)[number];

export interface LaneWriter extends Lanes {
  /** Stores a message that can't be handled as it is, bytes and all, under the app's or (null) the `_invalid` dead letters. */
  deadLetterRaw(message: RawSource, reason: "invalid" | "redelivered" | "discarded", error: string, app: string | null): Promise<void>;
  /** Stores a large fan-out in parts. @returns how many. */
  fanOut(fanOut: FanOutChunk, source: LaneSource, trace: TraceHeaders): Promise<number>;
  /** Publishes a status event under its id. */
  announce(subject: string, eventJson: string, eventId: string): Promise<void>;
  /** Of all lanes: what is being stored at the moment, and what waits until there is room for it (L5). */
  stores(): StoreFigures;
  /** Lanes that refuse (L4). */
  refusing(): readonly StoredLane[];
  /** For a caller who waits: a store that takes longer ends with AppError LANE_REFUSED (retryable). */
  within(ms: number): LaneWriter;
  /** Gives up what is still being stored or waits for it; its sources come again. */
  stop(): void;
}

const PUBLISH_TIMEOUT_MS = 5_000;
const TRY_AGAIN_MS = 500;
/** The server's JSStreamMessageExceedsMaximumErr: over the stream's max_msg_size. */
const MESSAGE_TOO_LARGE = 10054;
/** A letter without the body of its message is smaller. */
const SMALLEST_LETTER = 4 * 1024;
/** Of one part of a fan-out, on average, at most. */
const TARGETS_PER_CHUNK = 250;
const CHUNKS_AT_ONCE = 16;
/** Of each budget (L5): JetStream acknowledges well over 10,000 a second with as many under way. */
const MAX_STORES = { maxMessages: 256, maxBytes: 16 * 1024 * 1024 };

export interface LanesDependencies {
  readonly jetStream: JetStreamClient;
  readonly names: BusNames;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isUp: () => boolean;
  /** What the server takes in one message, headers included. */
  readonly maxPayloadBytes: () => number;
  /** Told where each delivery was stored. */
  readonly onStored: (delivery: Delivery, place: LanePlace) => void;
  readonly onDeadLetter: (reason: DeadLetterReason) => void;
}

interface LaneMessageToStore {
  readonly lane: StoredLane;
  readonly subject: string;
  /** About as large as the body will be, in characters. */
  readonly size: number;
  /** Called when there is room for it. */
  readonly body: () => string;
  readonly messageId: string;
  readonly trace: TraceHeaders | null;
  readonly contentType?: string;
  /** Of the delivery: nothing is stored for it once it is somebody else's. */
  readonly source?: LaneSource;
  /** Which one it counts for; the lane's own when it is not given. */
  readonly budget?: "fan-out";
}

export function createLanes({
  jetStream,
  names,
  clock,
  logger,
  isUp,
  maxPayloadBytes,
  onStored,
  onDeadLetter,
}: LanesDependencies): LaneWriter {
  let stopped = false;
  const budgetOf = (name: string) => createStoreBudget(clock, { name, ...MAX_STORES });
  const budgets = {
    retries: budgetOf("retries"),
    parked: budgetOf("parked"),
    "dead-letters": budgetOf("dead-letters"),
    status: budgetOf("status"),
    "fan-out": budgetOf("retries"),
  };
  /** Messages held that their last try could not store. */
  const held: Record<StoredLane, number> = { retries: 0, parked: 0, "dead-letters": 0, status: 0 };

  /** @param until when it is given up; null: never. */
  const store = (message: LaneMessageToStore, until: number | null): Promise<LaneReceipt> =>
    budgets[message.budget ?? message.lane].enter(message.size, () => storeNow(message, until), until);

  /** Has room in its budget. Everything up to the publish is synchronous (L5). */
  const storeNow = async (
    { lane, subject, size, body: makeBody, messageId, trace, contentType, source, budget }: LaneMessageToStore,
    until: number | null,
  ): Promise<LaneReceipt> => {
    let isHeld = false;
    try {
      const messageHeaders = headers();
      if (contentType !== undefined) messageHeaders.set("content-type", contentType);
      if (trace?.traceparent) messageHeaders.set("traceparent", trace.traceparent);
      if (trace?.tracestate) messageHeaders.set("tracestate", trace.tracestate);
      const body = makeBody();
      for (;;) {
        if (source !== undefined) requireLease(source);
        const timeout = until === null ? PUBLISH_TIMEOUT_MS : Math.max(1, Math.min(PUBLISH_TIMEOUT_MS, until - clock.now()));
        try {
          // While it connects anew the library keeps what is published and sends it afterwards, past the deadline.
          if (until !== null && !isUp()) throw new Error("NATS is away");
          const ack = await jetStream.publish(subject, body, { msgID: messageId, headers: messageHeaders, timeout });
          if (isHeld && held[lane] === 1) logger.info({ lane }, "the lane takes messages again");
          return { subject, sequence: ack.seq, messageId };
        } catch (error) {
          if (isTooLarge(error)) {
            throw new AppError("LANE_REFUSED", `${subject}: ${body.length} characters are more than the lane takes`, { cause: error });
          }
          if (stopped) {
            throw new AppError("LANE_REFUSED", `${subject}: not stored before the stop (${messageOf(error)})`, {
              retryable: true,
              cause: error,
            });
          }
          if (!isHeld && held[lane]++ === 0)
            logger.error({ lane, subject, error: messageOf(error) }, "a lane refuses messages; their sources are held back");
          isHeld = true;
          if (until !== null && clock.now() + TRY_AGAIN_MS >= until) {
            throw new AppError("LANE_REFUSED", `the ${lane} lane has not stored ${subject} in time (${messageOf(error)})`, {
              retryable: true,
              cause: error,
            });
          }
          await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
        }
      }
    } finally {
      if (isHeld) held[lane]--;
      budgets[budget ?? lane].leave(size);
    }
  };

  /** @param encode of the delivery as it is stored. */
  const storeDelivery = async (
    lane: LanePlace["lane"],
    subject: string,
    encode: (delivery: Delivery) => string,
    delivery: Delivery,
    source: LaneSource,
    trace: TraceHeaders,
    until: number | null,
    messageId = `${delivery.id}:${source.stream}:${source.sequence}`,
  ): Promise<LaneReceipt> => {
    requireLease(source);
    const stored = { ...delivery, stores: delivery.stores + 1 };
    const body = (): string => encode(stored);
    const size = laneMessageSize(delivery);
    const receipt = await store({ lane, subject, size, body, messageId, trace, source }, until);
    onStored(stored, { lane, sequence: receipt.sequence });
    return receipt;
  };

  /** @param patienceMs null: for ever. */
  const writer = (patienceMs: number | null): LaneWriter => {
    const deadline = (): number | null => patienceMs && clock.now() + patienceMs;
    return {
      retry(delivery, delay, source, trace = delivery.event) {
        const subject = names.retry(firstRung(delay, clock.now()), delivery.app);
        const encode = (stored: Delivery): string => encodeLaneMessage({ delivery: stored, ...delay });
        return storeDelivery("retries", subject, encode, delivery, source, trace, deadline());
      },

      park(delivery, queue, dueAt, source, trace = delivery.event, blockedBy) {
        const encode = (stored: Delivery): string => {
          const parked = { ...stored, firstParkedAt: stored.firstParkedAt ?? clock.now() };
          return encodeLaneMessage({
            delivery: parked,
            dueAt,
            delayMs: 0,
            floor: false,
            ...(blockedBy === undefined ? {} : { blockedBy }),
          });
        };
        return storeDelivery("parked", names.parked(queue.app, queue.installationUuid), encode, delivery, source, trace, deadline());
      },

      async deadLetter(delivery, reason, error, source, trace = delivery.event) {
        const encode = (stored: Delivery): string => {
          const extra = { reason, error, dead_lettered_at: toRfc3339(clock.now()) };
          return encodeLaneMessage({ delivery: stored, dueAt: null, delayMs: 0, floor: false }, extra);
        };
        const [subject, messageId] = [names.deadLetter(delivery.app), `dead-letter:${markOf(delivery)}`];
        const receipt = await storeDelivery("dead-letters", subject, encode, delivery, source, trace, deadline(), messageId);
        onDeadLetter(reason);
        return receipt;
      },

      async deadLetterRaw(message, reason, error, app) {
        const until = deadline();
        const facts = { reason, error, app, at: toRfc3339(clock.now()) };
        const subject = names.deadLetter(app ?? INVALID);
        const messageId = `${reason}:${message.stream}:${message.sequence}`;
        for (let room = maxPayloadBytes(); ; room = Math.floor(room / 2)) {
          const size = Math.min(room, message.data.length);
          const body = (): string => encodeRawLetter(message, facts, room);
          try {
            await store({ lane: "dead-letters", subject, size, body, messageId, trace: null }, until);
            return onDeadLetter(reason);
          } catch (fault) {
            // The stream may take less than the server.
            if (!(fault instanceof AppError) || fault.retryable || room < SMALLEST_LETTER) throw fault;
          }
        }
      },

      async fanOut({ event, eventSequence, targets }, { stream, sequence }, trace) {
        const until = deadline();
        // A power of two: an event that is handled again with one installation more has the same parts, but at those numbers.
        const count = 2 ** Math.max(0, Math.ceil(Math.log2(targets.length / TARGETS_PER_CHUNK)));
        const chunks = chunksOf(targets, count);
        for (let from = 0; from < count; from += CHUNKS_AT_ONCE) {
          await Promise.all(
            chunks.slice(from, from + CHUNKS_AT_ONCE).map((part, at) => {
              const chunk = { event, eventSequence, targets: part };
              const messageId = `fan-out:${count}:${from + at}:${stream}:${sequence}`;
              const [size, body] = [chunkSize(chunk), (): string => encodeChunk(chunk)];
              return store({ lane: "retries", budget: "fan-out", subject: names.fanOut, size, body, messageId, trace }, until);
            }),
          );
        }
        return count;
      },

      async announce(subject, json, messageId) {
        const message = { lane: "status", subject, size: json.length, body: () => json, messageId, trace: null } as const;
        await store({ ...message, contentType: "application/cloudevents+json" }, deadline());
      },

      stores() {
        const all = Object.values(budgets).map((budget) => budget.figures());
        const sum = (of: keyof StoreFigures): number => all.reduce((total, figures) => total + figures[of], 0);
        return { pending: sum("pending"), pendingBytes: sum("pendingBytes"), waiting: sum("waiting") };
      },
      refusing: () => STORED_LANES.filter((lane) => held[lane] > 0),
      within: writer,
      stop() {
        stopped = true;
        for (const budget of Object.values(budgets)) budget.stop();
      },
    };
  };
  return writer(null);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof NatsError && (error.code === NatsErrorCode.MaxPayloadExceeded || error.api_error?.err_code === MESSAGE_TOO_LARGE);
}

/**
 * Stores deliveries, fan-out batches, dead letters and status events: decides what a message contains. The durable publish decides how
 * it is stored.
 *
 * STREAM-1  The message id is `<delivery id>:<source stream>:<source sequence>:<when the event was stored>`. Storing the same source
 *           twice stores it once, while storing the delivery again from another source is never taken for a duplicate. The time
 *           distinguishes a message from one that had its sequence before the stream was deleted and recreated. In the parked stream the
 *           fencing token of the source's owner follows: what a later owner stores is not a duplicate of a message that has no effect for
 *           it. A run of a delivery has at most one dead letter.
 * STREAM-2  A delivery that is too large for its stream is rejected (PUBLISH-2). A dead letter is cut to fit, unless its source is kept.
 */
import { firstTier } from "../delivery/delay-tiers.ts";
import type { DeadLetterWriter, DeliveryStreams, MessageRef, StoredMessageRef } from "../delivery/ports.ts";
import { requireLease } from "../delivery/source-lease.ts";
import { allEnded } from "../model/all-ended.ts";
import { isTooLarge } from "../model/app-error.ts";
import { type Clock, toRfc3339 } from "../model/clock.ts";
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import { deliveryMessageSize, encodeDeliveryMessage } from "../model/delivery-message.ts";
import { batchesOf, batchSize, encodeBatch, type FanOutBatch } from "../model/fan-out-batch.ts";
import type { StatusEvent } from "../model/status-event.ts";
import type { TraceHeaders } from "../model/trace-context.ts";
import {
  createDurablePublish,
  type DurablePublish,
  type DurablePublishDependencies,
  type MessageToStore,
  type StoredStream,
} from "./durable-publish.ts";
import { encodeDeadLetter } from "./encode-dead-letter.ts";
import type { PublishCounts } from "./publish-window.ts";
import { encodeRawMessage } from "./raw-message.ts";
import type { Subjects } from "./subjects.ts";

export interface DeliveryStreamWriter extends DeliveryStreams, DeadLetterWriter {
  /** Stores a large fan-out in batches. @returns how many */
  fanOut(fanOut: FanOutBatch, source: MessageRef, trace: TraceHeaders): Promise<number>;
  /** Publishes a status event under its id. */
  announce(event: StatusEvent): Promise<void>;
  /** Messages of all streams that are being stored, and that wait for it. */
  counts(): PublishCounts;
  /** Messages that are being stored, or wait for it. */
  underWay(): number;
  /** Streams that refuse messages (PUBLISH-3). */
  refusing(): readonly StoredStream[];
  /** For a caller who waits: storing that takes longer fails with AppError STREAM_REFUSED (retryable). */
  within(ms: number): DeliveryStreamWriter;
  /** Gives up what is being stored or waits for it; the sources are delivered again. */
  stop(): void;
}

export interface DeliveryStreamsDependencies extends DurablePublishDependencies {
  readonly names: Subjects;
  /** The largest message that the server accepts, headers included. */
  readonly maxPayloadBytes: () => number;
  /** Called with the location of each stored delivery. */
  readonly onStored: (delivery: Delivery, location: StreamLocation) => void;
}

interface WriterContext extends Omit<DeliveryStreamsDependencies, keyof DurablePublishDependencies> {
  readonly clock: Clock;
  /** Stores the message within the writer's patience. */
  readonly store: (message: MessageToStore, until?: number | null) => Promise<StoredMessageRef>;
  readonly deadline: () => number | null;
}

export function createDeliveryStreams({
  names,
  maxPayloadBytes,
  onStored,
  ...dependencies
}: DeliveryStreamsDependencies): DeliveryStreamWriter {
  const { clock } = dependencies;
  const durable: DurablePublish = createDurablePublish(dependencies);

  /** @param patienceMs null: no deadline */
  const writer = (patienceMs: number | null): DeliveryStreamWriter => {
    const deadline = (): number | null => patienceMs && clock.now() + patienceMs;
    const store: WriterContext["store"] = (message, until = deadline()) => durable.store(message, until);
    const context: WriterContext = { names, maxPayloadBytes, onStored, clock, store, deadline };
    return {
      ...deliveryWriter(context),
      deadLetterRaw: rawDeadLetterWriter(context),
      fanOut: fanOutWriter(context),
      async announce(event) {
        const json = JSON.stringify(event);
        const message = { stream: "status", subject: names.statusOf(event), size: json.length, body: () => json } as const;
        await store({ ...message, messageId: event.id, trace: null, contentType: "application/cloudevents+json" });
      },
      counts: durable.counts,
      underWay: durable.underWay,
      refusing: durable.refusing,
      within: writer,
      stop: durable.stop,
    };
  };
  return writer(null);
}

function deliveryWriter({
  names,
  maxPayloadBytes,
  onStored,
  clock,
  store,
}: WriterContext): Pick<DeliveryStreamWriter, "retry" | "park" | "deadLetter"> {
  /** @param target `encode` receives the delivery as it is stored */
  const storeDelivery = async (
    target: Pick<MessageToStore, "subject"> & Partial<Pick<MessageToStore, "messageId">> & Pick<StreamLocation, "stream">,
    delivery: Delivery,
    encode: (stored: Delivery) => string,
    from: { readonly source: MessageRef; readonly trace: TraceHeaders },
    isPlace = true,
  ): Promise<StoredMessageRef> => {
    const { source } = from;
    requireLease(source);
    const fence = target.stream === "parked" && source.fence !== undefined ? `:${source.fence}` : "";
    const stored = { ...delivery, stores: delivery.stores + 1 };
    const ref = await store({
      // STREAM-1.
      messageId: `${delivery.id}:${source.stream}:${source.sequence}:${delivery.event.publishedAt}${fence}`,
      ...target,
      ...from,
      size: deliveryMessageSize(delivery),
      body: () => encode(stored),
    });
    // A fenced message that was stored too late has no effect: its delivery is not where it says.
    if (isPlace && (fence === "" || source.isOurs?.() !== false)) onStored(stored, { stream: target.stream, sequence: ref.sequence });
    return ref;
  };

  return {
    retry(delivery, delay, source, trace = delivery.event) {
      const subject = names.retry(firstTier(delay, clock.now()), delivery.app);
      return storeDelivery({ stream: "retries", subject }, delivery, (stored) => encodeDeliveryMessage({ delivery: stored, ...delay }), {
        source,
        trace,
      });
    },

    park(delivery, queue, dueAt, source, trace = delivery.event, blockedBy) {
      const encode = (stored: Delivery): string => {
        const parked = { ...stored, firstParkedAt: stored.firstParkedAt ?? clock.now() };
        const blocked = blockedBy === undefined ? {} : { blockedBy };
        return encodeDeliveryMessage({ delivery: parked, dueAt, delayMs: 0, notBefore: false, ...blocked });
      };
      const subject = names.parked(queue.app, queue.installationUuid);
      return storeDelivery({ stream: "parked", subject }, delivery, encode, { source, trace }, blockedBy === undefined);
    },

    deadLetter(delivery, reason, error, source, trace = delivery.event) {
      const facts = { reason, error, dead_lettered_at: toRfc3339(clock.now()) };
      const messageId = `dead-letter:${dedupKeyOf(delivery)}:${delivery.event.publishedAt}`;
      const target = { stream: "dead-letters", subject: names.deadLetter(delivery.app), messageId } as const;
      const storeIn = (maxBytes: number): Promise<StoredMessageRef> => {
        const encode = (stored: Delivery): string => encodeDeadLetter(stored, facts, maxBytes);
        return storeDelivery(target, delivery, encode, { source, trace });
      };
      return source.isKept === true ? storeIn(Number.POSITIVE_INFINITY) : storeWhatFits(maxPayloadBytes(), storeIn);
    },
  };
}

/** A dead letter without the body of its message is smaller. */
const SMALLEST_DEAD_LETTER = 4 * 1024;

/** The stream may accept less than the server. */
async function storeWhatFits(maxPayloadBytes: number, store: (maxBytes: number) => Promise<StoredMessageRef>): Promise<StoredMessageRef> {
  for (let maxBytes = maxPayloadBytes; ; maxBytes = Math.floor(maxBytes / 2)) {
    try {
      return await store(maxBytes);
    } catch (fault) {
      if (!isTooLarge(fault) || maxBytes < SMALLEST_DEAD_LETTER) throw fault;
    }
  }
}

function rawDeadLetterWriter({ names, maxPayloadBytes, clock, store, deadline }: WriterContext): DeliveryStreamWriter["deadLetterRaw"] {
  return async (message, reason, error, app) => {
    const until = deadline();
    const facts = { reason, error, app, at: toRfc3339(clock.now()) };
    const subject = names.deadLetter(app);
    const messageId = `${reason}:${message.stream}:${message.sequence}:${message.storedAt}`;
    return storeWhatFits(maxPayloadBytes(), (maxBytes) => {
      const size = Math.min(maxBytes, message.data.length);
      const body = (): string => encodeRawMessage(message, facts, maxBytes);
      return store({ stream: "dead-letters", subject, size, body, messageId, trace: null }, until);
    });
  };
}

/** Average size of a fan-out batch, at most. */
const TARGETS_PER_BATCH = 250;
const BATCHES_AT_ONCE = 16;

function fanOutWriter({ names, store, deadline }: WriterContext): DeliveryStreamWriter["fanOut"] {
  return async ({ event, eventSequence, targets }, { stream, sequence }, trace) => {
    const until = deadline();
    // A power of two: an event that is handled again with one more installation has the same batches, or others under other ids.
    const count = 2 ** Math.max(0, Math.ceil(Math.log2(targets.length / TARGETS_PER_BATCH)));
    const batches = batchesOf(targets, count);
    for (let from = 0; from < count; from += BATCHES_AT_ONCE) {
      // Stored after its event was given back, a batch would come beside those that the event is stored in again.
      await allEnded(
        batches.slice(from, from + BATCHES_AT_ONCE).map((batchTargets, at) => {
          const batch = { event, eventSequence, targets: batchTargets };
          const messageId = `fan-out:${count}:${from + at}:${stream}:${sequence}:${event.publishedAt}`;
          const message = { subject: names.fanOut, size: batchSize(batch), body: () => encodeBatch(batch), messageId, trace };
          return store({ stream: "retries", window: "fan-out", ...message }, until);
        }),
      );
    }
    return count;
  };
}

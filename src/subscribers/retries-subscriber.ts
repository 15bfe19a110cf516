/**
 * The retries stream: one durable consumer per tier. Within a tier messages come due in the order they were stored, so a
 * small batch from its head is held in memory until due, kept alive with working() heartbeats. A killed worker's batch
 * comes back after ack_wait.
 */
import { DELAY_TIERS_S, nextStep } from "../delivery/delay-tiers.ts";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { InFlight } from "../delivery/in-flight.ts";
import type { SkipDelivered } from "../delivery/skip-delivered.ts";
import type { Tracing } from "../delivery/tracing-ports.ts";
import { ensureConsumer, tierConsumer } from "../jetstream/consumers.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { createHeldBytes } from "../jetstream/held-bytes.ts";
import type { ConsumedMessage } from "../jetstream/message.ts";
import { ACK, createMessageHandler, decodedText, shouldRequeue } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { isStoredAgain } from "../jetstream/read-subject.ts";
import type { Replicas } from "../jetstream/replicas.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { Delivery } from "../model/delivery.ts";
import { type DeliveryMessage, decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { TraceHeaders } from "../model/trace-context.ts";

export interface RetriesSubscriber {
  start(): Promise<void>;
  /** Stops pulling and gives back what is not due yet; attempts in flight continue. */
  stop(): Promise<void>;
  held(): number;
  /** These messages are stored elsewhere by now (RETRYNOW-1). */
  drop(sequences: ReadonlySet<number>): void;
}

export interface RetriesSubscriberDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly dispatcher: Dispatcher;
  readonly streams: DeliveryStreamWriter;
  readonly giveUp: GiveUp;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  readonly tracing: Tracing;
  /** A limit for the held messages of all tiers together. */
  readonly maxHeldBytes: number;
  readonly replicas: Pick<Replicas, "onGone">;
}

/** Messages of one tier held by one process. */
const HELD_PER_TIER = 128;
/** Most tiers are idle most of the time: the first messages are asked for by few, and more the more have come. */
const ASKED_WHEN_IDLE = 8;
/** Messages of a tier that may be held however large they are. */
const ALWAYS_HELD = 8;
/** The messages of a replica that is gone come back within ack_wait: as many more may be held of each tier for so long. */
const MORE_HELD_FOR_MS = 60_000;

export function createRetriesSubscriber(dependencies: RetriesSubscriberDependencies): RetriesSubscriber {
  const { names, dispatcher, streams, inFlight, skipDelivered, tracing, maxHeldBytes, clock } = dependencies;
  const waiting = new Map<ConsumedMessage, () => void>();
  let more = 0;

  const wait = (message: ConsumedMessage, delayMs: number, then: () => void): void => {
    const cancel = clock.after(delayMs, () => {
      waiting.delete(message);
      then();
    });
    waiting.set(message, cancel);
  };

  const handle = createMessageHandler<DeliveryMessage>(dependencies, {
    decode: decodedText(decodeDeliveryMessage),
    handle(message, stored) {
      const { delivery, delayMs, notBefore } = stored;
      const delay = { dueAt: stored.dueAt ?? 0, delayMs, notBefore };
      const step = nextStep(delay, clock.now());
      switch (step.kind) {
        case "step-down":
          return streams.retry(delivery, delay, message, traceOf(message, delivery)).then(() => ACK);
        case "wait":
          wait(message, step.restMs, () => handle(message));
          return "later";
        case "attempt":
          return attempt(message, delivery).then(() => ACK);
      }
    },
    appOf: ({ subject }) => names.parseRetry(subject)?.app ?? null,
  });

  const onMessage = (message: ConsumedMessage, tierS: number): void => {
    const dueInTierMs = tierEndOf(message, tierS) - clock.now();
    // Handled early, it is stored again for the rest of its delay.
    if (dueInTierMs > 0 && !shouldRequeue(message)) wait(message, dueInTierMs, () => handle(message));
    else handle(message);
  };

  const attempt = (message: ConsumedMessage, delivery: Delivery): Promise<void> =>
    inFlight.alone(delivery, async () => {
      if (await skipDelivered(delivery)) return;
      await tracing.process(delivery.event, "retries", message, (span) => dispatcher.dispatch(delivery, span, message));
    });

  const tiers = DELAY_TIERS_S.map((tierS) => {
    const settings = tierConsumer(names, tierS);
    const ensure = async (): Promise<void> => {
      await ensureConsumer(dependencies, settings);
    };
    const consumer: PullConsumer = createPullConsumer(dependencies, {
      settings,
      limit: () => Math.min(HELD_PER_TIER, ASKED_WHEN_IDLE + 2 * consumer.held()) + more,
      // A tier whose messages wait for hours takes no room from another.
      heldBytes: { of: createHeldBytes(maxHeldBytes / DELAY_TIERS_S.length), always: () => ALWAYS_HELD + more },
      onMessage: (message) => onMessage(message, tierS),
      onLost: (message) => {
        waiting.get(message)?.();
        if (waiting.delete(message)) message.drop();
      },
      recover: ensure,
    });
    return { ensure, consumer };
  });

  /** They would wait for a place behind messages that are due later. */
  dependencies.replicas.onGone(() => {
    more += HELD_PER_TIER;
    clock.after(MORE_HELD_FOR_MS, () => {
      more -= HELD_PER_TIER;
    });
    for (const { consumer } of tiers) consumer.wake();
  });

  return {
    async start() {
      for (const { ensure } of tiers) await ensure();
      for (const { consumer } of tiers) consumer.start();
    },
    async stop() {
      const stopped = Promise.all(tiers.map(({ consumer }) => consumer.stop()));
      for (const [message, cancel] of waiting) {
        cancel();
        message.nak(1);
      }
      waiting.clear();
      await stopped;
    },
    drop(sequences) {
      for (const [message, cancel] of waiting) {
        if (!sequences.has(message.sequence)) continue;
        cancel();
        waiting.delete(message);
        message.ack();
      }
    },
    held: () => tiers.reduce((sum, { consumer }) => sum + consumer.held(), 0),
  };
}

/** When it has waited in its tier; milliseconds since the epoch. One that was stored again has waited there since before. */
function tierEndOf(message: ConsumedMessage, tierS: number): number {
  return isStoredAgain(message.header("nats-msg-id")) ? 0 : message.storedAt + tierS * 1000;
}

/** A hop to the next tier is no step of its own in the trace: the next attempt follows from what was stored first. */
function traceOf(message: ConsumedMessage, { event }: Delivery): TraceHeaders {
  const traceparent = message.header("traceparent");
  return traceparent === undefined ? event : { traceparent, tracestate: message.header("tracestate") ?? null };
}

/**
 * The retries stream: one durable consumer per tier. Within a tier messages come due in the order they were stored, so a
 * small batch from its head is held in memory until due, kept alive with working() heartbeats. A killed worker's batch
 * comes back after ack_wait.
 */
import { AckPolicy, nanos } from "nats";
import { DELAY_TIERS_S, nextStep } from "../delivery/delay-tiers.ts";
import type { Dispatcher } from "../delivery/dispatcher.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { InFlight } from "../delivery/in-flight.ts";
import type { MessageRef } from "../delivery/ports.ts";
import type { SkipDelivered } from "../delivery/skip-delivered.ts";
import type { Tracing } from "../delivery/tracing-ports.ts";
import type { DeliveryStreamWriter } from "../jetstream/delivery-streams.ts";
import { type ConsumedMessage, cameBackWaiting, isPoison, poisonError } from "../jetstream/message.ts";
import type { CompleteMessage } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { ensureConsumer } from "../jetstream/streams.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { messageOf } from "../model/app-error.ts";
import type { Delivery } from "../model/delivery.ts";
import { type DeliveryMessage, decodeDeliveryMessage } from "../model/delivery-message.ts";
import type { TraceHeaders } from "../model/trace-context.ts";

export interface RetriesSubscriber {
  start(): Promise<void>;
  /** Stops pulling and gives back what is not due yet; attempts in flight go on. */
  stop(): Promise<void>;
  held(): number;
}

export interface RetriesSubscriberDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly dispatcher: Dispatcher;
  readonly streams: DeliveryStreamWriter;
  readonly giveUp: GiveUp;
  readonly inFlight: InFlight;
  readonly skipDelivered: SkipDelivered;
  readonly tracing: Tracing;
  readonly settle: CompleteMessage;
}

/** Short, so that a killed worker's batch is not late by much. */
const ACK_WAIT_MS = 10_000;
/** Messages of one tier held by one process. */
const HELD_PER_TIER = 128;
const MAX_ACK_PENDING = 10_000;

export function createRetriesSubscriber(dependencies: RetriesSubscriberDependencies): RetriesSubscriber {
  const { manager, names, dispatcher, streams, giveUp, inFlight, skipDelivered, tracing, settle, clock } = dependencies;
  const stream = names.streams.retries;
  const waiting = new Map<ConsumedMessage, () => void>();

  const ensure = async (tierS: number): Promise<void> => {
    await ensureConsumer(manager, stream, {
      durable_name: names.tierConsumer(tierS),
      filter_subject: names.tierFilter(tierS),
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: MAX_ACK_PENDING,
    });
  };

  const wait = (message: ConsumedMessage, delayMs: number, then: () => void): void => {
    const cancel = clock.after(delayMs, () => {
      waiting.delete(message);
      then();
    });
    waiting.set(message, cancel);
  };

  const onMessage = (message: ConsumedMessage, tierS: number): void => {
    const dueInTierMs = message.storedAt + tierS * 1000 - clock.now();
    // Handled early, it is stored anew for the rest of its delay.
    if (dueInTierMs > 0 && !cameBackWaiting(message)) wait(message, dueInTierMs, () => handle(message));
    else handle(message);
  };

  const handle = (message: ConsumedMessage): void => {
    const app = message.subject.split(".").at(-1) ?? "";
    if (isPoison(message)) return settle(message, giveUp.message(message, "redelivered", poisonError(message), app));
    let stored: DeliveryMessage;
    try {
      stored = decodeDeliveryMessage(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return settle(message, giveUp.message(message, "invalid", messageOf(error), app));
    }
    const source: MessageRef = { stream, sequence: message.sequence };
    const { delivery, delayMs, notBefore } = stored;
    const delay = { dueAt: stored.dueAt ?? 0, delayMs, notBefore };
    const step = nextStep(delay, clock.now());
    switch (step.kind) {
      case "step-down":
        return settle(message, streams.retry(delivery, delay, source, traceOf(message, delivery)));
      case "wait":
        return wait(message, step.restMs, () => settle(message, attempt(message, delivery, source)));
      case "attempt":
        return settle(message, attempt(message, delivery, source));
    }
  };

  const attempt = (message: ConsumedMessage, delivery: Delivery, source: MessageRef): Promise<void> =>
    inFlight.alone(delivery, async () => {
      if (await skipDelivered(delivery)) return;
      await tracing.process(delivery.event, "retries", message, (span) => dispatcher.dispatch(delivery, span, source));
    });

  const loops: readonly PullConsumer[] = DELAY_TIERS_S.map((tierS) =>
    createPullConsumer(dependencies, {
      stream,
      consumer: names.tierConsumer(tierS),
      workQueueSubject: names.tierFilter(tierS),
      limit: () => HELD_PER_TIER,
      onMessage: (message) => onMessage(message, tierS),
      recover: () => ensure(tierS),
      workingEveryMs: ACK_WAIT_MS / 3,
    }),
  );

  return {
    async start() {
      for (const tierS of DELAY_TIERS_S) await ensure(tierS);
      for (const loop of loops) loop.start();
    },
    async stop() {
      const stopped = Promise.all(loops.map((loop) => loop.stop()));
      for (const [message, cancel] of waiting) {
        cancel();
        message.nak(1);
      }
      waiting.clear();
      await stopped;
    },
    held: () => loops.reduce((sum, loop) => sum + loop.held(), 0),
  };
}

/** A hop to the next tier is no step of its own in the trace: the next attempt follows from what was stored first. */
function traceOf(message: ConsumedMessage, { event }: Delivery): TraceHeaders {
  const traceparent = message.header("traceparent");
  return traceparent === undefined ? event : { traceparent, tracestate: message.header("tracestate") ?? null };
}

/**
 * Deals out the parts of large fan-outs (model/fan-out-batch.ts) that rest in the retries stream. A replica takes the next
 * part when of those it holds no delivery waits, for a place or to be stored, so that one slow receiver does not hold up
 * the rest, and a crash leaves little undone.
 */
import { AckPolicy, nanos } from "nats";
import type { DeliverEvent } from "../delivery/deliver-event.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { RegistryView } from "../delivery/ports.ts";
import type { Tracing } from "../delivery/tracing-ports.ts";
import { type ConsumedMessage, isPoison, poisonError } from "../jetstream/message.ts";
import type { CompleteMessage } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import { ensureConsumer } from "../jetstream/streams.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { messageOf } from "../model/app-error.ts";
import { newDelivery } from "../model/delivery.ts";
import { decodeBatch, type FanOutBatch } from "../model/fan-out-batch.ts";

export interface FanOutSubscriber {
  start(): Promise<void>;
  /** Stops pulling; parts in hand go on. */
  stop(): Promise<void>;
  held(): number;
}

export interface FanOutSubscriberDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly registry: Pick<RegistryView, "app">;
  readonly deliverEvent: DeliverEvent;
  readonly giveUp: GiveUp;
  readonly tracing: Tracing;
  readonly settle: CompleteMessage;
  /** Deliveries of this process that wait for a place, or to be stored. */
  readonly waiting: () => number;
}

const ACK_WAIT_MS = 10_000;
const MAX_CHUNKS_HELD = 8;
const MAX_ACK_PENDING = 1_000;

export function createFanOutSubscriber(dependencies: FanOutSubscriberDependencies): FanOutSubscriber {
  const { manager, names, registry, deliverEvent, giveUp, tracing, settle, waiting } = dependencies;
  const stream = names.streams.retries;

  const ensure = async (): Promise<void> => {
    await ensureConsumer(manager, stream, {
      durable_name: names.fanOutConsumer,
      filter_subject: names.fanOut,
      ack_policy: AckPolicy.Explicit,
      ack_wait: nanos(ACK_WAIT_MS),
      max_deliver: -1,
      max_ack_pending: MAX_ACK_PENDING,
    });
  };

  const handle = (message: ConsumedMessage): void => {
    if (isPoison(message)) return settle(message, giveUp.message(message, "redelivered", poisonError(message), null));
    let chunk: FanOutBatch;
    try {
      chunk = decodeBatch(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      return settle(message, giveUp.message(message, "invalid", messageOf(error), null));
    }
    const { event, eventSequence, targets } = chunk;
    const deliveries = targets.map(({ app, uuid }) => newDelivery(event, app, uuid, eventSequence, registry.app(app)?.createdAt ?? null));
    const source = { stream, sequence: message.sequence };
    settle(
      message,
      tracing.process(event, "fan-out", message, (span) => deliverEvent(deliveries, span, source, true)),
    );
  };

  const loop: PullConsumer = createPullConsumer(dependencies, {
    stream,
    consumer: names.fanOutConsumer,
    workQueueSubject: names.fanOut,
    limit: () => (waiting() === 0 ? Math.min(loop.held() + 1, MAX_CHUNKS_HELD) : 1),
    onMessage: handle,
    recover: ensure,
    workingEveryMs: ACK_WAIT_MS / 3,
  });

  return {
    async start() {
      await ensure();
      loop.start();
    },
    stop: () => loop.stop(),
    held: () => loop.held(),
  };
}

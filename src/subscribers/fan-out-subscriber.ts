/**
 * Delivers the batches of large fan-outs (model/fan-out-batch.ts), which wait in the retries stream. A replica takes the next batch when
 * no delivery of those that it holds waits for a place, or to be stored. So one slow receiver does not hold up the rest, and a crash
 * leaves little undone.
 */
import type { DeliverEvent } from "../delivery/deliver-event.ts";
import type { GiveUp } from "../delivery/give-up.ts";
import type { RegistryView } from "../delivery/ports.ts";
import type { Tracing } from "../delivery/tracing-ports.ts";
import { ensureConsumer, fanOutConsumer } from "../jetstream/consumers.ts";
import type { ConsumedMessage } from "../jetstream/message.ts";
import { ACK, createMessageHandler, decodedText, type MessageEnd } from "../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../jetstream/pull-consumer.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import { newDelivery } from "../model/delivery.ts";
import { decodeBatch, type FanOutBatch } from "../model/fan-out-batch.ts";

export interface FanOutSubscriberDependencies extends PullConsumerDependencies {
  readonly names: Subjects;
  readonly registry: Pick<RegistryView, "app">;
  readonly deliverEvent: DeliverEvent;
  readonly giveUp: GiveUp;
  readonly tracing: Tracing;
  /** Deliveries of this process that wait for a place, or to be stored. */
  readonly waiting: () => number;
}

const MAX_BATCHES_HELD = 8;

export function createFanOutSubscriber(dependencies: FanOutSubscriberDependencies) {
  const { names, registry, deliverEvent, tracing, waiting } = dependencies;
  const settings = fanOutConsumer(names);

  const ensure = async (): Promise<void> => {
    await ensureConsumer(dependencies, settings);
  };

  const handle = async (message: ConsumedMessage, { event, eventSequence, targets }: FanOutBatch): Promise<MessageEnd> => {
    const deliveries = targets.map(({ app, uuid }) => newDelivery(event, app, uuid, eventSequence, registry.app(app)?.createdAt ?? null));
    await tracing.process(event, "fan-out", message, (span) => deliverEvent(deliveries, span, message, true));
    return ACK;
  };

  const loop: PullConsumer = createPullConsumer(dependencies, {
    settings,
    limit: () => (waiting() === 0 ? Math.min(loop.held() + 1, MAX_BATCHES_HELD) : 1),
    onMessage: createMessageHandler(dependencies, { decode: decodedText(decodeBatch), handle, appOf: () => null }),
    recover: ensure,
  });

  return {
    async start(): Promise<void> {
      await ensure();
      loop.start();
    },
    /** Stops pulling; parts in hand continue. */
    stop: () => loop.stop(),
    held: () => loop.held(),
  };
}

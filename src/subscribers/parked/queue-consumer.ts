/**
 * Takes the deliveries of an unordered app's own queue through its durable consumer, which all replicas share: attempts start in
 * stored order, at most `maxInFlight` at once over all replicas (the consumer's max_ack_pending).
 *
 * QUEUE-1  A message that can't be attempted yet (its circuit is open) is held in memory with heartbeats, not given back. One that came
 *          back several times all the same goes to the end of its queue.
 */

import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { ParkedQueue, TracePosition, Tracing } from "../../delivery/ports.ts";
import { type ConsumedMessage, cameBackWaiting, poisonError } from "../../jetstream/message.ts";
import { AGAIN_AFTER_MS, endFailed } from "../../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumerDependencies } from "../../jetstream/pull-consumer.ts";
import { messageOf } from "../../model/app-error.ts";
import { decodeDeliveryMessage } from "../../model/delivery-message.ts";
import type { AttemptParked, WaitingDelivery } from "./attempt-parked.ts";

export interface QueueConsumer {
  readonly maxInFlight: number;
  /** Something that decides whether its messages may go has changed. */
  wake(): void;
  held(): number;
  /** Milliseconds since the epoch of the last message. */
  lastMessageAt(): number;
  /** Stops pulling and gives back what is waiting; attempts in flight go on. */
  close(): Promise<void>;
}

export interface QueueConsumerDependencies extends PullConsumerDependencies {
  readonly attemptParked: AttemptParked;
  readonly dispatcher: Dispatcher;
  readonly giveUp: GiveUp;
  readonly tracing: Tracing;
}

export interface QueueConsumerOptions {
  readonly queue: ParkedQueue;
  readonly stream: string;
  readonly consumer: string;
  readonly subject: string;
  readonly maxInFlight: number;
  readonly ackWaitMs: number;
  readonly recover: () => Promise<void>;
  /** A message was settled: time to look whether the consumer is still wanted. */
  readonly onIdle: () => void;
}

/** How often a message that has to wait asks again whether it may go. */
const ASK_AGAIN_MS = 1_000;
/** Doublings of the wait after a fault. */
const LONGEST_BACKOFF = 6;

export function createQueueConsumer(dependencies: QueueConsumerDependencies, options: QueueConsumerOptions): QueueConsumer {
  const { attemptParked, dispatcher, giveUp, tracing, clock, logger } = dependencies;
  const { queue, maxInFlight } = options;
  const share = `parked:${queue.app}`;
  const sleepers = new Set<() => void>();
  let closed = false;

  /** Resolves after `delayMs`, or earlier on wake and close. */
  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        sleepers.delete(wake);
        cancel();
        resolve();
      };
      const cancel = clock.after(delayMs, wake);
      sleepers.add(wake);
    });

  const wakeAll = (): void => {
    for (const wake of [...sleepers]) wake();
  };

  const traced = (waiting: WaitingDelivery, work: (span: TracePosition) => Promise<unknown>): Promise<unknown> =>
    tracing.process(waiting.delivery.event, "parked", waiting.message, (span) => tracing.deliver(span, waiting.delivery, work));

  /** True when the message is settled, false when it has to be given back. */
  const handle = async (message: ConsumedMessage): Promise<boolean> => {
    let stored: ReturnType<typeof decodeDeliveryMessage>;
    try {
      stored = decodeDeliveryMessage(Buffer.from(message.data).toString("utf8"));
    } catch (error) {
      await giveUp.message(message, "invalid", messageOf(error), queue.app);
      return true;
    }
    const { delivery, dueAt } = stored;
    const waiting = { delivery, source: message, message };
    if (stored.blockedBy !== undefined) return true;
    if (dueAt !== null && dueAt > clock.now()) {
      // It waited for its retry in an ordered queue, and may have been asked for that time by its receiver.
      const delay = { dueAt, delayMs: dueAt - clock.now(), floor: true };
      await traced(waiting, (span) => dispatcher.settle({ kind: "retry", delivery, record: null, delay }, message, span));
      return true;
    }
    while (!closed) {
      const end = await attemptParked(waiting, { queue, share, mayBeDone: true, isWanted: () => !closed });
      if (end === "done") return true;
      if (end === "closed" || end === "stopped") return false;
      if (end === "again") continue;
      if (end !== "wait") {
        await traced(waiting, (span) =>
          end.kind === "park"
            ? dispatcher.park(delivery, end.queue, end.why, message, span)
            : dispatcher.settle(end, message, span).then(() => {}),
        );
        return true;
      }
      if (cameBackWaiting(message)) {
        await traced(waiting, (span) => dispatcher.park(delivery, queue, "queue", message, span));
        return true;
      }
      await pause(ASK_AGAIN_MS);
    }
    return false;
  };

  const loop = createPullConsumer(dependencies, {
    stream: options.stream,
    consumer: options.consumer,
    workQueueSubject: options.subject,
    limit: () => maxInFlight,
    onMessage: (message) => {
      handle(message).then(
        (settled) => {
          if (settled) message.ack();
          else message.nak(closed ? 1 : AGAIN_AFTER_MS);
          options.onIdle();
        },
        // A fault that is not the message's may last: what nobody could look at is not to wear out by it.
        (error: unknown) => endFailed(message, error, logger, AGAIN_AFTER_MS * 2 ** Math.min(message.deliveries - 1, LONGEST_BACKOFF)),
      );
    },
    onPoison: (message) => {
      giveUp.message(message, "redelivered", poisonError(message), queue.app).then(
        () => message.ack(),
        (error: unknown) => endFailed(message, error, logger),
      );
    },
    onLost: wakeAll,
    recover: options.recover,
    ackWaitMs: options.ackWaitMs,
  });
  loop.start();

  return {
    maxInFlight,
    wake() {
      wakeAll();
      loop.wake();
    },
    held: () => loop.held(),
    lastMessageAt: () => loop.lastMessageAt(),
    async close() {
      closed = true;
      wakeAll();
      await loop.stop();
    },
  };
}

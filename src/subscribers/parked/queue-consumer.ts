/**
 * Takes the deliveries of an unordered app's own queue through its durable consumer, which all replicas share: attempts start in
 * stored order, at most `maxInFlight` at once over all replicas (the consumer's max_ack_pending).
 *
 * QUEUE-1  A message that can't be attempted yet (its circuit is open) is held in memory with heartbeats, not given back. One that came
 *          back several times all the same goes to the end of its queue.
 *          Nothing is pulled while it would only be held, and what is held is given back when consumers of other queues find no room.
 * QUEUE-2  The server hands out nothing in place of a message whose ack it doesn't have. So acks are sent as soon as they are as many as
 *          the messages that are still held; at the ticks of all acks alone, a queue would empty at `maxInFlight` per tick.
 * QUEUE-3  A message whose outcome a stream refuses is attempted again (PUBLISH-1).
 */

import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { DeadLetterDisposition, RetryDisposition } from "../../delivery/disposition.ts";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { ParkedQueue } from "../../delivery/ports.ts";
import type { Tracing } from "../../delivery/tracing-ports.ts";
import type { AckBatcher } from "../../jetstream/ack-batcher.ts";
import type { ConsumerSettings } from "../../jetstream/consumers.ts";
import type { HeldBytes } from "../../jetstream/held-bytes.ts";
import type { ConsumedMessage } from "../../jetstream/message.ts";
import {
  ACK,
  AGAIN_AFTER_MS,
  createMessageHandler,
  decodedText,
  growingDelayMs,
  type MessageEnd,
  shouldRequeue,
} from "../../jetstream/message-handler.ts";
import { createPullConsumer, type PullConsumer, type PullConsumerDependencies } from "../../jetstream/pull-consumer.ts";
import { isRefusedForNow } from "../../model/app-error.ts";
import { type DeliveryMessage, decodeDeliveryMessage } from "../../model/delivery-message.ts";
import { type AttemptParked, type ParkElsewhere, storeEnd, waitsUntil } from "./attempt-parked.ts";

export type QueueConsumer = ReturnType<typeof createQueueConsumer>;

export interface QueueConsumerDependencies extends PullConsumerDependencies {
  readonly attemptParked: AttemptParked;
  readonly dispatcher: Dispatcher;
  readonly giveUp: GiveUp;
  readonly tracing: Tracing;
  /** Shared by all queues. */
  readonly heldBytes: HeldBytes;
  /** Messages of the app that can be attempted soon; 0 while its circuit or its throttle holds them all back. */
  readonly attemptsSoon: (app: string) => number;
}

export interface QueueConsumerOptions {
  readonly queue: ParkedQueue;
  readonly settings: ConsumerSettings;
  readonly maxInFlight: number;
  readonly recover: () => Promise<void>;
  /** A message has ended: the consumer may not be needed any more. */
  readonly onIdle: () => void;
}

/** How often a message that has to wait asks again whether it may go. */
const ASK_AGAIN_MS = 1_000;
/** After a fault. */
const LONGEST_DELAY_MS = 60_000;

export function createQueueConsumer(dependencies: QueueConsumerDependencies, options: QueueConsumerOptions) {
  const { attemptParked, heldBytes, attemptsSoon, clock } = dependencies;
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

  const giveBack = (): MessageEnd => ({ kind: "nak", delayMs: closed ? 1 : AGAIN_AFTER_MS });

  const handle = async (message: ConsumedMessage, stored: DeliveryMessage): Promise<MessageEnd> => {
    const { delivery, dueAt } = stored;
    const waiting = { delivery, source: message, message };
    /** QUEUE-3. */
    const isStored = async (end: ParkElsewhere | RetryDisposition | DeadLetterDisposition): Promise<boolean> => {
      try {
        await storeEnd(dependencies, waiting, end);
        return true;
      } catch (error) {
        if (isRefusedForNow(error)) return false;
        throw error;
      }
    };
    while (!closed) {
      const end =
        waitsUntil(dueAt, delivery, clock.now()) ??
        (await attemptParked(waiting, { queue, share, mayBeDone: true, isWanted: () => !closed }));
      if (end === "done" || end === "skipped") return ACK;
      if (end === "closed" || end === "stopped" || end === "unwanted") return giveBack();
      if (end === "wait") {
        if (shouldRequeue(message) && (await isStored({ kind: "park", queue, why: "queue" }))) return ACK;
        if (heldBytes.isScarce() && attemptsSoon(queue.app) === 0) return giveBack();
      } else if (await isStored(end)) return ACK;
      await pause(ASK_AGAIN_MS);
    }
    return giveBack();
  };

  const acks = sentEarly(dependencies.acks, () => loop.held());
  const onMessage = createMessageHandler<DeliveryMessage>(dependencies, {
    decode: decodedText(decodeDeliveryMessage),
    handle,
    appOf: () => queue.app,
    onEnd: options.onIdle,
    // A fault that is not the message's may last. Longer and longer delays keep the message from counting as poison.
    retryDelayMs: (message) => growingDelayMs(message, LONGEST_DELAY_MS),
  });
  const { settings, recover } = options;
  const loop: PullConsumer = createPullConsumer(
    { ...dependencies, acks },
    {
      settings,
      limit: () => Math.min(maxInFlight, attemptsSoon(queue.app)),
      heldBytes: { of: heldBytes },
      onMessage,
      onLost: wakeAll,
      recover,
    },
  );
  loop.start();

  return {
    maxInFlight,
    /** Something that decides whether its messages may go has changed. */
    wake(): void {
      wakeAll();
      loop.wake();
    },
    held: () => loop.held(),
    /** Milliseconds since the epoch of the last message. */
    lastMessageAt: () => loop.lastMessageAt(),
    /** Stops pulling and gives back what is waiting; attempts in flight continue. */
    async close(): Promise<void> {
      closed = true;
      wakeAll();
      await loop.stop();
    },
  };
}

/** QUEUE-2. @param held messages that the consumer still holds */
function sentEarly(acks: AckBatcher, held: () => number): AckBatcher {
  let acked = 0;
  return {
    ...acks,
    ack(reply) {
      acks.ack(reply);
      if (++acked < held()) return;
      acked = 0;
      acks.flush();
    },
  };
}

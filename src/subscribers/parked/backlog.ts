/**
 * Reads parked queues without their consumers: a look at the oldest delivery for a probe, and giving up what has waited too
 * long in a queue that may not flow. Nothing here counts as a redelivery.
 */
import type { JetStreamManager, StoredMsg } from "nats";
import type { GiveUp } from "../../delivery/give-up.ts";
import type { HandledMessage, Hold, MessageRef, ParkedQueue } from "../../delivery/ports.ts";
import type { SkipDelivered } from "../../delivery/skip-delivered.ts";
import type { DeliveryStreamWriter } from "../../jetstream/delivery-streams.ts";
import { headerOf } from "../../jetstream/stored-events.ts";
import { messageAt, nextMessage } from "../../jetstream/stored-message.ts";
import { isDeletedAlready, unlessNotFound } from "../../jetstream/streams.ts";
import type { Subjects } from "../../jetstream/subjects.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import { decodeDeliveryMessage } from "../../model/delivery-message.ts";

export interface ParkedDelivery {
  readonly message: HandledMessage;
  readonly source: MessageRef;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  readonly delivery: Delivery;
  /** Not to be attempted before, milliseconds since the epoch; null: when its turn comes. */
  readonly dueAt: number | null;
}

export interface ParkedBacklog {
  oldest(queue: ParkedQueue): Promise<ParkedDelivery | null>;
  /** The next one that was stored after the sequence. */
  after(queue: ParkedQueue, sequence: number): Promise<ParkedDelivery | null>;
  /** The app's queues that hold something. */
  queuesOf(app: string): Promise<ParkedQueue[]>;
  /** Whether the message is still in the stream. */
  isStored(sequence: number): Promise<boolean>;
  /**
   * Stores the message anew at the end of its queue, with the attempts and the due time of the hold that it has had, when the
   * queue may not flow. @returns false when it may, and the message is to be waited for.
   */
  setAside(hold: Hold, isFlowing: (queue: ParkedQueue) => boolean): Promise<boolean>;
  /** Takes a delivery that is done out of its queue. */
  remove(parked: Pick<ParkedDelivery, "source">): Promise<void>;
  /**
   * Sends to dead letters what was first parked longer ago than `maxAgeMs`, unless something of the queue is still being
   * attempted. @returns how many.
   */
  expire(queue: ParkedQueue, maxAgeMs: number): Promise<number>;
  /** Deliveries waiting in the queue. */
  count(queue: ParkedQueue): Promise<number>;
}

export interface ParkedBacklogDependencies {
  readonly manager: JetStreamManager;
  readonly names: Subjects;
  readonly streams: DeliveryStreamWriter;
  readonly skipDelivered: SkipDelivered;
  readonly giveUp: Pick<GiveUp, "delivery">;
  readonly clock: Clock;
}

export function createParkedBacklog({ manager, names, streams, skipDelivered, giveUp, clock }: ParkedBacklogDependencies): ParkedBacklog {
  const stream = names.streams.parked;

  const deleteMessage = async (sequence: number): Promise<void> => {
    try {
      await manager.streams.deleteMessage(stream, sequence, false);
    } catch (error) {
      if (!isDeletedAlready(error)) throw error;
    }
  };

  /** Null for what no stream could read; the drain sends that to dead letters as `invalid`. */
  const decode = (message: StoredMsg): ParkedDelivery | null => {
    try {
      const { delivery, dueAt } = decodeDeliveryMessage(message.string());
      return { message: handled(message), source: { stream, sequence: message.seq }, storedAt: message.time.getTime(), delivery, dueAt };
    } catch {
      return null;
    }
  };

  const after: ParkedBacklog["after"] = async (queue, sequence) => {
    for (let from = sequence + 1; ; ) {
      const message = await nextMessage(manager, stream, names.parked(queue.app, queue.installationUuid), from);
      if (message === null) return null;
      const parked = decode(message);
      if (parked !== null) return parked;
      from = message.seq + 1;
    }
  };

  /** Whether a drain has deliveries of the queue in its hands. */
  const isInFlight = async ({ app, installationUuid }: ParkedQueue): Promise<boolean> => {
    const info = await unlessNotFound(manager.consumers.info(stream, names.parkedConsumer(app, installationUuid)));
    return info !== null && info.num_ack_pending > 0;
  };

  return {
    oldest: (queue) => after(queue, 0),
    after,

    async queuesOf(app) {
      const own = names.parked(app, null);
      const [first, others] = await Promise.all(
        [own, `${own}.*`].map(async (filter) =>
          Object.keys((await manager.streams.info(stream, { subjects_filter: filter })).state.subjects ?? {}),
        ),
      );
      return [...(first ?? []), ...(others ?? [])].map(queueOf);
    },

    isStored: async (sequence) => (await messageAt(manager, stream, sequence)) !== null,

    async setAside({ parkedSequence, attemptsMade, attempts, dueAt }, isFlowing) {
      const message = await messageAt(manager, stream, parkedSequence);
      if (message === null) return true;
      const queue = queueOf(message.subject);
      const parked = decode(message);
      if (isFlowing(queue) || parked === null) return false;
      await streams.park({ ...parked.delivery, attemptsMade, attempts }, queue, dueAt || null, parked.source);
      await deleteMessage(parkedSequence);
      return true;
    },

    remove: ({ source }) => deleteMessage(source.sequence),

    async expire(queue, maxAgeMs) {
      for (let expired = 0, at = 0; ; ) {
        const parked = await after(queue, at);
        const ageMs = parked === null ? 0 : clock.now() - (parked.delivery.firstParkedAt ?? clock.now());
        if (parked === null || ageMs <= maxAgeMs || (expired === 0 && (await isInFlight(queue)))) return expired;
        const { delivery, source } = parked;
        at = source.sequence;
        if (!(await skipDelivered(delivery))) {
          await giveUp.delivery({ delivery, reason: "expired", error: expiredAfter(ageMs) }, source);
          expired++;
        }
        await deleteMessage(at);
      }
    },

    async count(queue) {
      const subject = names.parked(queue.app, queue.installationUuid);
      const { state } = await manager.streams.info(stream, { subjects_filter: subject });
      return state.subjects?.[subject] ?? 0;
    },
  };
}

/** Of `<prefix>.parked.<app>[.<installation uuid>]`. */
export function queueOf(subject: string): ParkedQueue {
  const [, , app = "", installationUuid] = subject.split(".");
  return { app, installationUuid: installationUuid ?? null };
}

/** As a drain would have it: read past the consumer, it was never handed out. */
function handled({ subject, seq: sequence, header }: StoredMsg): HandledMessage {
  return { subject, consumer: "", sequence, deliveries: 0, header: (name) => headerOf(header, name) };
}

export function expiredAfter(ageMs: number): string {
  return `first parked ${Math.round(ageMs / 1000)} s ago, longer than POSTHORN_MAX_PARKED_AGE`;
}

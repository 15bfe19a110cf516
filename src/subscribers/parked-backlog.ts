/**
 * Reads and empties parked queues without their consumers: a look at the oldest delivery for a probe, sending a backlog to
 * dead letters, and giving up what has waited too long in a queue that may not flow. Nothing here counts as a redelivery.
 */
import type { JetStreamManager, SeqMsgRequest, StoredMsg } from "nats";
import type { HandledMessage, LaneSource, ParkedQueue } from "../delivery/ports.ts";
import type { Clock } from "../model/clock.ts";
import type { DeadLetterReason, Delivery } from "../model/delivery.ts";
import { decodeLaneMessage } from "../model/lane-message.ts";
import type { LaneWriter } from "./lanes.ts";
import type { BusNames } from "./names.ts";
import { headerOf } from "./stored-events.ts";
import { isNotFound } from "./topology.ts";

export interface ParkedDelivery {
  readonly message: HandledMessage;
  readonly source: LaneSource;
  /** When the server stored it, milliseconds since the epoch. */
  readonly storedAt: number;
  readonly delivery: Delivery;
}

export interface ParkedBacklog {
  oldest(queue: ParkedQueue): Promise<ParkedDelivery | null>;
  /** The next one that was stored after the sequence. */
  after(queue: ParkedQueue, sequence: number): Promise<ParkedDelivery | null>;
  /** The app's queues that hold something. */
  queuesOf(app: string): Promise<ParkedQueue[]>;
  /** Whether the message is still in the lane. */
  isStored(sequence: number): Promise<boolean>;
  /** Takes a delivery that is done out of its queue. */
  remove(parked: Pick<ParkedDelivery, "source">): Promise<void>;
  /** Sends all to dead letters that were parked before the call. @returns how many. */
  discard(queue: ParkedQueue): Promise<number>;
  /** Sends to dead letters what was first parked longer ago than `maxAgeMs`. @returns how many. */
  expire(queue: ParkedQueue, maxAgeMs: number): Promise<number>;
  /** Deliveries waiting in the queue. */
  count(queue: ParkedQueue): Promise<number>;
}

export function createParkedBacklog(manager: JetStreamManager, lanes: LaneWriter, names: BusNames, clock: Clock): ParkedBacklog {
  const stream = names.streams.parked;

  const next = async (queue: ParkedQueue, from: number): Promise<StoredMsg | null> => {
    try {
      // The server's JSApiMsgGetRequest has had next_by_subj since 2.9; the library's type has not.
      const request = { seq: from, next_by_subj: names.parked(queue.app, queue.installationUuid) };
      return await manager.streams.getMessage(stream, request as SeqMsgRequest);
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  };

  const deleteMessage = async (sequence: number): Promise<void> => {
    try {
      await manager.streams.deleteMessage(stream, sequence, false);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  };

  /** Null for what no lane could read; the drain sends that to dead letters as `invalid`. */
  const decode = (message: StoredMsg): ParkedDelivery | null => {
    try {
      const { delivery } = decodeLaneMessage(message.string());
      return { message: handled(message), source: { stream, sequence: message.seq }, storedAt: message.time.getTime(), delivery };
    } catch {
      return null;
    }
  };

  const after: ParkedBacklog["after"] = async (queue, sequence) => {
    for (let from = sequence + 1; ; ) {
      const message = await next(queue, from);
      if (message === null) return null;
      const parked = decode(message);
      if (parked !== null) return parked;
      from = message.seq + 1;
    }
  };

  /** Walks the queue from its oldest message while `take` says what to do with it; null ends the walk. */
  const giveUp = async (
    queue: ParkedQueue,
    lastSequence: number,
    take: (delivery: Delivery) => { reason: DeadLetterReason; error: string } | null,
  ): Promise<number> => {
    let given = 0;
    for (let from = 0; ; ) {
      const message = await next(queue, from);
      if (message === null || message.seq > lastSequence) return given;
      from = message.seq + 1;
      const parked = decode(message);
      if (parked === null) continue;
      const why = take(parked.delivery);
      if (why === null) return given;
      await lanes.deadLetter(parked.delivery, why.reason, why.error, parked.source);
      await deleteMessage(message.seq);
      given++;
    }
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
      return [...(first ?? []), ...(others ?? [])].map((subject) => ({ app, installationUuid: subject.slice(own.length + 1) || null }));
    },

    async isStored(sequence) {
      try {
        await manager.streams.getMessage(stream, { seq: sequence });
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        throw error;
      }
    },

    remove: ({ source }) => deleteMessage(source.sequence),

    async discard(queue) {
      const { state } = await manager.streams.info(stream);
      return giveUp(queue, state.last_seq, () => ({ reason: "discarded", error: "discarded by a person while it was parked" }));
    },

    expire(queue, maxAgeMs) {
      return giveUp(queue, Number.POSITIVE_INFINITY, ({ firstParkedAt }) => {
        const ageMs = clock.now() - (firstParkedAt ?? clock.now());
        if (ageMs <= maxAgeMs) return null;
        return { reason: "expired", error: expiredAfter(ageMs) };
      });
    },

    async count(queue) {
      const subject = names.parked(queue.app, queue.installationUuid);
      const { state } = await manager.streams.info(stream, { subjects_filter: subject });
      return state.subjects?.[subject] ?? 0;
    },
  };
}

/** As a drain would have it: read past the consumer, it was never handed out. */
function handled({ subject, seq: sequence, header }: StoredMsg): HandledMessage {
  return { subject, consumer: "", sequence, deliveries: 0, header: (name) => headerOf(header, name) };
}

export function expiredAfter(ageMs: number): string {
  return `parked for ${Math.round(ageMs / 1000)} s, longer than POSTHORN_MAX_PARKED_AGE`;
}

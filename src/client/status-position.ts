/**
 * The position of a status subscription.
 *
 * SUBSCRIBE-3  A deleted consumer is recreated after the last event that all processes of its name had acknowledged; events that this
 *     process has handled since its last update are not handled again.
 */
import type { ConsumerInfo } from "nats";
import { firstOpen, type StartAt } from "./status-consumer.ts";

export interface Position {
  /** Start of a consumer that replaces a deleted one. */
  resumeAt(): StartAt;
  /** Whether it is time to ask the server again. */
  isOutdated(): boolean;
  update(info: ConsumerInfo): void;
  /** @param storedAt identifies the event if a recreated stream assigns the sequence again */
  isHandled(sequence: number, storedAt: number): boolean;
  addHandled(sequence: number, storedAt: number): void;
}

const UPDATE_EVERY_MS = 10_000;
/** An event that is never acknowledged keeps the server's ack floor, so the number of handled events is bounded. */
const MAX_HANDLED = 10_000;

export function createPosition(startAt: StartAt): Position {
  let resumeAt = startAt;
  let updatedAt = 0;
  /** Events after the ack floor: sequence → time at which the server stored it. */
  const handled = new Map<number, number>();

  return {
    resumeAt: () => resumeAt,
    isOutdated: () => Date.now() - updatedAt >= UPDATE_EVERY_MS,
    update(info) {
      resumeAt = firstOpen(info);
      updatedAt = Date.now();
      for (const sequence of handled.keys()) if (sequence <= info.ack_floor.stream_seq) handled.delete(sequence);
    },
    isHandled: (sequence, storedAt) => handled.get(sequence) === storedAt,
    addHandled(sequence, storedAt) {
      handled.set(sequence, storedAt);
      if (handled.size > MAX_HANDLED) handled.delete(handled.keys().next().value ?? 0);
    },
  };
}

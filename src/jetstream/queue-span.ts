/** How many messages a parked queue holds, and where the first and the last of them are. */
import type { JetStreamManager, NatsConnection } from "nats";
import type { ParkedQueue } from "../delivery/ports.ts";
import { orUnreachable } from "./or-unreachable.ts";
import { firstMessageOf } from "./read-subject.ts";
import { lastMessage } from "./stored-message.ts";
import { subjectState } from "./subject-counts.ts";
import type { Subjects } from "./subjects.ts";

export interface QueueSpan {
  readonly messages: number;
  /** Sequences in the parked stream. */
  readonly first: number;
  readonly last: number;
}

/** Null: the queue is empty. */
export type ReadQueueSpan = (queue: ParkedQueue) => Promise<QueueSpan | null>;

export function createQueueSpan(connection: NatsConnection, manager: JetStreamManager, names: Subjects): ReadQueueSpan {
  const stream = names.streams.parked;
  return async ({ app, installationUuid }) => {
    const subject = names.parked(app, installationUuid);
    const [{ count }, first, last] = await orUnreachable(
      Promise.all([
        subjectState(manager, stream, subject),
        firstMessageOf(connection, manager, { stream, subject }),
        lastMessage(manager, stream, subject),
      ]),
    );
    if (first === null || last === null) return null;
    return { messages: Math.max(1, count), first: first.seq, last: last.seq };
  };
}

/** About how many messages of the queue come before the one at this sequence. No server counts them. */
export function messagesBefore({ messages, first, last }: QueueSpan, sequence: number): number {
  if (sequence <= first || last <= first) return 0;
  return Math.round(Math.min(1, (sequence - first) / (last - first)) * Math.max(0, messages - 1));
}

/** The messages that a new replay reads. What is stored later is not its own. */
import type { JetStreamManager } from "nats";
import { orUnreachable } from "../jetstream/or-unreachable.ts";
import { sequenceAt } from "../jetstream/read-stream.ts";
import type { Subjects } from "../jetstream/subjects.ts";
import type { ReplaySpan } from "./replay-record.ts";

/** @throws AppError NATS_UNREACHABLE */
export interface ReplaySpans {
  /** Events that were stored from `from` (null: the oldest) and before `to`; milliseconds since the epoch. */
  events(from: number | null, to: number): Promise<ReplaySpan>;
  deadLetters(): Promise<ReplaySpan>;
}

export function createReplaySpans(manager: JetStreamManager, names: Subjects, now: () => number): ReplaySpans {
  const whole = async (stream: string): Promise<ReplaySpan> => {
    const { first_seq, last_seq } = (await manager.streams.info(stream)).state;
    const first = Math.max(1, first_seq);
    return { first, next: first, last: last_seq };
  };

  const events = async (from: number | null, to: number): Promise<ReplaySpan> => {
    const stream = names.streams.events;
    const all = await whole(stream);
    const first = from === null ? all.first : Math.max(all.first, await sequenceAt(manager, stream, from));
    const last = to >= now() ? all.last : Math.min(all.last, (await sequenceAt(manager, stream, to)) - 1);
    return { first, next: first, last };
  };

  return {
    events: (from, to) => orUnreachable(events(from, to)),
    deadLetters: () => orUnreachable(whole(names.streams.deadLetters)),
  };
}

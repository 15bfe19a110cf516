/**
 * How far a replay has come. Messages are begun in the order of their stream and end in any order.
 *
 * PROGRESS-1  `next` is never above a message that has not ended, and the counts are those of the messages below it: a replay that is
 *             resumed there loses nothing and counts nothing twice.
 */
import type { ReplayKind } from "../model/replay.ts";
import type { ReplayCounts, ReplayRecord, ReplaySpan } from "./replay-record.ts";

/** The streams that a replay reads, in this order. */
export const PHASES = ["events", "dead_letters"] as const;
export type Phase = (typeof PHASES)[number];

/** A delivery is a dead letter, was never delivered, or was delivered. */
export type DeliveryKind = keyof Pick<ReplayCounts, "failed" | "missed" | "delivered">;

/** Deliveries of each kind that a replay sends; the others are not found. */
export const KINDS_OF: Readonly<Record<ReplayKind, readonly DeliveryKind[]>> = {
  failed: ["failed"],
  missed: ["failed", "missed"],
  all: ["failed", "missed", "delivered"],
};

/** One message and its deliveries. */
export interface OpenMessage {
  found(kind: DeliveryKind): void;
  skipped(): void;
  sent(): void;
  /** All its deliveries have ended. */
  end(): void;
}

export interface Progress {
  readonly spans: Readonly<Record<Phase, ReplaySpan | null>>;
  begin(phase: Phase, sequence: number): OpenMessage;
  /** Everything up to the sequence was read, and what was wanted of it is begun. */
  read(phase: Phase, upTo: number): void;
  /** Members of the record: PROGRESS-1. */
  snapshot(): Pick<ReplayRecord, "events" | "dead_letters" | "counts">;
  /** Sent so far, by messages that have not ended, too. */
  sent(): number;
}

interface Entry {
  readonly phase: Phase;
  readonly next: number;
  readonly tally: ReplayCounts;
  hasEnded: boolean;
}

const nothing = (): ReplayCounts => ({ failed: 0, missed: 0, delivered: 0, sent: 0, skipped: 0 });

export function createProgress({ events, dead_letters, counts: initial }: ReplayRecord): Progress {
  const spans = { events: events && { ...events }, dead_letters: dead_letters && { ...dead_letters } };
  const counts = { ...initial };
  let open: Entry[] = [];

  const fold = (): void => {
    let ended = 0;
    for (const { phase, next, tally, hasEnded } of open) {
      if (!hasEnded) break;
      ended++;
      for (const name of Object.keys(counts) as Array<keyof ReplayCounts>) counts[name] += tally[name];
      const span = spans[phase];
      if (span !== null) span.next = next;
    }
    open = open.slice(ended);
  };

  const add = (phase: Phase, sequence: number, hasEnded: boolean): Entry => {
    const entry: Entry = { phase, next: sequence + 1, tally: nothing(), hasEnded };
    open.push(entry);
    return entry;
  };

  return {
    spans,
    begin(phase, sequence) {
      const entry = add(phase, sequence, false);
      const { tally } = entry;
      return {
        found: (kind) => void tally[kind]++,
        skipped: () => void tally.skipped++,
        sent: () => void tally.sent++,
        end() {
          entry.hasEnded = true;
          fold();
        },
      };
    },
    read(phase, upTo) {
      add(phase, upTo, true);
      fold();
    },
    snapshot: () => ({
      events: spans.events && { ...spans.events },
      dead_letters: spans.dead_letters && { ...spans.dead_letters },
      counts: { ...counts },
    }),
    sent: () => open.reduce((sum, { tally }) => sum + tally.sent, counts.sent),
  };
}

/** Replays all dead letters that match, as a replay does that nobody interrupts. */
import type { DeadLetterFilter } from "../../src/dead-letters/dead-letter-filter.ts";
import type { ReplayDeadLetters } from "../../src/dead-letters/replay.ts";

export interface Counts {
  readonly matched: number;
  readonly replayed: number;
  readonly skipped: number;
}

export async function replayAll(replay: Pick<ReplayDeadLetters, "all">, filter: DeadLetterFilter): Promise<Counts> {
  let counts: Counts = { matched: 0, replayed: 0, skipped: 0 };
  const from = { filter, dry_run: false, after: 0, last: Number.MAX_SAFE_INTEGER, ...counts };
  await replay.all(from, {
    isWanted: () => true,
    onProgress: async ({ matched, replayed, skipped }) => {
      counts = { matched, replayed, skipped };
    },
  });
  return counts;
}

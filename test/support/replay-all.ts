/** Replays the dead letters of unordered apps: all that match, as a replay does that nobody interrupts. */
import type { DeadLetterFilter } from "../../src/dead-letters/dead-letter-filter.ts";
import type { ReplayDeadLetters } from "../../src/dead-letters/replay.ts";
import { createStoreAgain, type StoreAgain, type StoreAgainDependencies } from "../../src/dead-letters/store-again.ts";
import { systemClock } from "../../src/model/clock.ts";

export interface Counts {
  readonly matched: number;
  readonly replayed: number;
  readonly skipped: number;
}

export function storeUnorderedAgain(streams: StoreAgainDependencies["streams"]): StoreAgain {
  const admission = { parked: () => ({ kind: "uninstalled" }) as const };
  return createStoreAgain({ streams, admission, keepsOrder: () => false, onParked() {}, clock: systemClock });
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

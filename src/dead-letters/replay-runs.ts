/** Replays in the background: their progress can be asked for on this replica, and by its notes on every other one. */
import { AppError, messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Replay, ReplayNotes } from "../model/replay.ts";
import type { DeadLetterFilter } from "./dead-letter-filter.ts";
import type { ReplayDeadLetters } from "./replay.ts";

export interface ReplayRuns {
  /** @returns the replay when it has ended, or as it is after `withinMs`. */
  start(filter: DeadLetterFilter, options: { readonly dryRun: boolean; readonly withinMs: number }): Promise<Replay>;
  /** @param onlyApp the app whose replays the caller may see; null: all. @throws AppError NOT_FOUND, REDIS_UNREACHABLE */
  get(id: string, onlyApp: string | null): Promise<Replay>;
}

export interface ReplayRunsDependencies {
  readonly replay: Pick<ReplayDeadLetters, "all">;
  readonly notes: ReplayNotes;
  readonly newId: () => string;
  readonly clock: Clock;
}

/** Finished and running replays that this replica remembers by itself. */
const MAX_REPLAYS = 100;
const NOTE_EVERY_MS = 1_000;

export function createReplayRuns({ replay, notes, newId, clock }: ReplayRunsDependencies): ReplayRuns {
  const runs = new Map<string, Replay>();

  const forgetOldest = (): void => {
    for (const id of runs.keys()) {
      if (runs.size <= MAX_REPLAYS) return;
      runs.delete(id);
    }
  };

  return {
    async start(filter, { dryRun, withinMs }) {
      let run: Replay = { id: newId(), app: filter.app, state: "running", matched: 0, replayed: 0, skipped: 0, error: null };
      const update = (changes: Partial<Replay>): void => {
        run = { ...run, ...changes };
        runs.set(run.id, run);
      };
      update({});
      forgetOldest();
      let cancelNote = (): void => {};
      const noteRepeatedly = (): void => {
        void notes.note(run);
        cancelNote = clock.after(NOTE_EVERY_MS, noteRepeatedly);
      };
      noteRepeatedly();
      const ended = replay
        .all(filter, { dryRun, onProgress: update })
        .then(
          (progress) => update({ ...progress, state: "done" }),
          (error: unknown) => update({ state: "failed", error: messageOf(error) }),
        )
        .then(() => {
          cancelNote();
          return notes.note(run);
        });
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = clock.after(withinMs, resolve);
      await Promise.race([ended, late]);
      cancel();
      return run;
    },

    async get(id, onlyApp) {
      const run = runs.get(id) ?? (await notes.find(id));
      if (run === null || (onlyApp !== null && run.app !== onlyApp)) throw new AppError("NOT_FOUND", `no replay ${id} in the last day`);
      return run;
    },
  };
}

/** Replays of dead letters by their filter, on any replica. The runner of all replays runs and resumes them. */
import { AppError } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { DeadLetterReplay } from "./dead-letter-replay-record.ts";
import { endOfReplay } from "./end-of-replay.ts";
import type { ReplayRun } from "./replay-runner.ts";
import type { ReplayStore } from "./replay-store.ts";
import type { ReplayViewer } from "./replays.ts";

export interface DeadLetterReplayRequest {
  readonly filter: Partial<DeadLetterReplay["filter"]> & Pick<DeadLetterReplay["filter"], "app">;
  /** The organization whose dead letters are meant; null: more than one. */
  readonly organizationId: string | null;
  /** Only counts. */
  readonly dryRun: boolean;
  readonly withinMs: number;
}

/** @throws AppError NATS_UNREACHABLE */
export interface DeadLetterReplays {
  /** Dead letters that were stored before the call are the replay's. @returns the replay when it has ended, or as it is after `withinMs`. */
  start(request: DeadLetterReplayRequest): Promise<DeadLetterReplay>;
  /** @throws AppError NOT_FOUND */
  get(id: string, viewer: ReplayViewer): Promise<DeadLetterReplay>;
}

export interface DeadLetterReplaysDependencies {
  readonly store: ReplayStore<DeadLetterReplay>;
  /** The sequence of the newest dead letter. */
  readonly lastSequence: () => Promise<number>;
  readonly newId: () => string;
  readonly clock: Clock;
}

export function createDeadLetterReplays({ store, lastSequence, newId, clock }: DeadLetterReplaysDependencies): DeadLetterReplays {
  return {
    async start({ filter, organizationId, dryRun, withinMs }) {
      const now = clock.now();
      const id = newId();
      const { app, installationUuid = null, eventType = null, start = null, end = null, ownOnly = false } = filter;
      await store.create({
        id,
        filter: { app, installationUuid, organizationId: filter.organizationId ?? null, eventType, start, end, ownOnly },
        ...{ organization_id: organizationId, dry_run: dryRun, state: "running", error: null, runner: null },
        ...{ created_at: now, updated_at: now, ended_at: null },
        ...{ after: 0, last: await lastSequence(), matched: 0, replayed: 0, skipped: 0 },
      });
      await endOfReplay(store, id, withinMs, clock);
      return store.read(id).then((found) => found ?? missing(id));
    },

    async get(id, viewer) {
      const found = await store.read(id);
      const { onlyApp, onlyOrganization } = viewer;
      const isOfApp = found !== null && (onlyApp === null || found.filter.app === onlyApp);
      return isOfApp && (onlyOrganization === null || found.organization_id === onlyOrganization) ? found : missing(id);
    },
  };
}

function missing(id: string): never {
  throw new AppError("NOT_FOUND", `no replay ${id} in the last day`);
}

/** Replays the dead letters behind `after` that match, as the dead-letters room does it. @throws AppError */
export type ReplayMatching = (
  from: DeadLetterReplay,
  options: { readonly isWanted: () => boolean; readonly onProgress: (progress: Partial<DeadLetterReplay>) => Promise<void> },
) => Promise<void>;

/** A replay that can't continue has failed; its dead letters are still stored. */
export function createRunDeadLetterReplay(replayMatching: ReplayMatching, clock: Clock) {
  return async ({ replay, isWanted, save }: ReplayRun<DeadLetterReplay>): Promise<void> => {
    try {
      await replayMatching(replay, { isWanted, onProgress: save });
    } catch (error) {
      if (!(error instanceof AppError) || !isWanted()) throw error;
      return save({ state: "failed", error: error.message, ended_at: clock.now() });
    }
    if (isWanted()) await save({ state: "done", ended_at: clock.now() });
  };
}

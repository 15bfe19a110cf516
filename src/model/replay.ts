/** Replays: those of /v1/replays (src/replays), and runs that replay dead letters by their filter. */

export const REPLAY_KINDS = ["failed", "missed", "all"] as const;

/** Which deliveries a replay sends: dead letters, those that were not delivered, or all. */
export type ReplayKind = (typeof REPLAY_KINDS)[number];

export const REPLAY_STATES = ["running", "paused", "done", "cancelled", "failed"] as const;

export type ReplayState = (typeof REPLAY_STATES)[number];

/** Names a replay, and the run of each delivery that it sends. */
export const REPLAY_ID = /^rpl_[0-9a-f]{32}$/;

/** @param run `replay` of a delivery */
export function isReplayId(run: string | null): run is string {
  return run !== null && REPLAY_ID.test(run);
}

/** A run that replays dead letters, and its progress. */
export interface ReplayProgress {
  readonly matched: number;
  readonly replayed: number;
  /** Dead letters that can't be replayed and stay: unreadable, cut to fit, or an event without recipients. */
  readonly skipped: number;
}

export interface Replay extends ReplayProgress {
  readonly id: string;
  /** Null: all apps. */
  readonly app: string | null;
  readonly state: "running" | "done" | "failed";
  /** Why it failed. */
  readonly error: string | null;
}

/** Shares the progress of replays between replicas. */
export interface ReplayNotes {
  /** Stores the progress for a day, if Redis is up. Never rejects. */
  note(replay: Replay): Promise<void>;
  /** The last stored progress. A replay without news for long counts as failed. @throws AppError REDIS_UNREACHABLE */
  find(id: string): Promise<Replay | null>;
}

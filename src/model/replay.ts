/** A replay of dead letters and its progress. */
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

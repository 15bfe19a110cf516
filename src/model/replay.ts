/** A replay of dead letters, and how far it is. */
export interface ReplayProgress {
  readonly matched: number;
  readonly replayed: number;
  /** What can't be replayed: what still can't be read, was cut to fit, or is an event that nobody wants now. It stays. */
  readonly skipped: number;
}

export interface Replay extends ReplayProgress {
  readonly id: string;
  /** Null: of all apps. */
  readonly app: string | null;
  readonly state: "running" | "done" | "failed";
  /** Why it failed. */
  readonly error: string | null;
}

/** Lets every replica tell how far the replays of the others are. */
export interface ReplayNotes {
  /** Kept for a day; a note that can't be written is left out. Never rejects. */
  note(replay: Replay): Promise<void>;
  /** As it was noted last; one that has gone on without a note for long is taken as failed. @throws AppError REDIS_UNREACHABLE */
  find(id: string): Promise<Replay | null>;
}

/** Replays: those of /v1/replays, and those of dead letters by their filter. */

export const REPLAY_KINDS = ["failed", "missed", "all"] as const;

/** Which deliveries a replay sends: dead letters, those that were not delivered, or all. */
export type ReplayKind = (typeof REPLAY_KINDS)[number];

export const REPLAY_STATES = ["running", "paused", "done", "cancelled", "failed"] as const;

export type ReplayState = (typeof REPLAY_STATES)[number];

/** Names a replay, and the run of each delivery that it sends. */
export const REPLAY_ID = /^rpl_[0-9a-f]{32}$/;

/** A delivery that is sent again by itself. @param at when that was asked for, or when it became a dead letter */
export function resendRun(at: number, id: string): string {
  return `resend-${at}-${id}`;
}

export function deadLetterRun(sequence: number, at: number): string {
  return `dead-letter-${sequence}-${at}`;
}

/** The dead letter whose run it is; null: it is another run's name. */
export function replayedSequence(run: string | null): number | null {
  const sequence = /^dead-letter-(\d+)-/.exec(run ?? "")?.[1];
  return sequence === undefined ? null : Number(sequence);
}

/** The run is done once its delivery was delivered by any run after this time; null: only its own delivery counts. */
export function sentAgainAt(run: string | null): number | null {
  const at = /^(?:dead-letter-\d+|resend)-(\d+)/.exec(run ?? "")?.[1];
  return at === undefined ? null : Number(at);
}

/** @param run `replay` of a delivery */
export function isReplayId(run: string | null): run is string {
  return run !== null && REPLAY_ID.test(run);
}

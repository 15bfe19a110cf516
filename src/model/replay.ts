/** Replays: those of /v1/replays, and those of dead letters by their filter. */

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

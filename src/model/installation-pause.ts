/** Whether the deliveries of an installation are paused, and why. Every part of Posthorn decides that here. */
import type { InstallationStatus } from "./app.ts";

/** The ways to handle deliveries for a broken installation (POSTHORN_BROKEN_ACTION). */
export const BROKEN_ACTIONS = ["park", "deliver"] as const;

export type BrokenAction = (typeof BROKEN_ACTIONS)[number];

export type PauseReason = Exclude<InstallationStatus, "active">;

/** @param status undefined: there is no such installation, or none is meant. @returns null when deliveries are not paused */
export function pauseReason(status: InstallationStatus | undefined, brokenAction: BrokenAction): PauseReason | null {
  if (status === "disabled") return status;
  return status === "broken" && brokenAction === "park" ? status : null;
}

/** The transitions of a throttle: pure functions from the shared record to a change, or null if the transition does not apply. */
import { type Throttle, throttleFor } from "../../model/throttle.ts";
import type { SharedThrottle, ThrottleChange } from "./ports.ts";

const UNANNOUNCED_MS = 10_000;
/** Throttles that are no longer have no status events. */
const LONGEST_UNANNOUNCED_MS = throttleFor(UNANNOUNCED_MS, UNANNOUNCED_MS);

/**
 * A receiver has asked for a pause. While one runs it becomes longer, never shorter. An announced one whose end is not announced
 * continues, so that the events of an app alternate.
 */
export function throttled(current: SharedThrottle | null, { since, until, responseCode }: Throttle): ThrottleChange | null {
  if (current !== null && current.until >= until) return null;
  const continues = current !== null && (current.isAnnounced || current.until > since);
  const next = { since: continues ? current.since : since, until, responseCode };
  const wasAnnounced = continues && current.isAnnounced;
  const isLong = next.until - next.since > LONGEST_UNANNOUNCED_MS;
  return { next: { ...next, isAnnounced: wasAnnounced || isLong }, announce: isLong && !wasAnnounced ? "throttled" : null };
}

/** The app has another receiver, which has asked for nothing. */
export function lifted(current: SharedThrottle | null, nowMs: number): ThrottleChange | null {
  if (current === null || current.until <= nowMs) return null;
  return { next: { ...current, until: nowMs, isAnnounced: false }, announce: current.isAnnounced ? "released" : null };
}

/** Only an announced throttle has an end to announce. */
export function released(current: SharedThrottle | null, nowMs: number): ThrottleChange | null {
  if (current === null || !current.isAnnounced || current.until > nowMs) return null;
  return { next: { ...current, isAnnounced: false }, announce: "released" };
}

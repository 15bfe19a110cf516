/** The time for which a receiver has asked an app's deliveries to wait, as all replicas share it. Milliseconds since the epoch. */
export interface Throttle {
  readonly since: number;
  /** Nothing of the app is attempted before. */
  readonly until: number;
  /** The status of the answer that asked for it: 429 or 503. */
  readonly responseCode: number;
}

/** A receiver that asks for less is not throttled for less. */
const SHORTEST_MS = 1_000;

/** Replicas may differ by this much in what time it is, on a busy machine too, and none may be early. */
const CLOCK_DIFFERENCE_MS = 250;

/** How long an app is throttled after an answer that asked for this pause. */
export function throttleFor(pauseMs: number, maxThrottleMs: number): number {
  return Math.min(Math.max(pauseMs, SHORTEST_MS), maxThrottleMs) + CLOCK_DIFFERENCE_MS;
}

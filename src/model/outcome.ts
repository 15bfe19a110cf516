/** The outcomes of an attempt (docs/design.md 3.5), what each says about the receiver, and what can follow from it. */

/** `sender_failed`: the attempt failed on Posthorn's side. */
export const OUTCOMES = ["delivered", "gone", "failed", "rejected", "timed_out", "unreachable", "sender_failed", "blocked"] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** The four counters of an installation's day. */
export type CountedAs = "success" | "error" | "timeout" | "fatal";

/** Null: a fault that every receiver would see, which says nothing about the integration. A blocked one has a URL that somebody has to change. */
export const COUNTED_AS: Readonly<Record<Outcome, CountedAs | null>> = {
  delivered: "success",
  gone: "fatal",
  failed: "error",
  rejected: "error",
  timed_out: "timeout",
  unreachable: "error",
  sender_failed: null,
  blocked: "error",
};

/** Whether Posthorn itself ended the attempt, which says nothing about the receiver. */
export function isOwnDoing(outcome: Outcome): boolean {
  return outcome === "sender_failed" || outcome === "blocked";
}

/**
 * The receiver as an attempt shows it. `up`: it handles deliveries, also when it refuses this one. `down`: it fails. `refusing`: it
 * answers, and refuses whatever it gets. `busy`: it asks for later, or for no more. `unknown`: the attempt says nothing about it.
 */
export type ReceiverState = "up" | "down" | "refusing" | "busy" | "unknown";

/** Whether the attempt is a failure for the app's circuit. */
export function failsCircuit(receiver: ReceiverState): boolean {
  return receiver === "down" || receiver === "refusing";
}

/**
 * Why an attempt is followed by another. Each kind has a schedule, and its attempts are counted on their own.
 * `failure`: the app's retry schedule. `refusal`: the endpoint is refused, not the delivery (POSTHORN_REJECTED_RETRY_SCHEDULE).
 * `own_fault`: nobody is bothered by the retry.
 */
export type RetryKind = "failure" | "refusal" | "own_fault";

export type NextStep =
  | { readonly kind: "done" }
  | { readonly kind: "retry"; readonly because: RetryKind }
  /** It waits with its app, which the receiver has asked to pause, and uses up no schedule. */
  | { readonly kind: "pause"; readonly pauseMs: number }
  | { readonly kind: "dead-letter"; readonly reason: "gone" | "rejected" | "blocked" };

/** One line per attempt, carried along in stream messages and kept in dead letters. */
export interface AttemptSummary {
  readonly attempt: number;
  /** RFC 3339. */
  readonly at: string;
  readonly outcome: Outcome;
  /** 0: no response. */
  readonly responseCode: number;
  readonly durationMs: number;
  readonly error: string | null;
}

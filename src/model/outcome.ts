/** The outcomes of an attempt (docs/design.md 3.5), and what follows from each. */

export const OUTCOMES = ["delivered", "gone", "failed", "rejected", "timed_out", "unreachable", "blocked"] as const;

export type Outcome = (typeof OUTCOMES)[number];

/** The four counters of an installation's day. */
export type CountedAs = "success" | "error" | "timeout" | "fatal";

interface OutcomeRule {
  readonly countedAs: CountedAs;
  readonly next: "done" | "retry" | "dead-letter";
}

export const OUTCOME_RULES: Readonly<Record<Outcome, OutcomeRule>> = {
  delivered: { countedAs: "success", next: "done" },
  gone: { countedAs: "fatal", next: "dead-letter" },
  failed: { countedAs: "error", next: "retry" },
  rejected: { countedAs: "error", next: "dead-letter" },
  timed_out: { countedAs: "timeout", next: "retry" },
  unreachable: { countedAs: "error", next: "retry" },
  blocked: { countedAs: "error", next: "dead-letter" },
};

/** Status codes other than 5xx that are retried. */
const RETRIED_CODES: ReadonlySet<number> = new Set([408, 425, 429]);

/** The outcome of an attempt with a complete response. */
export function outcomeOfStatus(status: number): Outcome {
  if (status >= 200 && status < 300) return "delivered";
  if (status === 410) return "gone";
  if (status >= 500 || RETRIED_CODES.has(status)) return "failed";
  return "rejected";
}

/** Whether the attempt counts as a failure for the app's circuit: only if the receiver seems to be down. */
export function failsCircuit(outcome: Outcome, responseCode: number): boolean {
  return outcome === "timed_out" || outcome === "unreachable" || (outcome === "failed" && responseCode >= 500);
}

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

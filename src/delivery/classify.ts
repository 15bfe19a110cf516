/** What came back of a POST → outcome (DESIGN 3.5). */
import { type Outcome, outcomeOfStatus } from "../model/outcome.ts";
import { parseRetryAfter } from "./retry-after.ts";
import type { SendResult } from "./sender.ts";

export interface Classified {
  readonly outcome: Outcome;
  /** 0: no complete answer. */
  readonly responseCode: number;
  readonly error: string | null;
  readonly retryAfterMs: number | null;
}

export function classify(result: SendResult, nowMs: number): Classified {
  if (result.kind !== "answered") {
    return { outcome: result.kind, responseCode: 0, error: result.error, retryAfterMs: null };
  }
  const outcome = outcomeOfStatus(result.status);
  return {
    outcome,
    responseCode: result.status,
    error: outcome === "delivered" ? null : `answered with status ${result.status}`,
    retryAfterMs: outcome === "failed" ? parseRetryAfter(headerOf(result.headers, "retry-after"), nowMs) : null,
  };
}

/** A response header's value by lower-case name; the first of several. */
export function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

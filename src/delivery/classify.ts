/** The result of a POST → outcome (docs/design.md 3.5). */
import { type Outcome, outcomeOfStatus } from "../model/outcome.ts";
import type { SendResult } from "./http/exchange.ts";
import { parseRetryAfter } from "./retry-after.ts";

export interface Classified {
  readonly outcome: Outcome;
  /** 0: no complete response. */
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
    error: outcome === "delivered" ? null : `answered with status ${result.status}${redirectOf(result)}`,
    retryAfterMs: outcome === "failed" ? parseRetryAfter(headerOf(result.headers, "retry-after"), nowMs) : null,
  };
}

const MAX_LOCATION_CHARACTERS = 200;

/** The target of a redirect, without the parts of a URL that often are secret. */
function redirectOf({ status, headers }: Extract<SendResult, { kind: "answered" }>): string {
  const location = status >= 300 && status < 400 ? headerOf(headers, "location") : undefined;
  if (location === undefined || location === "") return "";
  const shown = location
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")
    .replace(/([?#]).*$/s, "$1[redacted]")
    .replace(/^([a-z][a-z0-9+.-]*:)?\/\/[^/]*@/i, "$1//[redacted]@");
  return `, a redirect to ${shown.length > MAX_LOCATION_CHARACTERS ? `${shown.slice(0, MAX_LOCATION_CHARACTERS)}…` : shown}, which is not followed`;
}

/** A response header's value by lower-case name; of several values the first. */
export function headerOf(headers: Readonly<Record<string, string | string[] | undefined>>, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

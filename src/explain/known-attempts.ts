/** The attempts of a delivery that are still known. */
import type { AttemptSummary } from "../model/outcome.ts";
import type { LogRow } from "../storage/log-row.ts";
import type { ExplainedAttempt } from "./answer-schemas.ts";

/**
 * Oldest first. A row of the request log wins over the summary of the same attempt.
 * @param summaries attempts as stream messages carry them, which outlive the rows
 */
export function knownAttempts(rows: readonly LogRow[], summaries: readonly AttemptSummary[]): ExplainedAttempt[] {
  const attempts = new Map<string, ExplainedAttempt>();
  for (const { attempt, at, outcome, responseCode, durationMs, error } of summaries) {
    const unknown = { response_body: null, webhook_url: null, trace_id: null };
    attempts.set(`${attempt} ${at}`, { attempt, at, outcome, response_code: responseCode, duration_ms: durationMs, error, ...unknown });
  }
  for (const { attempt, date, outcome, response_code, duration_ms, error = null, response_body = null, webhook_url, trace_id } of rows) {
    attempts.set(`${attempt} ${date}`, {
      ...{ attempt, at: date, outcome, response_code, duration_ms, error, response_body, webhook_url, trace_id },
    });
  }
  return [...attempts.values()].sort((a, b) => (a.at < b.at ? -1 : 1));
}

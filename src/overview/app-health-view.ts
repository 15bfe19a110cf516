/** The health of each app now: whether it fails, and its attempts of the last 15 minutes. */
import { toRfc3339 } from "../model/clock.ts";
import { type RecentAttempts, totalsOf } from "../model/recent-attempts.ts";

export interface AppHealthView {
  readonly state: "healthy" | "failing";
  /** RFC 3339: when it began to fail; null while it is healthy. */
  readonly since: string | null;
  /** Null, as all below: Redis does not answer. */
  readonly attempts: number | null;
  readonly failures: number | null;
  readonly by_code: Readonly<Record<string, number>> | null;
  /** Attempts that count for nothing. */
  readonly blocked: number | null;
  readonly sender_failed: number | null;
  /** RFC 3339; also null when no success is known. */
  readonly last_success_at: string | null;
}

/** @param since when the app began to fail; null: it is healthy. @param recent null: unknown */
export function appHealthView(since: number | null, recent: RecentAttempts | null): AppHealthView {
  const shared = { state: since === null ? "healthy" : "failing", since: timeOf(since) } as const;
  if (recent === null)
    return { ...shared, attempts: null, failures: null, by_code: null, blocked: null, sender_failed: null, last_success_at: null };
  const { attempts, failures, failuresByCode, blocked, senderFailed } = totalsOf(recent);
  const last_success_at = timeOf(recent.lastSuccessAt);
  return {
    ...shared,
    attempts,
    failures,
    by_code: Object.fromEntries(failuresByCode),
    blocked,
    sender_failed: senderFailed,
    last_success_at,
  };
}

function timeOf(epochMs: number | null): string | null {
  return epochMs === null ? null : toRfc3339(epochMs);
}

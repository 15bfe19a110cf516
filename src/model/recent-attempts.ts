/** An app's attempts of the last 15 minutes. */

export interface RecentMinute {
  /** Milliseconds since the epoch, as all times here. */
  readonly start: number;
  readonly delivered: number;
  /** Response code (0: no response) → attempts that were not delivered. */
  readonly failures: ReadonlyMap<number, number>;
  readonly firstFailureAt: number | null;
  /** Attempts that failed for a reason on Posthorn's side, which count for nothing: those that the address guard blocked, and others. */
  readonly blocked?: number;
  readonly senderFailed?: number;
}

export interface RecentAttempts {
  /** Oldest first. */
  readonly minutes: readonly RecentMinute[];
  /** Null: none within 31 days. */
  readonly lastSuccessAt: number | null;
}

export interface RecentTotals {
  readonly attempts: number;
  readonly failures: number;
  readonly blocked: number;
  readonly senderFailed: number;
  readonly failuresByCode: ReadonlyMap<number, number>;
}

export function totalsOf({ minutes }: RecentAttempts): RecentTotals {
  const failuresByCode = new Map<number, number>();
  let delivered = 0;
  let [blocked, senderFailed] = [0, 0];
  for (const minute of minutes) {
    delivered += minute.delivered;
    blocked += minute.blocked ?? 0;
    senderFailed += minute.senderFailed ?? 0;
    for (const [code, failures] of minute.failures) failuresByCode.set(code, (failuresByCode.get(code) ?? 0) + failures);
  }
  const failures = sum(failuresByCode.values());
  return { attempts: delivered + failures, failures, failuresByCode, blocked, senderFailed };
}

/** When the failures began: from here on, failures outweigh successes the most. Null without failures. */
export function failingSince({ minutes, lastSuccessAt }: RecentAttempts): number | null {
  let since: RecentMinute | null = null;
  let surplus = 0;
  let highest = 0;
  let deliveredLater = 0;
  let deliveredAfterSince = 0;
  for (const minute of minutes.toReversed()) {
    surplus += sum(minute.failures.values()) - minute.delivered;
    if (surplus > highest) {
      highest = surplus;
      since = minute;
      deliveredAfterSince = deliveredLater;
    }
    deliveredLater += minute.delivered;
  }
  if (since === null) return null;
  const first = since.firstFailureAt ?? since.start;
  // The minute may begin with successes.
  const isLastSuccessWithin = lastSuccessAt !== null && lastSuccessAt >= first && deliveredAfterSince === 0;
  return isLastSuccessWithin ? lastSuccessAt : first;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

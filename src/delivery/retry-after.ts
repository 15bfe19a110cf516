/** Reads a Retry-After header (RFC 9110 section 10.2.3): seconds or an HTTP date. */

const LONGEST_MS = 24 * 3_600_000;

/** Seconds. RFC 9110 allows whole ones only; receivers also send decimals, and negative numbers for a time that has passed. */
const NUMBER = /^[+-]?\d+(\.\d*)?$|^[+-]?\.\d+$/;

/** IMF-fixdate, RFC 850 and asctime all begin with a day's name; anything else is not an HTTP date. */
const HTTP_DATE = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/;

/**
 * Milliseconds from `nowMs`, 0 to 24 h, a number rounded up to whole seconds; null when the header says nothing usable. If there are several
 * headers (a proxy may add one), the longest delay counts, so that no attempt comes before any of them.
 */
export function parseRetryAfter(value: string | readonly string[] | undefined, nowMs: number): number | null {
  const delays = [value ?? []].flat().flatMap((text) => delayIn(text.trim(), nowMs) ?? []);
  return delays.length === 0 ? null : Math.max(...delays);
}

function delayIn(text: string, nowMs: number): number | null {
  if (NUMBER.test(text)) return within(Math.ceil(Number(text)) * 1000);
  if (!HTTP_DATE.test(text)) return null;
  // An asctime date has no zone and means UTC as well.
  const epochMs = Date.parse(/GMT|UTC|[+-]\d{4}$/.test(text) ? text : `${text} GMT`);
  return Number.isNaN(epochMs) ? null : within(epochMs - nowMs);
}

function within(delayMs: number): number {
  return Math.min(Math.max(0, delayMs), LONGEST_MS);
}

/** Choices of how far back to look. */

const MINUTE_MS = 60_000;

const SPANS_MS: ReadonlyMap<string, number> = new Map([
  ["15m", 15 * MINUTE_MS],
  ["1h", 60 * MINUTE_MS],
  ["24h", 24 * 60 * MINUTE_MS],
  ["7d", 7 * 24 * 60 * MINUTE_MS],
]);

export const SINCE_OPTIONS = [
  { value: "", text: "Any time" },
  { value: "15m", text: "Last 15 minutes" },
  { value: "1h", text: "Last hour" },
  { value: "24h", text: "Last 24 hours" },
  { value: "7d", text: "Last 7 days" },
] as const;

/** RFC 3339, or null for any time. */
export function sinceStart(since: string): string | null {
  const spanMs = SPANS_MS.get(since);
  return spanMs === undefined ? null : new Date(Date.now() - spanMs).toISOString();
}

/** A delivery's way as one list: its event, the attempts, the waits between them, and what comes next. Pure. */
import { toRfc3339 } from "../model/clock.ts";
import type { StoredEvent } from "../model/delivery-location.ts";
import type { ExplainedDelivery, TimelineEntry } from "./answer-schemas.ts";

type Described = Omit<ExplainedDelivery, "timeline">;

/** In order of time. The event comes first, although its time is by the server's clock, and those of attempts may be by another. */
export function timelineOf(delivery: Described, stored: StoredEvent | null): TimelineEntry[] {
  const entries = [
    ...delivery.attempts.map(({ at, attempt, outcome, error, response_code: code }) =>
      entry(at, "attempt", `attempt ${attempt}: ${outcome}, ${error ?? `answered with status ${code}`}`),
    ),
    ...delivery.skipped.map(({ at, detail }) => entry(at, "skipped", detail)),
    ...waitOf(delivery),
    ...endOf(delivery),
  ].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  if (stored === null) return entries;
  return [entry(toRfc3339(stored.storedAt), "event", `the event was stored in ${stored.stream} as ${stored.sequence}`), ...entries];
}

function entry(at: string, kind: TimelineEntry["kind"], detail: string): TimelineEntry {
  return { at, kind, detail };
}

function waitOf({ state, detail, retry, parked, next_attempt_at: next, dead_letter: deadLetter }: Described): TimelineEntry[] {
  if (deadLetter !== null) return [];
  const due = next === null || state === "pending" ? [] : [entry(next, "due", "the next attempt is due")];
  if (retry !== null) return [entry(retry.stored_at, "waiting", `waits for a retry: ${detail}`), ...due];
  if (parked === null) return due;
  const expires = entry(parked.expires_at, "expires", "goes to dead letters if it is still parked");
  // It can expire only once its key continues.
  return [entry(parked.since, "waiting", detail), ...due, ...(parked.because === "stopped" ? [] : [expires])];
}

function endOf({ state, attempts, delivered_at: deliveredAt, dead_letter: deadLetter, detail }: Described): TimelineEntry[] {
  if (deadLetter !== null) return [entry(deadLetter.at, "dead_letter", detail)];
  const isListed = attempts.some(({ outcome }) => outcome === "delivered");
  return state === "delivered" && deliveredAt !== null && !isListed ? [entry(deliveredAt, "delivered", detail)] : [];
}

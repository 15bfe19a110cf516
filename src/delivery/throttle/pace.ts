/**
 * How fast an app's receiver takes deliveries, as one replica learns it from the answers: its concurrency, and its rate where less than
 * one attempt at a time is still too much. Each replica learns for itself: flows that share a bottleneck and slow down like this come to
 * equal shares of it without exchanging anything (ADR 23).
 *
 * PACE-1  A refusal (429) halves the concurrency, once for all attempts that were in flight. It grows by one for each window of
 *         successes. After a pause that the receiver asked for, it begins with one and doubles up to half of what it was.
 * PACE-2  A receiver that refuses one attempt at a time, or asks for another pause soon after the last, limits the rate. The rate that it
 *         took is the plateau: the app continues below it, approaches it, stays near it, and then leaves it faster and faster (CUBIC,
 *         RFC 9438, on a rate). A receiver that limits no more is soon at its full rate, and one that does refuses about one attempt in
 *         several hundred.
 * PACE-3  Nothing is left of a refusal after FORGOTTEN_MS.
 */

export interface Refusal {
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Pause that the receiver asked for; null: none. */
  readonly pauseMs: number | null;
}

export interface Pace {
  accepted(nowMs: number): void;
  refused(refusal: Refusal, maxInFlight: number): void;
  /** A pause that the receiver asked for is over. */
  released(nowMs: number, maxInFlight: number): void;
  /** Concurrent attempts; Infinity: no limit but the app's own is known. */
  limit(nowMs: number): number;
  /** Attempts a second; Infinity: no limit is known. */
  rate(nowMs: number): number;
}

/** `probing`: how much the receiver takes is not known. `known`: it took about `plateau`, up to `cutAt`. */
type Rate =
  | { readonly kind: "unlimited" }
  | { readonly kind: "probing"; readonly perS: number }
  | { readonly kind: "known"; readonly plateau: number; readonly cutAt: number };

/** Successes of a window, for each concurrent attempt: about one attempt in so many is refused at a limit of the concurrency. */
const WINDOW = 10;
/** After a refusal the rate is at 1 - DROP of the plateau, and at the plateau again after PLATEAU_MS. */
const DROP = 0.3;
const PLATEAU_MS = 20_000;
const SLOWEST_PER_S = 0.1;
const FIRST_PROBE_PER_S = 0.5;
/** A rate that doubled up to here is no limit. */
const FASTEST_PROBE_PER_S = 500;
/** A new rate is on trial for so many attempts, and at least for this time. */
const TRIAL_ATTEMPTS = 2;
const SHORTEST_TRIAL_MS = 200;
/** Another pause that is asked for within this time, or twice the pause, is a limit of the rate. */
const SOON_MS = 10_000;
const FORGOTTEN_MS = 5 * 60_000;

export function createPace(): Pace {
  const goodput = createGoodput();
  let limit = Number.POSITIVE_INFINITY;
  /** The limit doubles up to here. */
  let slowStartTo = 0;
  let most = 0;
  let successes = 0;
  let rate: Rate = { kind: "unlimited" };
  /** Attempts that started before say nothing new. */
  let changedAt = Number.NEGATIVE_INFINITY;
  /** Refusals before come of attempts that had their turn at an earlier rate. */
  let rateShownAt = Number.NEGATIVE_INFINITY;
  /** The last pause ended then. */
  let releasedAt = Number.NEGATIVE_INFINITY;
  let acceptedSinceRelease = 0;

  const forgetOld = (nowMs: number): void => {
    if (limit === Number.POSITIVE_INFINITY || nowMs - changedAt < FORGOTTEN_MS) return;
    limit = Number.POSITIVE_INFINITY;
    rate = { kind: "unlimited" };
  };

  const rateAt = (nowMs: number): number => {
    if (rate.kind === "unlimited") return Number.POSITIVE_INFINITY;
    if (rate.kind === "probing") return rate.perS;
    const { plateau, cutAt } = rate;
    return plateau * (1 + DROP * ((nowMs - cutAt) / PLATEAU_MS - 1) ** 3);
  };

  /** Attempts a second that the receiver took before this refusal; null: the refusal shows no limit of the rate. */
  const takenBefore = ({ endedAt, pauseMs }: Refusal): number | null => {
    if (pauseMs === null) return limit <= 1 || rate.kind !== "unlimited" ? goodput.perS(endedAt) : null;
    const sinceReleaseMs = endedAt - releasedAt;
    if (sinceReleaseMs < Math.max(SOON_MS, 2 * pauseMs)) return acceptedSinceRelease / (Math.max(1_000, sinceReleaseMs + pauseMs) / 1_000);
    return rate.kind === "unlimited" ? null : goodput.perS(endedAt);
  };

  return {
    accepted(nowMs) {
      goodput.add(nowMs);
      if (limit === Number.POSITIVE_INFINITY) return;
      acceptedSinceRelease++;
      if (rate.kind === "probing")
        rate = rate.perS * 2 > FASTEST_PROBE_PER_S ? { kind: "unlimited" } : { kind: "probing", perS: rate.perS * 2 };
      if (limit >= most) return;
      successes++;
      if (limit >= slowStartTo && successes < limit * WINDOW) return;
      limit++;
      successes = 0;
    },

    refused(refusal, maxInFlight) {
      if (refusal.startedAt < changedAt) return;
      forgetOld(refusal.endedAt);
      const taken = refusal.endedAt < rateShownAt ? null : takenBefore(refusal);
      if (taken !== null) {
        const before = rateAt(refusal.endedAt);
        rate =
          taken < SLOWEST_PER_S
            ? { kind: "probing", perS: Math.max(SLOWEST_PER_S, Math.min(FIRST_PROBE_PER_S, before * (1 - DROP))) }
            : { kind: "known", plateau: Math.min(before, taken), cutAt: refusal.endedAt };
      }
      if (taken !== null) rateShownAt = refusal.endedAt + Math.max(SHORTEST_TRIAL_MS, (TRIAL_ATTEMPTS * 1_000) / rateAt(refusal.endedAt));
      most = maxInFlight;
      limit = Math.max(1, Math.floor(Math.min(limit, maxInFlight) / 2));
      slowStartTo = limit;
      successes = 0;
      changedAt = refusal.endedAt;
    },

    released(nowMs, maxInFlight) {
      // Another replica may have been asked.
      if (limit === Number.POSITIVE_INFINITY) slowStartTo = Math.max(1, Math.floor(maxInFlight / 2));
      most = maxInFlight;
      limit = 1;
      successes = 0;
      if (rate.kind === "known") rate = { ...rate, cutAt: nowMs };
      changedAt = nowMs;
      releasedAt = nowMs;
      acceptedSinceRelease = 0;
    },

    limit(nowMs) {
      forgetOld(nowMs);
      return limit >= most ? Number.POSITIVE_INFINITY : limit;
    },
    rate(nowMs) {
      forgetOld(nowMs);
      return rateAt(nowMs);
    },
  };
}

/** Successes of the last second, from those of this second and the one before. */
function createGoodput() {
  let second = 0;
  let count = 0;
  let before = 0;

  const moveTo = (nowMs: number): void => {
    const now = Math.floor(nowMs / 1_000);
    if (now === second) return;
    before = now === second + 1 ? count : 0;
    count = 0;
    second = now;
  };

  return {
    add(nowMs: number): void {
      moveTo(nowMs);
      count++;
    },
    perS(nowMs: number): number {
      moveTo(nowMs);
      return count + before * (1 - (nowMs % 1_000) / 1_000);
    },
  };
}

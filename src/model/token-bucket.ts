/**
 * The token bucket of a rate limit, as a time: the bucket is full again at `fullAt`. A token moves that time on by `intervalMs`, and is
 * there as long as it is less than `toleranceMs` away (the generic cell rate algorithm).
 */
import type { RateLimit } from "./app.ts";

export interface TokenBucket {
  readonly intervalMs: number;
  readonly toleranceMs: number;
}

export interface Tokens {
  readonly granted: number;
  /** Until the next token. */
  readonly waitMs: number;
}

/**
 * Attempts take different times to arrive, and a receiver with the same bucket must not find one too many: the bucket is smaller by the
 * attempts of this time, at most by half, and slower by this share.
 */
const JITTER_MS = 100;
const SLOWER = 0.99;

/** @param replicas the limit is divided among so many */
export function tokenBucket({ perS, burst }: RateLimit, replicas = 1): TokenBucket {
  const intervalMs = (1_000 * replicas) / (perS * SLOWER);
  const own = Math.max(1, Math.floor(burst / replicas));
  const margin = Math.min(Math.floor(own / 2), Math.ceil(JITTER_MS / intervalMs));
  return { intervalMs, toleranceMs: (own - margin - 1) * intervalMs };
}

/** Share of a token that is lost in arithmetic. */
const ROUNDING = 1e-3;

export function takeTokens(
  { intervalMs, toleranceMs }: TokenBucket,
  fullAt: number,
  { nowMs, count }: { readonly nowMs: number; readonly count: number },
): Tokens & { readonly fullAt: number } {
  // After a change of the limit the time may be further away than any of this bucket.
  const from = Math.min(Math.max(fullAt, nowMs), nowMs + toleranceMs + intervalMs);
  const granted = Math.min(count, Math.max(0, Math.floor((nowMs + toleranceMs - from) / intervalMs + ROUNDING) + 1));
  const next = from + granted * intervalMs;
  return { granted, fullAt: next, waitMs: Math.max(0, next - toleranceMs - nowMs) };
}

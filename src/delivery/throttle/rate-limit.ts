/**
 * The tokens of an app's rate limit, over all replicas.
 *
 * RATE-1  Tokens come from the store, which all replicas share. A lease is for attempts that wait now, so that none is used late.
 * RATE-2  While the store doesn't answer, each replica takes its share of the limit and begins without a burst. Some replicas may still
 *         reach the store: together they stay below twice the limit. No attempt waits for the store to come back.
 */
import type { RateLimit } from "../../model/app.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock, Random } from "../../model/clock.ts";
import type { Logger } from "../../model/logger.ts";
import { type Tokens, takeTokens, tokenBucket } from "../../model/token-bucket.ts";
import { resolvesWithin } from "../../model/within.ts";
import type { LeaseTokens } from "../ports.ts";

/** Never rejects. */
export type TakeTokens = (app: string, limit: RateLimit, count: number) => Promise<Tokens>;

export interface RateLimitDependencies {
  readonly lease: LeaseTokens;
  /** Replicas that are alive, this one included. */
  readonly replicas: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const LEASE_WITHIN_MS = 250;
/**
 * An empty bucket is asked again after about this time, when it has several tokens, if it can hold those of so long. Half more or less, or one
 * of two replicas would always ask right after the other, and get little.
 */
const GATHER_MS = 100;
const LEASE_AGAIN_MS = 1_000;

export function createTakeTokens({ lease, replicas, clock, random, logger }: RateLimitDependencies): TakeTokens {
  /** No lease is asked for before. */
  let leaseAt = 0;
  /** App → when its share's bucket is full again. */
  const shares = new Map<string, number>();

  const takeShare = (app: string, limit: RateLimit, count: number): Tokens => {
    const bucket = tokenBucket(limit, replicas());
    const nowMs = clock.now();
    const { fullAt, ...tokens } = takeTokens(bucket, shares.get(app) ?? nowMs + bucket.toleranceMs + bucket.intervalMs, { nowMs, count });
    shares.set(app, fullAt);
    return tokens;
  };

  return async (app, limit, count) => {
    if (clock.now() < leaseAt) return takeShare(app, limit, count);
    const bucket = tokenBucket(limit);
    let tokens: Tokens | null = null;
    let problem = `no answer within ${LEASE_WITHIN_MS} ms`;
    const leased = lease(app, bucket, count).then(
      ({ granted, waitMs }) => {
        tokens = {
          granted,
          waitMs: granted < count ? Math.max(waitMs, Math.min(GATHER_MS * (0.5 + random()), bucket.toleranceMs)) : waitMs,
        };
      },
      (error: unknown) => {
        problem = messageOf(error);
      },
    );
    await resolvesWithin(clock, LEASE_WITHIN_MS, leased);
    if (tokens === null) {
      if (shares.size === 0) logger.warn({ error: problem }, "rate limits are divided among the replicas: Redis has no tokens");
      leaseAt = clock.now() + LEASE_AGAIN_MS;
      return takeShare(app, limit, count);
    }
    shares.clear();
    return tokens;
  };
}

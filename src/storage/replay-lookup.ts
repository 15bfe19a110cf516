/** Redis as a replay needs it: what is known of the deliveries that it may send, and how those that it has sent ended. */
import type { Delivery } from "../model/delivery.ts";
import type { StreamLocation } from "../model/delivery-location.ts";
import { createDedupReader } from "./dedup-reader.ts";
import { decodeLocation, isSameEvent, type Lifetimes, storeKeyOf } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { countIn, type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

/** The state of a delivery whose run is a replay, as far as Redis knows. */
export interface KnownDelivery {
  /** Delivered in any run. */
  readonly isDelivered: boolean;
  /** The replay has sent it: it is delivered, or stored in a stream. An attempt alone is not enough. */
  readonly isSent: boolean;
  /** The replay has sent another message of the same event. */
  readonly isSentForAnother: boolean;
  /** Where it was stored last, in any run. */
  readonly location: StreamLocation | null;
}

export interface ReplayOutcome {
  readonly done: number;
  readonly failed: number;
}

/** @throws AppError REDIS_UNREACHABLE */
export interface ReplayLookup {
  /** @returns one for each delivery, in order */
  find(deliveries: readonly Delivery[]): Promise<KnownDelivery[]>;
  outcomeOf(app: string, replayId: string): Promise<ReplayOutcome>;
}

const KEYS_PER_DELIVERY = 2;
const WHAT = "what a replay has sent";

export interface ReplayLookupDependencies {
  readonly redis: RedisClient;
  readonly now: () => number;
  readonly problem?: RedisProblem;
}

export function createReplayLookup(
  { redis, now, problem = () => null }: ReplayLookupDependencies,
  lifetimes: Pick<Lifetimes, "dedupTtlMs">,
): ReplayLookup {
  const readRecords = createDedupReader(redis, lifetimes, now);
  const get = (wanted: readonly string[]): Promise<Array<string | null>> =>
    reading(WHAT, problem, async () =>
      redis.isCluster ? await Promise.all(wanted.map((key) => unlessWrongType(redis.get(key), null))) : await redis.mget(...wanted),
    );

  return {
    async find(deliveries) {
      if (deliveries.length === 0) return [];
      const sought = deliveries.map(({ app, id: deliveryId, replay }) => ({ app, deliveryId, replay }));
      const [values, firsts, runs] = await Promise.all([
        get(deliveries.flatMap((delivery) => [keys.stores(delivery.app, storeKeyOf(delivery)), keys.location(delivery.id)])),
        reading(WHAT, problem, () => readRecords(sought.map((one) => ({ ...one, replay: null })))),
        reading(WHAT, problem, () => readRecords(sought)),
      ]);
      return deliveries.map((delivery, at) => {
        const [stores, location] = values.slice(at * KEYS_PER_DELIVERY, (at + 1) * KEYS_PER_DELIVERY);
        const known = firsts[at] ?? null;
        const run = runs[at] ?? null;
        return {
          isDelivered: known?.delivered === true && isSameEvent(delivery, known.last?.endedAt),
          isSent: stores != null || (run?.delivered === true && run.eventSequence === delivery.eventSequence),
          isSentForAnother: run !== null && run.eventSequence !== delivery.eventSequence,
          location: location == null ? null : (decodeLocation(location)?.location ?? null),
        };
      });
    },

    outcomeOf: (app, replayId) =>
      reading(WHAT, problem, async () => {
        const [[done], failed] = await Promise.all([
          unlessWrongType(redis.hmget(keys.replayDone(app, replayId), "done"), []),
          unlessWrongType(redis.hlen(keys.replayFailed(app, replayId)), 0),
        ]);
        return { done: countIn(done), failed };
      }),
  };
}

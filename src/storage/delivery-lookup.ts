/** Finds events and deliveries by their ids, from the dedup records and notes that request-log.ts writes. */
import type { DeliveryHistory, NotedAddressee, NotedSkip, RunHistory } from "../model/delivery-location.ts";
import { type DedupRecord, decodeAddressee, decodeDedupRecord, decodeLocation, decodeSkip, type NotedLocation } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

/** @throws AppError REDIS_UNREACHABLE */
export interface DeliveryLookup {
  /** The first 1,000 deliveries of all events with this id that were attempted or stored in the last 8 days. */
  ofEvent(eventId: string): Promise<NotedAddressee[]>;
  /**
   * @param apps the app of each id; if absent, the app of the delivery's location, or else every app that exists or existed
   * @returns one history per id, in order; null if nothing is known of the delivery
   */
  find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryHistory | null>>;
}

/** @param knownApps slugs of all apps that exist or existed */
export function createDeliveryLookup(
  redis: RedisClient,
  knownApps: () => Iterable<string>,
  problem: RedisProblem = () => null,
): DeliveryLookup {
  const get = async (wanted: readonly string[]): Promise<Array<string | null>> => {
    if (wanted.length === 0) return [];
    return reading("where deliveries are", problem, async () =>
      redis.isCluster ? await Promise.all(wanted.map((key) => unlessWrongType(redis.get(key), null))) : await redis.mget(...wanted),
    );
  };

  const skipsOf = async (id: string): Promise<NotedSkip[]> => {
    const found = Object.entries(
      await reading("where deliveries are", problem, () => unlessWrongType(redis.hgetall(keys.skipped(id)), {})),
    );
    return found.flatMap(([field, value]) => decodeSkip(field, value) ?? []).sort((a, b) => a.eventSequence - b.eventSequence);
  };

  return {
    ofEvent: (eventId) =>
      reading("where deliveries are", problem, async () =>
        Object.entries(await unlessWrongType(redis.hgetall(keys.addressees(eventId)), {})).flatMap(
          ([field, value]) => decodeAddressee(field, value) ?? [],
        ),
      ),

    async find(deliveryIds, apps) {
      const locations = await get(deliveryIds.map(keys.location));
      const sought = deliveryIds.map((id, at) => {
        const value = locations[at];
        const noted = value == null ? null : decodeLocation(value);
        const app = apps?.[at] ?? noted?.app;
        const slugs = app === undefined ? [...knownApps()] : [app];
        return { noted, first: slugs.map((slug) => keys.delivery(slug, id)), again: again(id, noted) };
      });
      const wanted = sought.flatMap((one) => [...one.first, ...one.again]);
      const [values, skips] = await Promise.all([get(wanted), Promise.all(deliveryIds.map(skipsOf))]);
      const found = new Map(wanted.map((key, at) => [key, values[at]]));
      const recordAt = (all: readonly string[]): DedupRecord | null => {
        const value = all.map((key) => found.get(key)).find((text) => text != null);
        return value == null ? null : decodeDedupRecord(value);
      };
      return sought.map((one, at) => historyOf(one.noted, recordAt(one.first), recordAt(one.again), skips[at] ?? []));
    },
  };
}

function again(id: string, noted: NotedLocation | null): string[] {
  return noted === null || noted.replay === null ? [] : [keys.delivery(noted.app, `${id}:${noted.replay}`)];
}

function historyOf(
  noted: NotedLocation | null,
  first: DedupRecord | null,
  later: DedupRecord | null,
  skips: readonly NotedSkip[],
): DeliveryHistory | null {
  const known = first ?? noted;
  if (known === null) return null;
  const run = ({ delivered, last }: DedupRecord, replay: string | null): RunHistory => ({ replay, delivered, last });
  return {
    eventSequence: known.eventSequence,
    app: known.app,
    installationUuid: known.installationUuid,
    runs: [...(first === null ? [] : [run(first, null)]), ...(later === null ? [] : [run(later, noted?.replay ?? null)])],
    location: noted?.location ?? null,
    skips,
  };
}

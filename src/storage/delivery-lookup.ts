/** Finds events and deliveries by their ids, from the dedup records and notes that request-log.ts writes. */
import type { DeliveryHistory, NotedAddressee, NotedSkip, RunHistory } from "../model/delivery-location.ts";
import { createDedupReader, type SoughtRecord } from "./dedup-reader.ts";
import {
  type DedupRecord,
  decodeAddressee,
  decodeLocation,
  decodeSkip,
  type Lifetimes,
  type NotedLocation,
  newest,
} from "./dedup-record.ts";
import { createReadEventDeliveries } from "./event-deliveries.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

/** @throws AppError REDIS_UNREACHABLE */
export interface DeliveryLookup {
  /** How long it is known what became of a delivery. */
  readonly knownForMs: number;
  /** The first 1,000 or so deliveries of all events with this id that were attempted or stored while notes are kept. */
  ofEvent(eventId: string): Promise<NotedAddressee[]>;
  /**
   * @param apps the app of each id; if absent, the app of the delivery's location, or else every app that exists or existed
   * @returns one history per id, in order; null if nothing is known of the delivery
   */
  find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryHistory | null>>;
}

export interface DeliveryLookupDependencies {
  readonly redis: RedisClient;
  /** Slugs of all apps that exist or existed. */
  readonly knownApps: () => Iterable<string>;
  readonly now: () => number;
  readonly problem?: RedisProblem;
}

export function createDeliveryLookup(dependencies: DeliveryLookupDependencies, lifetimes: Lifetimes): DeliveryLookup {
  const { redis, knownApps, now, problem = () => null } = dependencies;
  const readRecords = createDedupReader(redis, lifetimes, now);
  const readEventDeliveries = createReadEventDeliveries(redis, lifetimes, now);

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

  /** From records and locations: the note of an event's delivery has no more than its app. */
  const packedOf = async (eventId: string): Promise<NotedAddressee[]> => {
    const noted = await readEventDeliveries(eventId);
    const [records, locations] = await Promise.all([
      readRecords(noted.map((one) => ({ ...one, replay: null }))),
      get(noted.map(({ deliveryId }) => keys.location(deliveryId))),
    ]);
    return noted.flatMap(({ deliveryId }, at) => {
      const location = locations[at];
      const known = records[at] ?? (location == null ? null : decodeLocation(location));
      if (known === null) return [];
      return { deliveryId, eventSequence: known.eventSequence, app: known.app, installationUuid: known.installationUuid };
    });
  };

  return {
    knownForMs: lifetimes.dedupTtlMs,
    ofEvent: (eventId) =>
      reading("where deliveries are", problem, async () => {
        const packed = await packedOf(eventId);
        const known = new Set(packed.map(({ deliveryId }) => deliveryId));
        const earlier = Object.entries(await unlessWrongType(redis.hgetall(keys.addressees(eventId)), {}));
        return [...packed, ...earlier.flatMap(([field, value]) => (known.has(field) ? [] : (decodeAddressee(field, value) ?? [])))];
      }),

    async find(deliveryIds, apps) {
      const locations = await get(deliveryIds.map(keys.location));
      const sought = deliveryIds.map((id, at) => {
        const value = locations[at];
        const noted = value == null ? null : decodeLocation(value);
        const app = apps?.[at] ?? noted?.app;
        const slugs = app === undefined ? [...knownApps()] : [app];
        return { noted, first: slugs.map((slug) => ({ app: slug, deliveryId: id, replay: null })), again: again(id, noted) };
      });
      const wanted: SoughtRecord[] = sought.flatMap((one) => [...one.first, ...one.again]);
      const [records, skips] = await Promise.all([
        reading("where deliveries are", problem, () => readRecords(wanted)),
        Promise.all(deliveryIds.map(skipsOf)),
      ]);
      const found = new Map(wanted.map((one, at) => [one, records[at] ?? null]));
      const recordAt = (all: readonly SoughtRecord[]): DedupRecord | null => all.map((one) => found.get(one) ?? null).reduce(newest, null);
      return sought.map((one, at) => historyOf(one.noted, recordAt(one.first), recordAt(one.again), skips[at] ?? []));
    },
  };
}

function again(deliveryId: string, noted: NotedLocation | null): SoughtRecord[] {
  return noted === null || noted.replay === null ? [] : [{ app: noted.app, deliveryId, replay: noted.replay }];
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

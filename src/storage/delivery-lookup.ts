/** Finds events and deliveries again by their ids, from the marks and notes that attempt-log.ts writes. */
import type { DeliveryHistory, NotedAddressee, NotedSkip, RunHistory } from "../model/delivery-location.ts";
import { type DedupRecord, decodeAddressee, decodeDedupRecord, decodePlace, decodeSkip, type PlaceNote } from "./dedup-record.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";
import { type RedisProblem, reading, unlessWrongType } from "./redis-reading.ts";

/** Every call rejects with AppError REDIS_UNREACHABLE when Redis is away. */
export interface DeliveryLookup {
  /** The deliveries of all events with this id that were attempted or stored in the last days; of very many the first 1,000. */
  ofEvent(eventId: string): Promise<NotedAddressee[]>;
  /**
   * In the order of the ids; null: nothing is known of it.
   * @param apps the app of each id. Without them a mark is looked for under the app that the delivery's note names, or under every
   * one that there is or was.
   */
  find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryHistory | null>>;
}

/** @param knownApps the slugs of those that there are, and were */
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
    const noted = Object.entries(
      await reading("where deliveries are", problem, () => unlessWrongType(redis.hgetall(keys.skipped(id)), {})),
    );
    return noted.flatMap(([field, value]) => decodeSkip(field, value) ?? []).sort((a, b) => a.eventSequence - b.eventSequence);
  };

  return {
    ofEvent: (eventId) =>
      reading("where deliveries are", problem, async () =>
        Object.entries(await unlessWrongType(redis.hgetall(keys.addressees(eventId)), {})).flatMap(
          ([field, value]) => decodeAddressee(field, value) ?? [],
        ),
      ),

    async find(deliveryIds, apps) {
      const places = await get(deliveryIds.map(keys.place));
      const sought = deliveryIds.map((id, at) => {
        const value = places[at];
        const note = value == null ? null : decodePlace(value);
        const app = apps?.[at] ?? note?.app;
        const slugs = app === undefined ? [...knownApps()] : [app];
        return { note, first: slugs.map((slug) => keys.delivery(slug, id)), again: again(id, note) };
      });
      const wanted = sought.flatMap((one) => [...one.first, ...one.again]);
      const [values, skips] = await Promise.all([get(wanted), Promise.all(deliveryIds.map(skipsOf))]);
      const found = new Map(wanted.map((key, at) => [key, values[at]]));
      const markAt = (all: readonly string[]): DedupRecord | null => {
        const value = all.map((key) => found.get(key)).find((text) => text != null);
        return value == null ? null : decodeDedupRecord(value);
      };
      return sought.map((one, at) => historyOf(one.note, markAt(one.first), markAt(one.again), skips[at] ?? []));
    },
  };
}

function again(id: string, note: PlaceNote | null): string[] {
  return note === null || note.replay === null ? [] : [keys.delivery(note.app, `${id}:${note.replay}`)];
}

function historyOf(
  note: PlaceNote | null,
  first: DedupRecord | null,
  later: DedupRecord | null,
  skips: readonly NotedSkip[],
): DeliveryHistory | null {
  const known = first ?? note;
  if (known === null) return null;
  const run = ({ delivered, last }: DedupRecord, replay: string | null): RunHistory => ({ replay, delivered, last });
  return {
    eventSequence: known.eventSequence,
    app: known.app,
    installationUuid: known.installationUuid,
    runs: [...(first === null ? [] : [run(first, null)]), ...(later === null ? [] : [run(later, note?.replay ?? null)])],
    location: note?.place ?? null,
    skips,
  };
}

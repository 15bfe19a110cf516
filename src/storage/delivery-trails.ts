/** Finds events and deliveries again by their ids, from the marks and notes that attempt-log.ts writes. */
import { AppError, messageOf } from "../model/app-error.ts";
import type { DeliveryTrail } from "../model/whereabouts.ts";
import { decodeMark, decodePlace } from "./delivery-mark.ts";
import { keys } from "./keys.ts";
import type { RedisClient } from "./redis.ts";

/** Every call rejects with AppError REDIS_UNREACHABLE when Redis is away. */
export interface DeliveryTrails {
  /** Where the event is in the EVENTS stream; null: no delivery of it was attempted or stored in the last days. */
  eventSequence(eventId: string): Promise<number | null>;
  /**
   * In the order of the ids; null: nothing is known of it.
   * @param apps the app of each id. Without them a mark is looked for under the app that the delivery's note names, or under every
   * registered one.
   */
  find(deliveryIds: readonly string[], apps?: readonly string[]): Promise<Array<DeliveryTrail | null>>;
}

/** @param registeredApps their slugs */
export function createDeliveryTrails(redis: RedisClient, registeredApps: () => Iterable<string>): DeliveryTrails {
  const read = async (wanted: readonly string[]): Promise<Array<string | null>> => {
    if (wanted.length === 0) return [];
    try {
      return redis.isCluster ? await Promise.all(wanted.map((key) => redis.get(key))) : await redis.mget(...wanted);
    } catch (error) {
      throw new AppError("REDIS_UNREACHABLE", `Redis can't be read: ${messageOf(error)}`, { retryable: true, cause: error });
    }
  };

  return {
    async eventSequence(eventId) {
      const [sequence] = await read([keys.event(eventId)]);
      return sequence == null ? null : Number(sequence);
    },

    async find(deliveryIds, apps) {
      const places = await read(deliveryIds.map(keys.place));
      const sought = deliveryIds.map((id, at) => {
        const note = decoded(places[at], decodePlace);
        const app = apps?.[at] ?? note?.app;
        return { note, marks: (app === undefined ? [...registeredApps()] : [app]).map((slug) => keys.delivery(slug, id)) };
      });
      const wanted = sought.flatMap(({ marks }) => marks);
      const values = await read(wanted);
      const found = new Map(wanted.map((key, at) => [key, values[at]]));
      return sought.map(({ note, marks }) => {
        const mark = decoded(
          marks.map((key) => found.get(key)).find((value) => value != null),
          decodeMark,
        );
        const known = mark ?? note;
        if (known === null) return null;
        const { eventSequence, app, installationUuid } = known;
        return { delivered: mark?.delivered ?? false, place: note?.place ?? null, eventSequence, app, installationUuid };
      });
    },
  };
}

function decoded<T>(value: string | null | undefined, decode: (value: string) => T): T | null {
  return value == null ? null : decode(value);
}

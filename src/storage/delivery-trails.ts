/** Finds events and deliveries again by their ids, from the marks and notes that attempt-log.ts writes. */
import type { Redis } from "ioredis";
import { AppError, messageOf } from "../model/app-error.ts";
import type { DeliveryTrail } from "../model/whereabouts.ts";
import { decodeMark, decodePlace } from "./delivery-mark.ts";
import { keys } from "./keys.ts";

/** Every call rejects with AppError REDIS_UNREACHABLE when Redis is away. */
export interface DeliveryTrails {
  /** Where the event is in the EVENTS stream; null: no delivery of it was attempted or stored in the last days. */
  eventSequence(eventId: string): Promise<number | null>;
  /** In the order of the ids; null: nothing is known of it. */
  find(deliveryIds: readonly string[]): Promise<Array<DeliveryTrail | null>>;
}

export function createDeliveryTrails(redis: Redis): DeliveryTrails {
  const read = async (wanted: readonly string[]): Promise<Array<string | null>> => {
    if (wanted.length === 0) return [];
    try {
      return await redis.mget(...wanted);
    } catch (error) {
      throw new AppError("REDIS_UNREACHABLE", `Redis can't be read: ${messageOf(error)}`, { retryable: true, cause: error });
    }
  };

  return {
    async eventSequence(eventId) {
      const [sequence] = await read([keys.event(eventId)]);
      return sequence == null ? null : Number(sequence);
    },

    async find(deliveryIds) {
      const values = await read([...deliveryIds.map(keys.delivery), ...deliveryIds.map(keys.place)]);
      return deliveryIds.map((_, at) => {
        const mark = decoded(values[at], decodeMark);
        const note = decoded(values[deliveryIds.length + at], decodePlace);
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

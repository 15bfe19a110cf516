/** Reads delivery marks: the look-ups of one turn of the event loop are one command. */
import type { Redis } from "ioredis";
import type { Clock } from "../model/clock.ts";
import { type DeliveryMark, decodeMark } from "./delivery-mark.ts";
import { keys } from "./keys.ts";

/** Null when nothing is known of it. Rejects when Redis is away or slow. */
export type ReadMark = (mark: string) => Promise<DeliveryMark | null>;

interface Lookup {
  readonly mark: string;
  readonly resolve: (mark: DeliveryMark | null) => void;
  readonly reject: (error: unknown) => void;
}

const TIMEOUT_MS = 1_000;
const MAX_AT_ONCE = 500;

export function createMarkReader(redis: Redis, clock: Clock): ReadMark {
  let waiting: Lookup[] = [];

  const readMany = async (lookups: readonly Lookup[]): Promise<void> => {
    let cancel = (): void => {};
    const tooLate = new Promise<never>((_, reject) => {
      cancel = clock.after(TIMEOUT_MS, () => reject(new Error(`Redis did not answer within ${TIMEOUT_MS} ms`)));
    });
    try {
      const values = await Promise.race([redis.mget(lookups.map(({ mark }) => keys.delivery(mark))), tooLate]);
      for (const [at, { resolve }] of lookups.entries()) {
        const value = values[at] ?? null;
        resolve(value === null ? null : decodeMark(value));
      }
    } catch (error) {
      for (const { reject } of lookups) reject(error);
    } finally {
      cancel();
    }
  };

  const readWaiting = (): void => {
    const lookups = waiting;
    waiting = [];
    for (let from = 0; from < lookups.length; from += MAX_AT_ONCE) void readMany(lookups.slice(from, from + MAX_AT_ONCE));
  };

  return (mark) =>
    new Promise((resolve, reject) => {
      if (waiting.push({ mark, resolve, reject }) === 1) setImmediate(readWaiting);
    });
}

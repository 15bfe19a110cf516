/**
 * The deliveries that this process is handling. Two messages of the same delivery (a redelivery, or a second event with the
 * same key) are handled one after the other, so that the second sees the result of the first.
 *
 * FLIGHT-1  If no other work has the same dedup key, `work` begins within the call: the order of the calls is kept.
 * FLIGHT-2  Entries are chained in buckets, not in a Map: a constantly changing Map makes the garbage collector keep garbage
 *           (model/slots.ts).
 */
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";

export interface InFlight {
  /** Runs `work` when no other work for the delivery's dedup key is running. */
  alone<T>(delivery: Delivery, work: (hasWaited: boolean) => Promise<T>): Promise<T>;
}

interface Entry {
  readonly key: string;
  next: Entry | undefined;
  /** Waiters in the order of their calls. */
  waiting: Array<() => void> | undefined;
}

/** A power of two, far above the number of deliveries in flight. */
const BUCKETS = 4096;

export function createInFlight(): InFlight {
  const buckets = new Array<Entry | undefined>(BUCKETS).fill(undefined);

  const release = (entry: Entry, bucket: number): void => {
    const wakeNext = entry.waiting?.shift();
    if (wakeNext !== undefined) return wakeNext();
    let before: Entry | undefined;
    for (let at = buckets[bucket]; at !== undefined && at !== entry; at = at.next) before = at;
    if (before === undefined) buckets[bucket] = entry.next;
    else before.next = entry.next;
    entry.next = undefined;
  };

  const run = async <T>(entry: Entry, bucket: number, hasWaited: boolean, work: (hasWaited: boolean) => Promise<T>): Promise<T> => {
    try {
      return await work(hasWaited);
    } finally {
      release(entry, bucket);
    }
  };

  return {
    alone(delivery, work) {
      const key = dedupKeyOf(delivery);
      const bucket = bucketOf(delivery.id);
      for (let at = buckets[bucket]; at !== undefined; at = at.next) {
        if (at.key !== key) continue;
        const entry = at;
        const turn = new Promise<void>((resolve) => {
          entry.waiting ??= [];
          entry.waiting.push(resolve);
        });
        return turn.then(() => run(entry, bucket, true, work));
      }
      const entry: Entry = { key, next: buckets[bucket], waiting: undefined };
      buckets[bucket] = entry;
      return run(entry, bucket, false, work);
    },
  };
}

/** From the last three hex digits: the id is a hash. */
function bucketOf(deliveryId: string): number {
  let bucket = 0;
  for (let at = deliveryId.length - 3; at < deliveryId.length; at++) {
    const code = deliveryId.charCodeAt(at);
    bucket = bucket * 16 + ((code & 15) + (code > 64 ? 9 : 0));
  }
  return bucket & (BUCKETS - 1);
}

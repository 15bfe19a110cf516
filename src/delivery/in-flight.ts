/**
 * The deliveries that this process has in hand. Two messages of the same delivery (a redelivery, or a second event with the
 * same key) are handled one after the other, so that the second one knows how the first one ended.
 *
 * FLIGHT-1  While nothing else has the same dedup key, `work` begins within the call: order is kept.
 * FLIGHT-2  Entries are chained in buckets, not in a Map: under constant change a Map leaves links behind that make the
 *           collector keep what is long gone (model/slots.ts).
 */
import { type Delivery, dedupKeyOf } from "../model/delivery.ts";

export interface InFlight {
  /** Runs `work` when no other work for the delivery's dedup key is under way. @param work is told whether it had to wait */
  alone<T>(delivery: Delivery, work: (hasWaited: boolean) => Promise<T>): Promise<T>;
}

interface Entry {
  readonly key: string;
  next: Entry | undefined;
  /** Those that wait, in the order of their calls. */
  waiting: Array<() => void> | undefined;
}

/** A power of two, far above the deliveries that one process has in hand. */
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

/** Of the last three hex digits: the id is a hash. */
function bucketOf(deliveryId: string): number {
  let bucket = 0;
  for (let at = deliveryId.length - 3; at < deliveryId.length; at++) {
    const code = deliveryId.charCodeAt(at);
    bucket = bucket * 16 + ((code & 15) + (code > 64 ? 9 : 0));
  }
  return bucket & (BUCKETS - 1);
}

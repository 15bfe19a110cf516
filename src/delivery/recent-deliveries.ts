/**
 * Remembers in 256 KB which of the last 65,536 deliveries or so this process began, so that a second message of one is recognised without
 * a look at Redis for every first one. A wrong match costs such a look, and a forgotten delivery is delivered again under the same id.
 */
import type { Delivery } from "../model/delivery.ts";

export interface RecentDeliveries {
  /** Remembers the delivery. @returns whether it was remembered before */
  isAgain(delivery: Delivery): boolean;
}

/** A power of two. */
const PLACES = 65_536;
const ID_PREFIX = "dlv_".length;
const DIGITS = 8;

export function createRecentDeliveries(): RecentDeliveries {
  const hashes = new Uint32Array(PLACES);
  return {
    isAgain({ id }) {
      const place = hashAt(id, ID_PREFIX) & (PLACES - 1);
      const hash = hashAt(id, ID_PREFIX + DIGITS);
      if (hashes[place] === hash) return true;
      hashes[place] = hash;
      return false;
    },
  };
}

/** Eight hex digits of the id, which is a hash. */
function hashAt(id: string, from: number): number {
  let hash = 0;
  for (let at = from; at < from + DIGITS; at++) {
    const code = id.charCodeAt(at);
    hash = (hash << 4) | ((code & 15) + (code > 64 ? 9 : 0));
  }
  return hash >>> 0;
}

/** The deadlines of all requests in flight, checked together every few milliseconds: a timer for each costs a tenth of an attempt. */
import { createSlots, type Slotted } from "../../model/slots.ts";

export interface Expiring extends Slotted {
  /** By performance.now(). */
  readonly dueAt: number;
  expire(): void;
}

export interface Deadlines {
  add(item: Expiring): void;
  remove(item: Expiring): void;
}

/** A request can take this much longer than its deadline. */
const TICK_MS = 10;
/** The process did not run for so long, and has not read the answers that arrived in that time. */
const STALLED_MS = 200;

export function createDeadlines(): Deadlines {
  const items = createSlots<Expiring>();
  let isTicking = false;
  let tickedAt = 0;

  const tickLater = (): void => {
    tickedAt = performance.now();
    setTimeout(tick, TICK_MS);
  };

  const tick = (): void => {
    const now = performance.now();
    // Sockets are read after this, and before the next tick.
    if (now - tickedAt > STALLED_MS) return tickLater();
    items.each((item) => {
      if (item.dueAt <= now) item.expire();
    });
    isTicking = items.size > 0;
    if (isTicking) tickLater();
  };

  return {
    add(item) {
      items.add(item);
      if (!isTicking) tickLater();
      isTicking = true;
    },
    remove: items.remove,
  };
}

/**
 * The deadlines of all requests in flight, checked together at the process's ticks, so at most 25 ms late: a timer for each costs a tenth
 * of an attempt.
 */
import { untilTick } from "../../model/shared-tick.ts";
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

/** The process did not run for so long, and has not read the answers that arrived in that time. */
const STALLED_MS = 200;

export function createDeadlines(): Deadlines {
  const items = createSlots<Expiring>();
  let isTicking = false;
  let tickedAt = 0;

  const tickLater = (): void => {
    tickedAt = performance.now();
    setTimeout(tick, untilTick(Date.now()));
  };

  const tick = (): void => {
    const now = performance.now();
    // Sockets are read after this, and before the next tick.
    if (now - tickedAt > STALLED_MS) return tickLater();
    items.each((item) => {
      if (item.dueAt <= now) item.expire();
    });
    isTicking = items.size() > 0;
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

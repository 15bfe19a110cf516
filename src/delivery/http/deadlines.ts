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

export function createDeadlines(): Deadlines {
  const items = createSlots<Expiring>();
  let isTicking = false;

  const tick = (): void => {
    const now = performance.now();
    items.each((item) => {
      if (item.dueAt <= now) item.expire();
    });
    isTicking = items.size > 0;
    if (isTicking) setTimeout(tick, TICK_MS);
  };

  return {
    add(item) {
      items.add(item);
      if (!isTicking) setTimeout(tick, TICK_MS);
      isTicking = true;
    },
    remove: items.remove,
  };
}

/**
 * How much of the parked stream's limits an app uses. One app's backlog must not take the room of all others: beyond its share its
 * deliveries go to dead letters. Between two looks at the stream, what this replica has parked counts, and so does what it is parking:
 * many stores may be under way at once.
 */

import type { Delivery } from "../../model/delivery.ts";
import { deliveryMessageSize } from "../../model/delivery-message.ts";

export interface StreamUse {
  /** 0 or less: none. */
  readonly maxBytes: number;
  readonly maxMessages: number;
  readonly bytes: number;
  readonly messages: number;
  /** The last message that is counted. */
  readonly lastSequence: number;
}

export type ParkedShare = ReturnType<typeof createParkedShare>;

interface AppUse {
  messages: number;
  /** Size of one of its messages, as far as this replica has parked any. */
  size: number | null;
}

/** How fast an app's size follows its newest messages. */
const WEIGHT = 0.1;

export function createParkedShare(percent: number) {
  let stream: StreamUse = { maxBytes: 0, maxMessages: 0, bytes: 0, messages: 0, lastSequence: 0 };
  /** Parked by this replica since the look, sequence → app: a message is counted once, whichever is known first. */
  const since = new Map<number, string>();
  let apps = new Map<string, AppUse>();
  /** Deliveries that are being stored, by app. */
  const underWay = new Map<string, number>();

  /** With its own size an app is judged from its first delivery on. */
  const isUsedUp = (delivery: Delivery): boolean => {
    const { app } = delivery;
    const { messages, size } = apps.get(app) ?? { messages: 0, size: null };
    const used = messages + (underWay.get(app) ?? 0);
    const isOver = (use: number, most: number): boolean => most > 0 && use * 100 >= most * percent;
    return isOver(used, stream.maxMessages) || isOver(used * (size ?? deliveryMessageSize(delivery)), stream.maxBytes);
  };

  return {
    /** @param counts messages of each app */
    update(use: StreamUse, counts: ReadonlyMap<string, number>): void {
      stream = use;
      const before = apps;
      apps = new Map([...counts].map(([app, messages]) => [app, { messages, size: before.get(app)?.size ?? null }]));
      for (const [sequence, app] of since) {
        if (sequence <= use.lastSequence) since.delete(sequence);
        else apps.set(app, { messages: (apps.get(app)?.messages ?? 0) + 1, size: before.get(app)?.size ?? null });
      }
      // Not at once: a Map that is emptied again and again makes the garbage collector keep garbage (model/slots.ts).
      for (const [app, count] of underWay) if (count === 0) underWay.delete(app);
    },
    /** @param sequence in the parked stream */
    parked(delivery: Delivery, sequence: number): void {
      const isCounted = sequence <= stream.lastSequence || since.has(sequence);
      if (!isCounted) since.set(sequence, delivery.app);
      const use = apps.get(delivery.app) ?? { messages: 0, size: null };
      const size = deliveryMessageSize(delivery);
      apps.set(delivery.app, {
        messages: use.messages + (isCounted ? 0 : 1),
        size: use.size === null ? size : use.size * (1 - WEIGHT) + size * WEIGHT,
      });
    },
    /** Takes room for a delivery that is about to be parked. @returns gives the room back, once the store has ended; null: none is left */
    take(delivery: Delivery): (() => void) | null {
      if (isUsedUp(delivery)) return null;
      const { app } = delivery;
      underWay.set(app, (underWay.get(app) ?? 0) + 1);
      return () => void underWay.set(app, (underWay.get(app) ?? 1) - 1);
    },
  };
}

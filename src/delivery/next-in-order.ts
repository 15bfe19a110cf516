/**
 * Chooses the delivery of an ordered app with which its broken installation is probed.
 *
 * PROBE-1  It is the oldest of its order key in the whole queue, by its event: a replay, or a delivery that waited for its retry elsewhere,
 *          is stored behind younger ones. And the owner of the queues has nothing in hand that comes before it.
 * PROBE-2  A delivery is in the owner's hands until the owner has stored it in the queue. So the queue is read on after the owner's answer.
 */
import type { OrderBy } from "../model/app.ts";
import type { OrderPlace } from "../model/order-key.ts";
import { orderKeyOf } from "../model/order-key.ts";
import type { ParkedDelivery, ParkedQueue, RegistryView } from "./ports.ts";
import type { SkipDelivered } from "./skip-delivered.ts";

export interface PlacesInOrder {
  readonly app: string;
  readonly orderBy: OrderBy;
  readonly installationUuid: string;
  /** In the order of their events. */
  readonly places: readonly OrderPlace[];
}

export interface NextInOrderDependencies {
  readonly registry: Pick<RegistryView, "app">;
  /** The deliveries of the queue after a sequence of the stream. */
  readonly readParked: (queue: ParkedQueue, after: number) => AsyncIterable<ParkedDelivery>;
  /** Null: it is gone. */
  readonly parkedAt: (sequence: number) => Promise<ParkedDelivery | null>;
  /** The first place before which the owner has nothing in hand, by its index, or null. Null for the whole: there is no answer. */
  readonly firstInOrder: (asked: PlacesInOrder) => Promise<{ readonly first: number | null } | null>;
  readonly skipDelivered: SkipDelivered;
  /** Takes a delivery that was done before out of its queue. @returns whether its dead letter stops its key */
  readonly removeDone: (parked: ParkedDelivery) => Promise<boolean>;
}

type Waiting = OrderPlace & { readonly sequence: number };

/** Places in a question: a key is 300 characters at most. */
const PLACES_AT_ONCE = 256;

/** @returns null when none may be attempted, as far as is known */
export function createNextInOrder(dependencies: NextInOrderDependencies) {
  const { registry, readParked, parkedAt, firstInOrder, skipDelivered, removeDone } = dependencies;

  return async (queue: ParkedQueue & { readonly installationUuid: string }): Promise<ParkedDelivery | null> => {
    const orderBy = registry.app(queue.app)?.orderBy ?? "none";
    /** By event. */
    const waiting: Waiting[] = [];
    /** Their oldest may not start. */
    const heldKeys = new Set<string>();
    let readTo = 0;

    const readOn = async (): Promise<void> => {
      for await (const { delivery, source } of readParked(queue, readTo)) {
        readTo = Math.max(readTo, source.sequence);
        waiting.push({ key: orderKeyOf(delivery, orderBy), eventSequence: delivery.eventSequence, sequence: source.sequence });
      }
      waiting.sort((a, b) => (a.eventSequence ?? Number.MAX_VALUE) - (b.eventSequence ?? Number.MAX_VALUE));
    };

    const firstOf = async (oldest: readonly Waiting[]): Promise<Waiting | null> => {
      for (let from = 0; from < oldest.length; from += PLACES_AT_ONCE) {
        const page = oldest.slice(from, from + PLACES_AT_ONCE);
        const places = page.map(({ key, eventSequence }) => ({ key, eventSequence }));
        const answer = await firstInOrder({ ...queue, orderBy, places });
        if (answer === null) return null;
        for (const { key } of page.slice(0, answer.first ?? page.length)) heldKeys.add(key);
        if (answer.first !== null) return page[answer.first] ?? null;
      }
      return null;
    };

    await readOn();
    for (;;) {
      const chosen = await firstOf(oldestOfEachKey(waiting).filter(({ key }) => !heldKeys.has(key)));
      if (chosen === null) return null;
      await readOn();
      if (waiting.find(({ key }) => key === chosen.key) !== chosen) continue;
      const parked = await parkedAt(chosen.sequence);
      if (parked !== null && !(await skipDelivered(parked.delivery))) return parked;
      // It is still here because its process died before it could remove it.
      if (parked !== null && (await removeDone(parked))) heldKeys.add(chosen.key);
      waiting.splice(waiting.indexOf(chosen), 1);
    }
  };
}

function oldestOfEachKey(waiting: readonly Waiting[]): Waiting[] {
  const oldest = new Map<string, Waiting>();
  for (const one of waiting) if (!oldest.has(one.key)) oldest.set(one.key, one);
  return [...oldest.values()];
}

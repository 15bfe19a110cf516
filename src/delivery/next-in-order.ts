/**
 * Chooses the delivery of an ordered app with which its broken installation is probed.
 *
 * PROBE-1  It is the oldest of its order key in the whole queue, by its event: a replay, or a delivery that waited for its retry elsewhere,
 *          is stored behind younger ones. And the owner of the queues has nothing in hand that comes before it.
 * PROBE-2  A delivery is in the owner's hands until the owner has stored it in the queue. So the queue is read on after the owner's answer.
 * PROBE-3  While none may be attempted, a look reads only what is new. What it knows may have left the queue since: nothing younger of its key
 *          is chosen before that is noticed, and then the whole queue is read again.
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
  readonly registry: RegistryView;
  /** The deliveries of the queue after a sequence of the stream. */
  readonly readParked: (queue: ParkedQueue, after: number) => AsyncIterable<ParkedDelivery>;
  /** Null: it is gone. */
  readonly parkedAt: (sequence: number) => Promise<ParkedDelivery | null>;
  /** The first place before which the owner has nothing in hand, by its index, or null. Null for the whole: there is no answer. */
  readonly firstInOrder: (asked: PlacesInOrder) => Promise<{ readonly first: number | null } | null>;
  readonly skipDelivered: SkipDelivered;
  /** Ends the reading of a long queue. */
  readonly isStopping: () => boolean;
  /** Takes a delivery that was done before out of its queue. @returns whether its dead letter stops its key */
  readonly removeDone: (parked: ParkedDelivery) => Promise<boolean>;
}

type InstallationQueue = ParkedQueue & { readonly installationUuid: string };

type Waiting = OrderPlace & { readonly sequence: number };

interface Reading {
  readonly orderBy: OrderBy;
  /** By event. */
  readonly waiting: Waiting[];
  /** Sequence of the last that was read. */
  to: number;
}

/** Places in a question: a key is 300 characters at most. */
const PLACES_AT_ONCE = 256;

/** @returns null when none may be attempted, as far as is known */
export function createNextInOrder(dependencies: NextInOrderDependencies) {
  const { registry, readParked, parkedAt, firstInOrder, skipDelivered, removeDone, isStopping } = dependencies;
  /** By installation (PROBE-3). */
  const readings = new Map<string, Reading>();

  const takeReading = (uuid: string, orderBy: OrderBy): Reading | null => {
    const kept = readings.get(uuid);
    for (const one of readings.keys()) if (one === uuid || registry.installation(one)?.status !== "broken") readings.delete(one);
    return kept?.orderBy === orderBy ? kept : null;
  };

  const readOn = async (queue: ParkedQueue, reading: Reading): Promise<void> => {
    for await (const { delivery, source } of readParked(queue, reading.to)) {
      if (isStopping()) return;
      reading.to = Math.max(reading.to, source.sequence);
      const { eventSequence } = delivery;
      reading.waiting.push({ key: orderKeyOf(delivery, reading.orderBy), eventSequence, sequence: source.sequence });
    }
    reading.waiting.sort((a, b) => (a.eventSequence ?? Number.MAX_VALUE) - (b.eventSequence ?? Number.MAX_VALUE));
  };

  const firstToAttempt = async (queue: InstallationQueue, { orderBy }: Reading, oldest: readonly Waiting[], heldKeys: Set<string>) => {
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

  return async (queue: InstallationQueue): Promise<ParkedDelivery | null> => {
    const orderBy = registry.app(queue.app)?.orderBy ?? "none";
    const kept = takeReading(queue.installationUuid, orderBy);
    let isFresh = kept === null;
    let reading = kept ?? { orderBy, waiting: [], to: 0 };
    /** Their oldest may not start. */
    const heldKeys = new Set<string>();

    await readOn(queue, reading);
    while (!isStopping()) {
      const { waiting } = reading;
      const oldest = oldestOfEachKey(waiting).filter(({ key }) => !heldKeys.has(key));
      const chosen = await firstToAttempt(queue, reading, oldest, heldKeys);
      if (chosen === null) {
        readings.set(queue.installationUuid, reading);
        return null;
      }
      await readOn(queue, reading);
      if (waiting.find(({ key }) => key === chosen.key) !== chosen) continue;
      const parked = await parkedAt(chosen.sequence);
      if (parked !== null && !(await skipDelivered(parked.delivery))) return parked;
      if (parked === null && !isFresh) {
        isFresh = true;
        reading = { orderBy, waiting: [], to: 0 };
        await readOn(queue, reading);
        continue;
      }
      // It is still here because its process died before it could remove it.
      if (parked !== null && (await removeDone(parked))) heldKeys.add(chosen.key);
      waiting.splice(waiting.indexOf(chosen), 1);
    }
    return null;
  };
}

function oldestOfEachKey(waiting: readonly Waiting[]): Waiting[] {
  const oldest = new Map<string, Waiting>();
  for (const one of waiting) if (!oldest.has(one.key)) oldest.set(one.key, one);
  return [...oldest.values()];
}

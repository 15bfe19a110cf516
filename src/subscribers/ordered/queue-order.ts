/**
 * The order of an ordered app over all of its queues and all replicas.
 *
 * O1  An attempt needs the app's hold, which one delivery has at a time. Its message comes back when a process dies, and
 *     whoever gets it goes on with the hold; a hold whose message is gone holds nothing.
 *     One whose message stands in a queue that may not flow any more, with nobody left to give it up (its process died), is
 *     set aside by who claims the hold next, as soon as no attempt of it can be under way.
 * O2  Replicas store what they take from the events stream at the same time, so that of two events that came within moments
 *     the younger one may stand first, and what waits for a recovered installation is older than what the app's own queue has
 *     got since: before its first attempt a delivery lets older ones go before, in its queue and in the app's others.
 * O3  A message that was settled before its turn stays where it is until then, and is skipped: servers before 2.10 lose
 *     sight of messages of a subject that are removed out of order. The hold's record names it, for whoever gets it then.
 */
import type { FoundHold, Holds, ParkedQueue } from "../../delivery/ports.ts";
import type { Clock } from "../../model/clock.ts";
import type { Delivery } from "../../model/delivery.ts";
import type { ParkedBacklog, ParkedDelivery } from "../parked/backlog.ts";

export interface QueueOrder {
  hold(): Promise<FoundHold | null>;
  /** Of a hold whose attempt is due then. */
  busyUntil(dueAt: number): number;
  /** @returns false when another delivery has the hold. */
  claim(parked: ParkedDelivery): Promise<boolean>;
  /** The delivery of the oldest event that was stored behind the head of this queue and is older than the head. */
  oldestBehind(head: Delivery, headSequence: number): Promise<ParkedDelivery | null>;
  /** The message was settled before its turn: it is not looked at again here. */
  forget(sequence: number): void;
  /** Whether an older event waits in another queue of the app that may flow. @param settled messages that do not wait any more */
  isOlderElsewhere(delivery: Delivery, settled: readonly number[]): Promise<boolean>;
}

export interface QueueOrderDependencies {
  readonly backlog: ParkedBacklog;
  readonly holds: Holds;
  readonly isFlowing: (queue: ParkedQueue) => boolean;
  readonly isDelivered: (delivery: Delivery) => Promise<boolean>;
  /** How long an attempt of the app may take. */
  readonly attemptLeaseMs: (app: string) => number;
  readonly clock: Clock;
}

/** A head waits so long after it was stored, for what other replicas are about to store. */
export const ORDER_GRACE_MS = 200;
/** How often a head that has to wait for others looks again. */
export const ORDER_POLL_MS = 100;
/** What came within moments stands close together. */
const LOOK_AHEAD = 200;

interface Seen {
  readonly sequence: number;
  readonly eventSequence: number;
}

export function createQueueOrder(
  queue: ParkedQueue,
  { backlog, holds, isFlowing, isDelivered, attemptLeaseMs, clock }: QueueOrderDependencies,
): QueueOrder {
  /** What was read ahead, so that each message is read once; events are not kept. */
  let seen: Seen[] = [];
  let readTo = 0;

  const readAhead = async (headSequence: number): Promise<void> => {
    seen = seen.filter(({ sequence }) => sequence > headSequence);
    readTo = Math.max(readTo, headSequence);
    while (seen.length < LOOK_AHEAD) {
      const next = await backlog.after(queue, readTo);
      if (next === null) return;
      readTo = next.source.sequence;
      // A replay has its place where it was stored.
      if (next.delivery.eventSequence !== null && next.delivery.replay === null) {
        seen.push({ sequence: readTo, eventSequence: next.delivery.eventSequence });
      }
    }
  };

  const holdsOlder = async (other: ParkedQueue, eventSequence: number, settled: readonly number[]): Promise<boolean> => {
    let next = await backlog.after(other, 0);
    for (let read = 0; next !== null && read < LOOK_AHEAD; read++) {
      const { eventSequence: found, replay } = next.delivery;
      const isOlder = found !== null && replay === null && found < eventSequence && !settled.includes(next.source.sequence);
      if (isOlder && !(await isDelivered(next.delivery))) return true;
      next = await backlog.after(other, next.source.sequence);
    }
    return false;
  };

  const busyUntil = (dueAt: number): number => Math.max(dueAt, clock.now()) + attemptLeaseMs(queue.app);

  return {
    hold: () => holds.read(queue.app),
    busyUntil,

    async claim({ delivery: { id, attemptsMade, attempts }, source, dueAt }) {
      const current = await holds.read(queue.app);
      if (current !== null && current.deliveryId !== null) {
        const isBusy = clock.now() < current.busyUntil;
        if (isBusy ? await backlog.isStored(current.parkedSequence) : !(await backlog.setAside(current, isFlowing))) return false;
      }
      const settled: number[] = [];
      // What was discarded, say, has no turn any more.
      for (const sequence of current?.settled ?? []) if (await backlog.isStored(sequence)) settled.push(sequence);
      const due = { dueAt: dueAt ?? 0, busyUntil: busyUntil(dueAt ?? 0) };
      return holds.claim(queue.app, { deliveryId: id, parkedSequence: source.sequence, attemptsMade, attempts, ...due, settled }, current);
    },

    async oldestBehind({ eventSequence: headEvent, replay }, headSequence) {
      if (headEvent === null || replay !== null) return null;
      await readAhead(headSequence);
      for (;;) {
        const oldest = seen.reduce<Seen | null>(
          (least, one) => (least !== null && least.eventSequence <= one.eventSequence ? least : one),
          null,
        );
        if (oldest === null || oldest.eventSequence >= headEvent) return null;
        const parked = await backlog.after(queue, oldest.sequence - 1);
        if (parked?.source.sequence === oldest.sequence) return parked;
        seen = seen.filter((one) => one !== oldest);
      }
    },

    forget(settledSequence) {
      seen = seen.filter(({ sequence }) => sequence !== settledSequence);
    },

    async isOlderElsewhere({ eventSequence, replay }, settled) {
      if (eventSequence === null || replay !== null) return false;
      for (const other of await backlog.queuesOf(queue.app)) {
        if (other.installationUuid === queue.installationUuid || !isFlowing(other)) continue;
        if (await holdsOlder(other, eventSequence, settled)) return true;
      }
      return false;
    },
  };
}

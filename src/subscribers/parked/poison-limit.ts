/**
 * Recognizes a delivery that kills the owner of the queues each time it is decoded or attempted. The owner reads without a consumer that
 * would count redeliveries, so hand-outs are counted in Redis (storage/hand-outs.ts).
 *
 * POISON-1  Only suspects are counted. A message is a suspect if it was stored when an owner took over from one that had not released its
 *           lease. A delivery is one if the message that holds it is, or, in its first run, if its event was in the stream then: its message
 *           may be younger. The event of a resend or replay says nothing, because it is always old. Everything else costs nothing. The
 *           deliveries with which broken integrations are probed are always counted.
 * POISON-2  A hand-out counts from just before the attempt until its outcome is stored, or from just before the decoding to its end. If the
 *           process survives it, however it ends, nothing is left of the count; if no attempt follows, the count is as it was. After a stop
 *           has begun nothing counts. While the count is unknown, nothing is poison.
 * POISON-3  Suspects that were handed out in vain several times are handed out one at a time: only the one that kills the process goes
 *           on being counted, and not those that are in flight with it.
 * POISON-4  Attempts are counted for the delivery, whichever message holds it: it is stored again while it waits.
 */

import type { HandedOut, HandOut, MessageRef } from "../../delivery/ports.ts";
import { type Delivery, dedupKeyOf } from "../../model/delivery.ts";

/** Hand-outs of a message that have not ended. */
export interface HandOutCounts {
  /** @returns the count with this one; null when it is unknown */
  begin(message: HandedOut): Promise<number | null>;
  end(message: HandedOut): void;
  giveBack(message: HandedOut): void;
}

/** Stream → sequence of its last suspect (POISON-1). */
export type Suspects = Readonly<Record<string, number>>;

export type PoisonLimit = ReturnType<typeof createPoisonLimit>;

type ReadMessage = Pick<MessageRef, "stream" | "sequence">;

interface HeldDelivery {
  readonly delivery: Delivery;
  readonly source: ReadMessage;
}

/** With the first hand-out, which is not counted, as many as a consumer's message has. */
const MOST_IN_VAIN = 10;
/** POISON-3. */
const ALONE_AFTER = 5;

/** @param events the name of the events stream */
export function createPoisonLimit(counts: HandOutCounts, events: string) {
  let suspects: Suspects = {};
  const begun = new Set<HandedOut>();
  let stopped = false;
  /** Resolves when no message has its turn alone. */
  let lastTurn = Promise.resolve();

  const handOutOf = (message: HandedOut): HandOut => {
    let endTurn = (): void => {};

    const count = async (): Promise<number> => {
      if (stopped) return 0;
      begun.add(message);
      return ((await counts.begin(message)) ?? 1) - 1;
    };

    const giveBack = (): void => {
      endTurn();
      if (begun.delete(message) && !stopped) counts.giveBack(message);
    };

    const takeTurn = (): Promise<void> => {
      const turnBefore = lastTurn;
      lastTurn = new Promise((resolve) => {
        endTurn = resolve;
      });
      return turnBefore;
    };

    return {
      async begin() {
        if (begun.has(message)) return null;
        let inVain = await count();
        if (inVain >= ALONE_AFTER && inVain < MOST_IN_VAIN) {
          giveBack();
          await takeTurn();
          inVain = await count();
        }
        if (inVain < MOST_IN_VAIN) return null;
        giveBack();
        return `handed out ${inVain + 1} times, and the process died each time`;
      },
      giveBack,
      end() {
        endTurn();
        if (begun.delete(message)) counts.end(message);
      },
    };
  };

  const isSuspect = ({ stream, sequence }: ReadMessage): boolean => sequence <= (suspects[stream] ?? 0);
  /** POISON-1. */
  const isOfSuspectEvent = ({ replay, eventSequence }: Delivery): boolean =>
    replay === null && eventSequence !== null && isSuspect({ stream: events, sequence: eventSequence });
  const asRead = ({ stream, sequence }: ReadMessage): HandedOut => ({ stream, sequence, dedupKey: null });
  const asAttempted = (delivery: Delivery): HandedOut => ({
    ...{ stream: events, sequence: delivery.eventSequence ?? 0, dedupKey: dedupKeyOf(delivery) },
  });

  return {
    suspects: () => suspects,
    suspect(upTo: Suspects): void {
      suspects = upTo;
    },
    /** A message that is read. Null: not a suspect. */
    reading: (message: ReadMessage): HandOut | null => (isSuspect(message) ? handOutOf(asRead(message)) : null),
    /** A delivery and the message that holds it. Null: not a suspect. */
    attempt: ({ delivery, source }: HeldDelivery): HandOut | null =>
      isSuspect(source) || isOfSuspectEvent(delivery) ? handOutOf(asAttempted(delivery)) : null,
    /** A probe, which is rare: counted whatever it is. */
    probe: {
      reading: (message: ReadMessage): HandOut => handOutOf(asRead(message)),
      attempt: (delivery: Delivery): HandOut => handOutOf(asAttempted(delivery)),
    },
    /** Gives back what is handed out (POISON-2). */
    stop(): void {
      stopped = true;
      for (const message of begun) counts.giveBack(message);
    },
  };
}

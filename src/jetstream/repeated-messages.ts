/**
 * Finds the held message that a message repeats (HELD-1). The held ones are indexed only while messages repeat: the index costs time, and so
 * does looking through all of them.
 */
import type { ConsumedMessage } from "./message.ts";

export interface RepeatedMessages {
  /** The held messages may come again as if for the first time: their consumer was deleted, or the connection was lost. */
  expect(): void;
  heldOf(message: ConsumedMessage): ConsumedMessage | undefined;
  added(message: ConsumedMessage): void;
  removed(message: ConsumedMessage): void;
  /** Called once a second. */
  tick(): void;
}

/** The index is kept for so long after the last repeated message. */
const INDEXED_MS = 10_000;

export function createRepeatedMessages(
  eachHeld: (look: (message: ConsumedMessage) => void) => void,
  monotonicNow: () => number,
): RepeatedMessages {
  /** Messages up to this sequence may come again as if for the first time. */
  let expectedUpTo = 0;
  let bySequence: Map<number, ConsumedMessage> | null = null;
  let repeatedAt = 0;

  return {
    expect() {
      eachHeld(({ sequence }) => {
        expectedUpTo = Math.max(expectedUpTo, sequence);
      });
    },
    heldOf({ sequence, deliveries }) {
      if (deliveries === 1 && sequence > expectedUpTo) return undefined;
      repeatedAt = monotonicNow();
      if (bySequence === null) {
        const index = new Map<number, ConsumedMessage>();
        eachHeld((message) => index.set(message.sequence, message));
        bySequence = index;
      }
      return bySequence.get(sequence);
    },
    added: (message) => void bySequence?.set(message.sequence, message),
    removed(message) {
      if (bySequence?.get(message.sequence) === message) bySequence.delete(message.sequence);
    },
    tick() {
      if (monotonicNow() - repeatedAt > INDEXED_MS) bySequence = null;
    },
  };
}

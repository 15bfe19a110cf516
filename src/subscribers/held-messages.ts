/**
 * The messages that a pull loop holds. In slots that are used again, not in a Map: a Map under constant change leaves tables
 * behind that refer to each other, and the collector then takes every message for one that lives long (a third of the CPU
 * of a busy process went there).
 */
import type { PulledMessage } from "./pulled-message.ts";

export interface HeldMessage {
  readonly message: PulledMessage;
  /** When it was taken, or last said to be worked on; milliseconds since the epoch. */
  touchedAt: number;
}

export interface HeldMessages {
  readonly size: number;
  add(message: PulledMessage, now: number): void;
  /** Of a sequence; looks at all of them. */
  find(sequence: number): PulledMessage | undefined;
  remove(message: PulledMessage): void;
  each(look: (held: HeldMessage) => void): void;
}

export function createHeldMessages(): HeldMessages {
  const slots: Array<HeldMessage | undefined> = [];
  const free: number[] = [];

  return {
    get size() {
      return slots.length - free.length;
    },
    add(message, now) {
      message.slot = free.pop() ?? slots.length;
      slots[message.slot] = { message, touchedAt: now };
    },
    find: (sequence) => slots.find((held) => held?.message.sequence === sequence)?.message,
    remove(message) {
      if (slots[message.slot]?.message !== message) return;
      slots[message.slot] = undefined;
      free.push(message.slot);
    },
    each(look) {
      for (const held of slots) if (held !== undefined) look(held);
    },
  };
}

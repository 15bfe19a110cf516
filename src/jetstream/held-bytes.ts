/**
 * Limits the bytes of the messages that several pull consumers hold together.
 *
 * BYTES-1  Messages that are held or asked for take at most `maxBytes`, as far as their sizes can be estimated. One may be asked for in
 *          any case, or a message that is larger than the limit would never be handled.
 * BYTES-2  Consumers that found no room pull again when there is some, in turn.
 */
export interface HeldBytes {
  /** @param pull asks for messages again */
  share(pull: () => void, options?: ShareOptions): HeldShare;
  /** A consumer has found no room, and held messages take most of it: what can't be handled soon should be given back. */
  isScarce(): boolean;
}

export interface ShareOptions {
  /** Messages that the consumer may hold or ask for whatever the others have; they are not reserved. For consumers of a fixed number. */
  readonly always?: () => number;
}

/** A consumer's part of it. */
export interface HeldShare {
  /** Messages that it may ask for on top of `used`, those that it holds or has asked for. */
  room(used: number): number;
  /** Messages that it has asked for and that have not arrived. */
  asked(outstanding: number): void;
  received(message: Sized): void;
  ended(message: Sized): void;
  /** It asks for no more. */
  stop(): void;
}

interface Sized {
  readonly data: Uint8Array;
}

/** A held message's size without its body. */
const MESSAGE_BYTES = 1_024;
/** The message as it came, and the text that was decoded from it. */
const COPIES = 2;
/** Before the first messages have come. */
const FIRST_AVERAGE_BYTES = 256 * 1024;
/** How fast the average follows. */
const WEIGHT = 1 / 16;

export function createHeldBytes(maxBytes: number): HeldBytes {
  const waiting = new Set<() => void>();
  let bytes = 0;
  let reserved = 0;
  let average = FIRST_AVERAGE_BYTES;

  const room = (): number => {
    if (bytes === 0 && reserved === 0) return Math.max(1, Math.floor(maxBytes / average));
    return Math.max(0, Math.floor((maxBytes - bytes) / average - reserved));
  };

  /** BYTES-2. */
  const wake = (): void => {
    for (const pull of waiting) {
      if (room() === 0) return;
      waiting.delete(pull);
      pull();
    }
  };

  return {
    share(pull, { always = () => 0 } = {}) {
      let ownReserved = 0;
      let isStopped = false;
      return {
        room(used) {
          const free = Math.max(room(), always() - used);
          if (free <= 0) waiting.add(pull);
          return free;
        },
        asked(outstanding) {
          const now = isStopped ? 0 : Math.max(0, outstanding - always());
          if (now === ownReserved) return;
          const isLess = now < ownReserved;
          reserved += now - ownReserved;
          ownReserved = now;
          if (isLess) wake();
        },
        received(message) {
          const size = sizeOf(message);
          bytes += size;
          average += (size - average) * WEIGHT;
        },
        ended(message) {
          bytes -= sizeOf(message);
          wake();
        },
        stop() {
          isStopped = true;
          waiting.delete(pull);
          reserved -= ownReserved;
          ownReserved = 0;
          wake();
        },
      };
    },
    isScarce: () => waiting.size > 0 && bytes > maxBytes / 2,
  };
}

function sizeOf({ data }: Sized): number {
  return data.length * COPIES + MESSAGE_BYTES;
}

/**
 * What is under way, in slots that are used again. Not a Map, a Set or a timer for each: under constant change these leave
 * old links behind, through which the collector takes everything that passes for something that lives long; that was a
 * fifth of the CPU of a busy process.
 */
export interface Slotted {
  /** Where it is; the slots' own. */
  slot: number;
}

export interface Slots<T extends Slotted> {
  readonly size: number;
  add(item: T): void;
  /** Does nothing when it is not there. */
  remove(item: T): void;
  /** Looks at all of them. */
  find(is: (item: T) => boolean): T | undefined;
  each(look: (item: T) => void): void;
}

export function createSlots<T extends Slotted>(): Slots<T> {
  const slots: Array<T | undefined> = [];
  const free: number[] = [];

  return {
    get size() {
      return slots.length - free.length;
    },
    add(item) {
      item.slot = free.pop() ?? slots.length;
      slots[item.slot] = item;
    },
    remove(item) {
      if (slots[item.slot] !== item) return;
      slots[item.slot] = undefined;
      free.push(item.slot);
    },
    find: (is) => slots.find((item) => item !== undefined && is(item)),
    each(look) {
      for (const item of slots) if (item !== undefined) look(item);
    },
  };
}

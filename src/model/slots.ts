/**
 * A collection of short-lived items in reusable slots. Maps, Sets and timers that change constantly keep old links, through which the
 * garbage collector promotes every item to the old generation; that took a fifth of the CPU of a busy process.
 */
export interface Slotted {
  /** Set by the collection. */
  slot: number;
}

export interface Slots<T extends Slotted> {
  /** A method, because a getter would give the object slow properties. */
  size(): number;
  add(item: T): void;
  /** Does nothing if the item is not in the collection. */
  remove(item: T): void;
  each(look: (item: T) => void): void;
  /** The item that has the slot now. */
  at(slot: number): T | undefined;
}

export function createSlots<T extends Slotted>(): Slots<T> {
  const slots: Array<T | undefined> = [];
  const free: number[] = [];

  return {
    size: () => slots.length - free.length,
    add(item) {
      item.slot = free.pop() ?? slots.length;
      slots[item.slot] = item;
    },
    remove(item) {
      if (slots[item.slot] !== item) return;
      slots[item.slot] = undefined;
      free.push(item.slot);
      // As many slots as in the busiest moment would be looked through for ever.
      if (free.length === slots.length) slots.length = free.length = 0;
    },
    each(look) {
      for (const item of slots) if (item !== undefined) look(item);
    },
    at: (slot) => slots[slot],
  };
}

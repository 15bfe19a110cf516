/** First in, first out. Taking the first out of a long array moves all others; this moves half of them, now and then. */
export interface Fifo<T> {
  readonly size: number;
  add(item: T): void;
  first(): T | undefined;
  take(): T | undefined;
}

/** Taken items whose room in the array is not given back yet. */
const MOST_TAKEN = 256;

export function createFifo<T>(): Fifo<T> {
  let items: Array<T | undefined> = [];
  let at = 0;
  return {
    get size() {
      return items.length - at;
    },
    add: (item) => void items.push(item),
    first: () => items[at],
    take() {
      if (at === items.length) return undefined;
      const item = items[at];
      items[at++] = undefined;
      if (at >= MOST_TAKEN && at * 2 >= items.length) {
        items = items.slice(at);
        at = 0;
      }
      return item;
    },
  };
}

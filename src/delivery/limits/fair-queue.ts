/** Items by key. The keys take turns: one with many items gets no more turns than one with few. */
export interface FairQueue<T> {
  add(key: string, item: T): void;
  /** Removes and returns the next item. */
  take(): T | undefined;
  /** Removes and returns all items. */
  clear(): T[];
  size(): number;
}

export function createFairQueue<T>(): FairQueue<T> {
  /** The key whose turn is next is first. */
  const queues = new Map<string, T[]>();
  let size = 0;
  return {
    add(key, item) {
      size++;
      const queue = queues.get(key);
      if (queue === undefined) queues.set(key, [item]);
      else queue.push(item);
    },
    take() {
      const [next] = queues;
      if (next === undefined) return undefined;
      const [key, queue] = next;
      const item = queue.shift();
      size--;
      queues.delete(key);
      if (queue.length > 0) queues.set(key, queue);
      return item;
    },
    clear() {
      const items = [...queues.values()].flat();
      queues.clear();
      size = 0;
      return items;
    },
    size: () => size,
  };
}

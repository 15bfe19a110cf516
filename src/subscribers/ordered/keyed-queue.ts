/**
 * Deliveries of one app in their order, by key: which one may start next. Pure.
 *
 * ORDER-1  Of one key one delivery has started and not ended at any time, and it is the oldest that there is.
 * ORDER-2  A key whose head waits (for its retry, say) holds up no other key.
 */
export interface KeyedItem {
  readonly key: string;
  /** Its place among those of its key: the event's sequence. Equal places keep the order in which they came. */
  readonly position: number;
  /** Not before; milliseconds since the epoch, 0: at once. */
  dueAt: number;
}

export interface KeyedQueue<T extends KeyedItem> {
  readonly size: number;
  add(item: T): void;
  /** The next one that may start; it has started when it is returned. Keys take turns. */
  start(nowMs: number): T | null;
  /** Whether none of its key is before it by now: an older one may come after it was started. */
  isOldest(item: T): boolean;
  /** A started one is done, and leaves. */
  end(item: T): void;
  /** One that has not started leaves. */
  remove(item: T): void;
  /** A started one stays where it is, to start again when it is due. */
  retry(item: T): void;
  /** No waiting head is due before that; null when none waits. */
  nextDueAt(): number | null;
  /** Items that have not started, in no particular order. */
  waiting(): IterableIterator<T>;
}

interface Key<T> {
  readonly items: T[];
  /** Items before it have left. */
  first: number;
  started: T | null;
}

/** Gaps at the front of a list that are closed at once. */
const MOST_GAPS = 256;

export function createKeyedQueue<T extends KeyedItem>(): KeyedQueue<T> {
  const keys = new Map<string, Key<T>>();
  /** Keys whose head may start, in turn. */
  const ready = new Set<Key<T>>();
  /** Keys whose head waits until it is due. */
  const later = new Set<Key<T>>();
  /** No head is due before; milliseconds since the epoch. */
  let earliest = Number.POSITIVE_INFINITY;
  let size = 0;

  const queue = (key: Key<T>): void => {
    const head = key.started === null ? key.items[key.first] : undefined;
    const isReady = head?.dueAt === 0;
    // One that was ready keeps its turn.
    if (isReady) ready.add(key);
    else ready.delete(key);
    later.delete(key);
    if (head === undefined || isReady) return;
    later.add(key);
    earliest = Math.min(earliest, head.dueAt);
  };

  const drop = (key: Key<T>, item: T): void => {
    const at = key.items.indexOf(item, key.first);
    if (at === -1) return;
    if (at === key.first) key.first++;
    else key.items.splice(at, 1);
    size--;
    if (key.first === key.items.length) keys.delete(item.key);
    else if (key.first > MOST_GAPS) {
      key.items.splice(0, key.first);
      key.first = 0;
    }
    queue(key);
  };

  const promoteDue = (nowMs: number): void => {
    if (nowMs < earliest) return;
    earliest = Number.POSITIVE_INFINITY;
    for (const key of later) {
      const dueAt = key.items[key.first]?.dueAt ?? 0;
      if (dueAt > nowMs) earliest = Math.min(earliest, dueAt);
      else {
        later.delete(key);
        ready.add(key);
      }
    }
  };

  return {
    get size() {
      return size;
    },

    add(item) {
      let key = keys.get(item.key);
      if (key === undefined) {
        key = { items: [], first: 0, started: null };
        keys.set(item.key, key);
      }
      const { items } = key;
      let at = items.length;
      while (at > key.first && (items[at - 1]?.position ?? 0) > item.position) at--;
      if (at === items.length) items.push(item);
      else items.splice(at, 0, item);
      size++;
      if (items[key.first] === item) queue(key);
    },

    start(nowMs) {
      promoteDue(nowMs);
      const [key] = ready;
      if (key === undefined) return null;
      ready.delete(key);
      key.started = key.items[key.first] ?? null;
      return key.started;
    },

    isOldest(item) {
      const key = keys.get(item.key);
      return key?.items[key.first] === item;
    },

    end(item) {
      const key = keys.get(item.key);
      if (key === undefined || key.started !== item) return;
      key.started = null;
      drop(key, item);
    },

    remove(item) {
      const key = keys.get(item.key);
      if (key !== undefined && key.started !== item) drop(key, item);
    },

    retry(item) {
      const key = keys.get(item.key);
      if (key === undefined || key.started !== item) return;
      key.started = null;
      queue(key);
    },

    nextDueAt: () => (later.size === 0 ? null : earliest),

    *waiting() {
      for (const { items, first, started } of keys.values()) {
        for (let at = first; at < items.length; at++) if (items[at] !== started) yield items[at] as T;
      }
    },
  };
}

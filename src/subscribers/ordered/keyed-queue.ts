/**
 * Deliveries of one app in their order, by key: which one may start next. Pure.
 *
 * ORDER-1  At any time, one delivery of a key at most has started and not ended, and it is the oldest that there is.
 * ORDER-2  A key whose head waits (for its retry, say) holds up no other key.
 */
export interface KeyedItem {
  readonly key: string;
  /** Its place among those of its key: the event's sequence. Equal places keep the order in which they came. Fixed while it is queued. */
  position: number;
  /** Not before; milliseconds since the epoch, 0: at once. */
  dueAt: number;
}

interface Key<T> {
  readonly items: T[];
  /** Items before it have left. */
  first: number;
  started: T | null;
}

/** Gaps at the front of a list that are closed at once. */
const MOST_GAPS = 256;

export function createKeyedQueue<T extends KeyedItem>() {
  const keys = new Map<string, Key<T>>();
  const heads = createHeads<T>();
  const started = new Set<T>();

  const hasEnded = (key: Key<T>, item: T): void => {
    if (key.started === item) key.started = null;
    started.delete(item);
  };

  return {
    /** Those that were returned by `start`, and neither left nor wait again. */
    started: started as ReadonlySet<T>,

    add(item: T): void {
      let key = keys.get(item.key);
      if (key === undefined) {
        key = { items: [], first: 0, started: null };
        keys.set(item.key, key);
      }
      insertInto(key, item);
      if (headOf(key) === item) heads.update(key);
    },

    /** The next one that may start; it has started when it is returned. Keys take turns. */
    start(nowMs: number): T | null {
      const key = heads.next(nowMs);
      const head = key && headOf(key);
      if (key === null || !head) return null;
      key.started = head;
      started.add(head);
      return head;
    },

    /** Whether an item at that position would be its key's first. */
    isFirst(key: string, position: number): boolean {
      const known = keys.get(key);
      return ((known && headOf(known)?.position) ?? Number.POSITIVE_INFINITY) > position;
    },

    /** Whether nothing of its key is before it: an older one may come after it was started. */
    isOldest(item: T): boolean {
      const key = keys.get(item.key);
      return key !== undefined && headOf(key) === item;
    },

    leave(item: T): void {
      const key = keys.get(item.key);
      if (key === undefined || !removeFrom(key, item)) return;
      hasEnded(key, item);
      if (headOf(key) === undefined) keys.delete(item.key);
      heads.update(key);
    },

    /** A started one stays where it is, to start again when it is due. */
    retry(item: T): void {
      const key = keys.get(item.key);
      if (key?.started !== item) return;
      hasEnded(key, item);
      heads.update(key);
    },

    /** Wanted heads that wait may start, other than those that are due only from `never` on. @returns how many */
    makeDue(never: number, isWanted: (item: T) => boolean = () => true): number {
      const due = heads.later().filter((key) => {
        const head = headOf(key);
        return head !== undefined && head.dueAt < never && isWanted(head);
      });
      for (const key of due) {
        const head = headOf(key);
        if (head !== undefined) head.dueAt = 0;
        heads.update(key);
      }
      return due.length;
    },

    /** No waiting head is due before that; null when none waits. */
    nextDueAt: heads.nextDueAt,

    /** Items that have not started, in no particular order. */
    *waiting(): IterableIterator<T> {
      for (const { items, first, started: one } of keys.values()) {
        for (let at = first; at < items.length; at++) if (items[at] !== one) yield items[at] as T;
      }
    },

    clear(): void {
      keys.clear();
      heads.clear();
      started.clear();
    },
  };
}

function headOf<T>({ items, first }: Key<T>): T | undefined {
  return items[first];
}

function insertInto<T extends KeyedItem>({ items, first }: Key<T>, item: T): void {
  let at = items.length;
  while (at > first && (items[at - 1]?.position ?? 0) > item.position) at--;
  if (at === items.length) items.push(item);
  else items.splice(at, 0, item);
}

/** @returns whether it was there */
function removeFrom<T>(key: Key<T>, item: T): boolean {
  const at = key.items.indexOf(item, key.first);
  if (at === -1) return false;
  if (at === key.first) key.first++;
  else key.items.splice(at, 1);
  if (key.first > MOST_GAPS) {
    key.items.splice(0, key.first);
    key.first = 0;
  }
  return true;
}

/** The keys whose heads have not started: those that may start, in turn, and those that wait until they are due. */
function createHeads<T extends KeyedItem>() {
  const ready = new Set<Key<T>>();
  const later = new Set<Key<T>>();
  /** No head is due before; milliseconds since the epoch. */
  let earliest = Number.POSITIVE_INFINITY;

  const promoteDue = (nowMs: number): void => {
    if (nowMs < earliest) return;
    earliest = Number.POSITIVE_INFINITY;
    for (const key of later) {
      const dueAt = headOf(key)?.dueAt ?? 0;
      if (dueAt > nowMs) earliest = Math.min(earliest, dueAt);
      else {
        later.delete(key);
        ready.add(key);
      }
    }
  };

  return {
    /** The key has another head, or its head another time. One that was ready keeps its turn. */
    update(key: Key<T>): void {
      const head = key.started === null ? headOf(key) : undefined;
      const isReady = head?.dueAt === 0;
      if (isReady) ready.add(key);
      else ready.delete(key);
      later.delete(key);
      if (head === undefined || isReady) return;
      later.add(key);
      earliest = Math.min(earliest, head.dueAt);
    },
    /** Takes the next key that may start. */
    next(nowMs: number): Key<T> | null {
      promoteDue(nowMs);
      const [key] = ready;
      if (key === undefined) return null;
      ready.delete(key);
      return key;
    },
    later: (): Array<Key<T>> => [...later],
    nextDueAt: (): number | null => (later.size === 0 ? null : earliest),
    clear(): void {
      ready.clear();
      later.clear();
    },
  };
}

/** The messages of an ordered app's queues that its owner knows, until they are removed from the stream. */
import type { Backlog } from "../parked/backlog.ts";

export interface KnownMessages {
  /** @param installationUuid whose queue has the message; null: the app's own @returns whether the message is new */
  add(sequence: number, installationUuid: string | null): boolean;
  /** The message is not there any more. */
  forget(sequence: number): void;
  /** Removes messages from the stream; a failed removal is repeated by `removeLeftovers`. */
  remove(sequences: Iterable<number>): void;
  removeLeftovers(): void;
  /** Messages of each queue. */
  counts(): ReadonlyMap<string | null, number>;
  /** Forgets all but those that are being removed. */
  clear(): void;
}

export function createKnownMessages(removeFromStream: Backlog["remove"]): KnownMessages {
  /** Sequence → the queue's installation. */
  const queues = new Map<number, string | null>();
  /** Messages that are done and may still be there. */
  const leftovers = new Set<number>();

  const forget = (sequence: number): void => {
    leftovers.delete(sequence);
    queues.delete(sequence);
  };

  const remove = (sequences: Iterable<number>): void => {
    for (const sequence of sequences) {
      leftovers.add(sequence);
      removeFromStream({ source: { sequence } }).then(
        () => forget(sequence),
        () => {},
      );
    }
  };

  return {
    add(sequence, installationUuid) {
      if (queues.has(sequence)) return false;
      queues.set(sequence, installationUuid);
      return true;
    },
    forget,
    remove,
    removeLeftovers: () => remove([...leftovers]),
    counts() {
      const counts = new Map<string | null, number>();
      for (const uuid of queues.values()) counts.set(uuid, (counts.get(uuid) ?? 0) + 1);
      return counts;
    },
    clear() {
      for (const sequence of queues.keys()) if (!leftovers.has(sequence)) queues.delete(sequence);
    },
  };
}

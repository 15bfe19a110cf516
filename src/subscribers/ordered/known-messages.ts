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
  /** Messages of the queue. */
  count(installationUuid: string | null): number;
  /** Forgets all but those that are being removed. */
  clear(): void;
}

export function createKnownMessages(removeFromStream: Backlog["remove"]): KnownMessages {
  /** Sequence → the queue's installation. */
  const queues = new Map<number, string | null>();
  const counts = new Map<string | null, number>();
  /** Messages that are done and may still be there. */
  const leftovers = new Set<number>();

  const countOf = (installationUuid: string | null): number => counts.get(installationUuid) ?? 0;

  const forget = (sequence: number): void => {
    const installationUuid = queues.get(sequence);
    if (installationUuid === undefined) return;
    queues.delete(sequence);
    const left = countOf(installationUuid) - 1;
    if (left > 0) counts.set(installationUuid, left);
    else counts.delete(installationUuid);
  };

  const remove = (sequences: Iterable<number>): void => {
    for (const sequence of sequences) {
      leftovers.add(sequence);
      removeFromStream({ source: { sequence } }).then(
        () => {
          leftovers.delete(sequence);
          forget(sequence);
        },
        () => {},
      );
    }
  };

  return {
    add(sequence, installationUuid) {
      if (queues.has(sequence)) return false;
      queues.set(sequence, installationUuid);
      counts.set(installationUuid, countOf(installationUuid) + 1);
      return true;
    },
    forget,
    remove,
    removeLeftovers: () => remove([...leftovers]),
    count: countOf,
    clear() {
      for (const sequence of [...queues.keys()]) if (!leftovers.has(sequence)) forget(sequence);
    },
  };
}

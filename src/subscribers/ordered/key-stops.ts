/**
 * The stops of an ordered app's keys. With `on_exhausted: stop`, a delivery that goes to dead letters stays in the app's queue as well:
 * nothing behind it starts.
 *
 * STOP-1  A stop lasts while its dead letter is there, the app's record says `stop` and the order that it was made under, and the
 *         installation exists. The record as it is now counts.
 * STOP-2  A delivery that is sent again is stored in its queue before its dead letter is removed (dead-letters/store-again.ts), and comes
 *         before those that it has stopped. So the queue is read once more before a key is freed.
 */
import type { AppStops, KeyStop } from "../../model/key-stop.ts";
import type { Entry } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import type { StoredQueues } from "./stored-queues.ts";

export type KeyStops = ReturnType<typeof createKeyStops>;

export interface KeyStopsDependencies extends Pick<OrderedPorts, "registry" | "isDeadLetter" | "removedDeadLetters"> {
  readonly app: string;
  readonly index: OrderIndex;
  readonly queues: Pick<StoredQueues, "readNew">;
}

export function createKeyStops({ app, registry, isDeadLetter, removedDeadLetters, index, queues }: KeyStopsDependencies) {
  /** Stops whose dead letters were there when so many others had been removed. */
  let lasting = new WeakSet<Entry>();
  let removedThen = 0;

  /** Whether the app's record wants the entry to stop its key. */
  const isWanted = ({ stop }: Entry): boolean =>
    stop !== null &&
    index.orderBy() !== "none" &&
    (stop.orderBy ?? index.orderBy()) === index.orderBy() &&
    registry.app(app)?.onExhausted === "stop" &&
    registry.installation(stop.installationUuid) !== undefined;

  const unwanted = (): Entry[] => [...index.stopping].filter((entry) => !isWanted(entry));
  const free = (entries: readonly Entry[]): void => {
    for (const entry of entries) index.leave(entry);
  };

  const replayedOrDeleted = async (): Promise<Entry[]> => {
    if (index.stopping.size === 0) return [];
    const removed = await removedDeadLetters();
    if (removed !== removedThen) lasting = new WeakSet();
    removedThen = removed;
    const gone: Entry[] = [];
    for (const entry of index.stopping) {
      if (lasting.has(entry) || entry.stop === null) continue;
      if (await isDeadLetter(entry.stop.deadLetter)) lasting.add(entry);
      else gone.push(entry);
    }
    return gone;
  };

  return {
    isWanted,

    /** Whether the app's record wants a stop no more. */
    isAnyUnwanted: (): boolean => unwanted().length > 0,
    /** Everything that is stored has been read. */
    freeUnwanted: (): void => free(unwanted()),

    /** Reads what came into the queues, and frees the keys whose stop is over. */
    async readNew(): Promise<void> {
      const over = [...unwanted(), ...(await replayedOrDeleted())];
      await queues.readNew();
      free(over);
    },

    /** The delivery that stops this one's key, perhaps itself; null: none. @param mark its dedup key */
    of(mark: string): KeyStop | null {
      const entry = index.withMark(mark);
      const isAhead = ({ key, position }: Entry): boolean => entry !== undefined && key === entry.key && position <= entry.position;
      return oldest([...index.stopping].filter(isAhead));
    },

    /** Null: no key has stopped. */
    all(): AppStops | null {
      const first = oldest(index.stopping);
      return first && { keys: new Set([...index.stopping].map(({ key }) => key)).size, oldest: first };
    },
  };
}

function oldest(entries: Iterable<Entry>): KeyStop | null {
  let first: KeyStop | null = null;
  for (const { stop } of entries) if (stop !== null && (first === null || stop.since < first.since)) first = stop;
  return first && { deliveryId: first.deliveryId, deadLetter: first.deadLetter, since: first.since };
}

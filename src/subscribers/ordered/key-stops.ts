/**
 * The stops of an ordered app's keys. With `on_exhausted: stop`, a delivery that goes to dead letters stays in the parked stream as well,
 * in a queue that holds nothing else (STOPS): nothing behind it starts.
 *
 * STOP-1  A stop lasts while its dead letter is there, the app's record says `stop` and the order that it was made under, and the
 *         installation exists. The record as it is now counts.
 * STOP-2  A delivery that is sent again is stored in its queue before its dead letter is removed (dead-letters/store-again.ts), and comes
 *         before those that it has stopped. So the app's queue is read once more, and its installation's counts as unread, before a key is
 *         freed.
 * STOP-3  Its message is stored after its dead letter. An owner that finds a delivery in dead letters, and no stop, stops the key.
 * STOP-4  A removed dead letter is announced, and frees its key at once. Announcements may be lost, and the stream drops dead letters that are
 *         too old: a look now and then finds those, with few reads at a time. An owner begins with one at all stops.
 */
import type { Delivery } from "../../model/delivery.ts";
import type { AppStops, KeyStop } from "../../model/key-stop.ts";
import type { OrderPlace } from "../../model/order-key.ts";
import { type EntryStop, NEVER, type StoppingEntry } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import type { StoredQueues } from "./stored-queues.ts";

export type KeyStops = ReturnType<typeof createKeyStops>;

/** A delivery that may be stopped. */
export interface StoppedPlace extends OrderPlace {
  /** Its sequence, if it is a dead letter: its own replay comes before it. */
  readonly deadLetter: number | null;
}

/** Less than the 3 s between two refreshes: announcements cause more of them, which do not look again. */
const LOOK_EVERY_MS = 2_500;
const LOOKED_AT_ONCE = 32;
/** Stops that were never looked at are looked at without a pause, for as long. */
const FIRST_LOOK_MS = 1_000;

export interface KeyStopsDependencies
  extends Pick<OrderedPorts, "registry" | "monotonicNow" | "isDeadLetter" | "deadLettersState" | "deadLetterOf"> {
  readonly app: string;
  readonly index: OrderIndex;
  readonly queues: Pick<StoredQueues, "readNew">;
}

export function createKeyStops(dependencies: KeyStopsDependencies) {
  const { app, registry, monotonicNow, isDeadLetter, deadLettersState, deadLetterOf, index, queues } = dependencies;
  /** Stops whose dead letters were announced as removed. */
  const announced = new Set<StoppingEntry>();
  /** How many dead letters had left the stream when that of the stop was still there. */
  const seenAt = new WeakMap<StoppingEntry, number>();
  /** Monotonic, milliseconds. */
  let lookAgainAt = 0;

  const areWanted = (): boolean => index.orderBy() !== "none" && registry.app(app)?.onExhausted === "stop";

  /** Whether the app's record wants the entry to stop its key. */
  const isWanted = ({ stop, installationUuid }: StoppingEntry): boolean =>
    areWanted() && (stop.orderBy ?? index.orderBy()) === index.orderBy() && registry.installation(installationUuid) !== undefined;

  const unwanted = (): StoppingEntry[] => [...index.stopping].filter((entry) => !isWanted(entry));
  const free = (entries: readonly StoppingEntry[]): void => {
    for (const entry of entries) index.leave(entry);
  };

  /** Stops whose dead letters are gone, of as many as are looked at. */
  const look = async (): Promise<StoppingEntry[]> => {
    if (index.stopping.size === 0 || monotonicNow() < lookAgainAt) return [];
    const until = monotonicNow() + FIRST_LOOK_MS;
    lookAgainAt = monotonicNow() + LOOK_EVERY_MS;
    const { removed, first } = await deadLettersState();
    const unsure = [...index.stopping].filter((entry) => seenAt.get(entry) !== removed);
    const isTooOld = ({ stop }: StoppingEntry): boolean => stop.deadLetter < first;
    const gone = unsure.filter(isTooOld);
    const seen = (entry: StoppingEntry | undefined): number => (entry && seenAt.get(entry)) ?? -1;
    const left = unsure.filter((entry) => !isTooOld(entry)).sort((one, other) => seen(one) - seen(other));
    do {
      const looked = left.splice(0, LOOKED_AT_ONCE);
      const isThere = await Promise.all(looked.map(({ stop }) => isDeadLetter(stop.deadLetter)));
      for (const [at, entry] of looked.entries()) if (isThere[at]) seenAt.set(entry, removed);
      gone.push(...looked.filter((_, at) => !isThere[at]));
      // Those that were never looked at may be an earlier owner's.
    } while (left.length > 0 && seen(left[0]) < 0 && monotonicNow() < until);
    return gone;
  };

  return {
    isWanted,

    /** The dead letter of a delivery that was done before, if it stops the key. */
    deadLetterOf: async (delivery: Delivery): Promise<number | null> => (areWanted() ? deadLetterOf(delivery) : null),

    /** Whether the app's record wants a stop no more. */
    isAnyUnwanted: (): boolean => unwanted().length > 0,
    /** Everything that is stored has been read. */
    freeUnwanted: (): void => free(unwanted()),

    /** @returns whether one of the removed dead letters stops a key, which the next reading frees */
    noteRemoved(deadLetters: ReadonlySet<number>): boolean {
      for (const entry of index.stopping) if (deadLetters.has(entry.stop.deadLetter)) announced.add(entry);
      return announced.size > 0;
    },

    /** Reads what came into the queues, and frees the keys whose stop is over. */
    async readNew(): Promise<void> {
      const over = [...unwanted(), ...announced, ...(await look())];
      await queues.readNew(new Set(over.map(({ installationUuid }) => installationUuid)));
      free(over);
      for (const entry of over) announced.delete(entry);
    },

    /** The delivery that stops the one at that place, perhaps itself; null: none. */
    of({ key, eventSequence, deadLetter }: StoppedPlace): KeyStop | null {
      const isAhead = ({ position, stop }: StoppingEntry): boolean => position < (eventSequence ?? NEVER) || stop.deadLetter === deadLetter;
      return oldest([...index.stopping].filter((one) => one.key === key && isAhead(one)));
    },

    /** Null: no key has stopped. */
    all(): AppStops | null {
      const first = oldest(index.stopping);
      return first && { keys: new Set([...index.stopping].map(({ key }) => key)).size, oldest: first };
    },
  };
}

function oldest(entries: Iterable<StoppingEntry>): KeyStop | null {
  let first: EntryStop | null = null;
  for (const { stop } of entries) if (first === null || stop.since < first.since) first = stop;
  return first && { deliveryId: first.deliveryId, deadLetter: first.deadLetter, since: first.since };
}

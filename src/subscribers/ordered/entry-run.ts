/** One run of an ordered delivery: its attempt, and what follows from it. Each run ends with `later` or `leave` of the index. */
import type { DeadLetterDisposition, RetryDisposition } from "../../delivery/disposition.ts";
import type { HandledMessage, HandOut } from "../../delivery/ports.ts";
import { isLeaseOver } from "../../delivery/source-lease.ts";
import { AGAIN_AFTER_MS } from "../../jetstream/message-handler.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Delivery } from "../../model/delivery.ts";
import { stopsKey } from "../../model/key-stop.ts";
import { type ParkElsewhere, waitsUntil } from "../parked/attempt-parked.ts";
import type { EntryStore } from "./entry-store.ts";
import type { Entry } from "./order-entry.ts";
import type { OrderIndex } from "./order-index.ts";
import type { OrderedPorts } from "./ordered-ports.ts";
import type { StoredQueues } from "./stored-queues.ts";

export interface EntryRunDependencies extends OrderedPorts {
  readonly app: string;
  readonly index: OrderIndex;
  readonly queues: StoredQueues;
  readonly entryStore: EntryStore;
  /** Attempts may start: it is the owner, and all that is stored is known (ORDER-4). */
  readonly isRunning: () => boolean;
  readonly onCircuitOpen: () => void;
}

const SOON_MS = 50;

export function createEntryRun(dependencies: EntryRunDependencies): (entry: Entry) => Promise<void> {
  const { app, index, queues, entryStore, attemptParked, dispatcher, poisonLimit, clock, logger } = dependencies;
  const { isFlowing, isRunning, isOwner, onCircuitOpen } = dependencies;

  const laterSoon = (entry: Entry): void => index.later(entry, clock.now() + SOON_MS);

  const move = async (entry: Entry, delivery: Delivery, { queue, why }: ParkElsewhere): Promise<void> => {
    const park = (): Promise<void> => dispatcher.park(delivery, queue, why, entryStore.sourceOf(entry), delivery.event);
    if (await queues.move(delivery.installationUuid, park)) index.leave(entry);
    else laterSoon(entry);
  };

  const retry = async (entry: Entry, disposition: RetryDisposition): Promise<void> => {
    if (index.orderBy() === "none") {
      await entryStore.apply(entry, disposition);
      return index.leave(entry);
    }
    const { delivery, delay } = disposition;
    if (await entryStore.storeOrGiveUp(entry, delivery, delay.dueAt)) index.later(entry, delay.dueAt);
  };

  const giveUp = async (entry: Entry, disposition: DeadLetterDisposition): Promise<void> => {
    const deadLetter = await entryStore.apply(entry, disposition);
    await entryStore.giveUp(entry, disposition.delivery, stopsKey(disposition.reason) ? deadLetter : null);
  };

  const attempt = async (entry: Entry, delivery: Delivery, handOut: HandOut | null): Promise<void> => {
    const end = await attemptParked(
      {
        delivery,
        source: entryStore.sourceOf(entry),
        message: entry.event?.message ?? entry.message ?? unnamed(entry),
        stream: entry.event === null ? "parked" : "events",
      },
      {
        queue: { app, installationUuid: null },
        share: `ordered:${app}`,
        mayBeDone: entry.mayBeDone || entry.event === null || entry.sequences.length > 0,
        // The installation may have begun to flow meanwhile, and what was stored for it may be older (ORDER-4).
        isWanted: () => isRunning() && !queues.isUnread(delivery.installationUuid) && index.isOldest(entry),
        handOut,
      },
    );
    // It may be done by a dead letter that has yet to stop the key (STOP-3).
    if (end === "skipped") return entryStore.skip(entry, delivery);
    // A message with a higher count that was found meanwhile is not done by that.
    if (end === "done" && entry.stores === delivery.stores) return index.leave(entry);
    if (end === "wait") onCircuitOpen();
    if (typeof end === "string") return index.later(entry, 0);
    if (end.kind === "park") return move(entry, delivery, end);
    if (end.kind === "retry") return retry(entry, end);
    return giveUp(entry, end);
  };

  const run = async (entry: Entry): Promise<void> => {
    if (entry.isBeingStored || !(await isInTurn(dependencies, entry))) return laterSoon(entry);
    const delivery = await load(dependencies, entry);
    if (delivery === null) return index.leave(entry);
    if (entry.stop !== null) return entryStore.stopKey(entry, delivery);
    const { installationUuid } = delivery;
    if (queues.isUnread(installationUuid) && isFlowing({ app, installationUuid })) {
      queues.readFlowing();
      return laterSoon(entry);
    }
    const waiting = index.orderBy() === "none" ? waitsUntil(entry.retryAt, delivery, clock.now()) : null;
    if (waiting !== null) return retry(entry, waiting);
    const handOut = poisonLimit.attempt({ delivery, source: entryStore.sourceOf(entry) });
    try {
      await attempt(entry, delivery, handOut);
    } finally {
      handOut?.end();
    }
  };

  return (entry) =>
    run(entry).catch((error: unknown) => {
      // The term is over (HOLDER-3), and this with it.
      if (!isOwner()) return;
      if (!isLeaseOver(error))
        logger.warn({ app, delivery_id: entry.delivery?.id, error: messageOf(error) }, "an ordered delivery is handled again");
      index.later(entry, clock.now() + AGAIN_AFTER_MS);
    });
}

/** Older deliveries of a stored one may still come as events: an owner that died has stored some, and others not (ORDER-4). */
async function isInTurn({ isReadBefore }: Pick<OrderedPorts, "isReadBefore">, { event, eventSequence }: Entry): Promise<boolean> {
  return event !== null || isReadBefore(eventSequence ?? 0);
}

/** Reads a delivery that is not in memory. @returns null when its message is gone */
export async function load({ backlog, index }: Pick<EntryRunDependencies, "backlog" | "index">, entry: Entry): Promise<Delivery | null> {
  while (entry.delivery === null) {
    const sequence = entry.sequences.at(-1);
    if (sequence === undefined) break;
    index.loaded(entry, await backlog.at(sequence));
  }
  return entry.delivery;
}

function unnamed({ sequences }: Entry): HandledMessage {
  return { subject: "", consumer: "", sequence: sequences.at(-1) ?? 0, deliveries: 0, header: () => undefined };
}

/**
 * Gives up the deliveries of an ordered app that have waited too long while their installation is paused. One whose turn comes moves to
 * the queue of its installation, where others look after it (app/expiry.ts); these wait behind others of their key.
 */
import { expiredAfter, givenUp } from "../../delivery/disposition.ts";
import { type EntryRunDependencies, load } from "./entry-run.ts";
import { type Entry, isStopping } from "./order-entry.ts";

export type ExpireEntriesDependencies = Pick<
  EntryRunDependencies,
  "app" | "index" | "backlog" | "entryStore" | "skipDelivered" | "isFlowing" | "isRunning" | "clock"
>;

/** @returns gives up what was first parked longer ago than that, and says how many there were */
export function createExpireEntries(dependencies: ExpireEntriesDependencies): (maxAgeMs: number) => Promise<number> {
  const { app, index, entryStore, skipDelivered, isFlowing, isRunning, clock } = dependencies;

  const expire = async (entry: Entry): Promise<boolean> => {
    const delivery = await load(dependencies, entry);
    if (delivery === null) index.leave(entry);
    // The parked stream refused it when it became a dead letter.
    else if (entry.stop !== null) await entryStore.stopKey(entry, delivery);
    else {
      const isDone = await skipDelivered(delivery);
      // A message with a higher count was found meanwhile, which the answer is not about.
      if (entry.stores > delivery.stores) return false;
      if (isDone) await entryStore.skip(entry, delivery);
      else {
        const ageMs = clock.now() - (delivery.firstParkedAt ?? clock.now());
        const deadLetter = await entryStore.apply(entry, givenUp(delivery, "expired", expiredAfter(ageMs)));
        await entryStore.giveUp(entry, delivery, deadLetter);
        return true;
      }
    }
    return false;
  };

  const isWaiting = (entry: Entry): boolean =>
    index.has(entry) && !index.started.has(entry) && !entry.isBeingStored && !(isStopping(entry) && index.stopping.has(entry));

  return async (maxAgeMs) => {
    let expired = 0;
    const before = clock.now() - maxAgeMs;
    for (const entry of [...index.waiting()].filter(({ event, firstParkedAt }) => event === null && (firstParkedAt ?? before) < before)) {
      if (!isRunning() || !isWaiting(entry) || isFlowing({ app, installationUuid: entry.installationUuid })) continue;
      if (await entryStore.alone(entry, () => expire(entry))) expired++;
    }
    return expired;
  };
}

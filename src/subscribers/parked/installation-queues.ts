/**
 * Empties the queues of installations that may flow, as the owner of the queues: many side by side, each message read and removed
 * by itself, so that a queue of one delivery costs four messages (six on servers that may lose it from their index, SUBJECT-1). Attempts
 * start in stored order, other than that of a lost one.
 */

import type { HandOut, ParkedQueue } from "../../delivery/ports.ts";
import { isLeaseOver } from "../../delivery/source-lease.ts";
import type { SubjectState } from "../../jetstream/subject-counts.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Logger } from "../../model/logger.ts";
import { createAppPlaces } from "./app-places.ts";
import { type AttemptParked, type StoreEndDependencies, storeEnd, waitsUntil } from "./attempt-parked.ts";
import type { Backlog, ParkedDelivery } from "./backlog.ts";
import type { Fence } from "./fence.ts";
import type { PoisonLimit } from "./poison-limit.ts";

export type InstallationQueues = ReturnType<typeof createInstallationQueues>;

export interface InstallationQueuesDependencies extends StoreEndDependencies {
  readonly backlog: Pick<Backlog, "read" | "remove">;
  readonly attemptParked: AttemptParked;
  readonly poisonLimit: Pick<PoisonLimit, "attempt">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The fence of the present term; null: this replica does not own the queues. */
  readonly fenceNow: () => Fence | null;
  readonly isFlowing: (queue: ParkedQueue) => boolean;
  /** The queue when it was looked at; undefined when more was stored since. */
  readonly stateOf: (queue: ParkedQueue) => SubjectState | undefined;
  /** Messages to read at most. */
  readonly countOf: (queue: ParkedQueue) => number;
  /** Concurrent attempts of what waits for the app. */
  readonly limitOf: (app: string) => number;
}

/** Queues that are read at the same time. */
const MOST_QUEUES = 64;

export function createInstallationQueues(dependencies: InstallationQueuesDependencies) {
  const { backlog, attemptParked, poisonLimit, clock, logger, fenceNow, isFlowing, stateOf, countOf } = dependencies;
  const known = new Map<string, ParkedQueue>();
  const reading = new Set<string>();
  const places = createAppPlaces(dependencies.limitOf);
  const inFlight = new Set<number>();

  /** Attempts a delivery, or stores it where it belongs. @returns whether it is done here, and the queue may be read further */
  const handle = async (queue: ParkedQueue, waiting: ParkedDelivery, handOut: HandOut | null): Promise<boolean> => {
    // Its app has no order any more.
    if (waiting.blockedBy !== undefined) return isFlowing(queue);
    const share = `parked:${queue.app}:${queue.installationUuid}`;
    const isWanted = (): boolean => waiting.source.isOurs?.() !== false && isFlowing(queue);
    const end =
      waitsUntil(waiting.dueAt, waiting.delivery, clock.now()) ??
      (await attemptParked(waiting, { queue, share, mayBeDone: true, isWanted, handOut }));
    if (typeof end === "string") return end === "done" || end === "skipped";
    await storeEnd(dependencies, waiting, end);
    return true;
  };

  /** @returns whether the queue may be read further */
  const handleOne = async (queue: ParkedQueue, parked: ParkedDelivery, { token }: Fence): Promise<boolean> => {
    const { source } = parked;
    const isOurs = (): boolean => fenceNow()?.token === token;
    const handOut = poisonLimit.attempt(parked);
    inFlight.add(source.sequence);
    let isDone = false;
    try {
      isDone = await handle(queue, { ...parked, source: { ...source, isOurs, fence: token } }, handOut);
    } catch (error) {
      if (!isLeaseOver(error))
        logger.warn({ ...queue, sequence: source.sequence, error: messageOf(error) }, "a parked delivery is handled again");
    }
    // The removal needs no place.
    places.leave(queue.app);
    // FENCE-2.
    if (isDone && isOurs()) await backlog.remove(parked).catch(() => {});
    handOut?.end();
    inFlight.delete(source.sequence);
    return isDone;
  };

  /** Reads as many as there were when it was looked at; what came since has a look of its own. */
  const read = async (queue: ParkedQueue, fence: Fence): Promise<void> => {
    const underWay = new Set<Promise<unknown>>();
    let left = Math.max(1, countOf(queue));
    let mayContinue = true;
    const handleAll = async (): Promise<void> => {
      for await (const parked of backlog.read(queue, { state: stateOf(queue) })) {
        if (fence.isLate(parked)) await backlog.remove(parked).catch(() => {});
        else {
          await places.enter(queue.app);
          const work = handleOne(queue, parked, fence).then((isDone) => {
            mayContinue &&= isDone;
            underWay.delete(work);
          });
          underWay.add(work);
        }
        left--;
        if (left === 0 || !mayContinue || fenceNow() !== fence || !isFlowing(queue)) return;
      }
    };
    // The next scan finds what could not be read.
    await handleAll().catch(() => {});
    await Promise.all(underWay);
  };

  const readAll = (): void => {
    for (const [key, queue] of known) {
      const fence = fenceNow();
      if (reading.size >= MOST_QUEUES || fence === null) return;
      if (reading.has(key)) continue;
      known.delete(key);
      if (!isFlowing(queue)) continue;
      reading.add(key);
      void read(queue, fence).finally(() => {
        reading.delete(key);
        readAll();
      });
    }
  };

  return {
    /** These queues hold something; those that may flow are emptied. */
    drain(queues: Iterable<ParkedQueue>): void {
      for (const queue of queues) if (isFlowing(queue)) known.set(`${queue.app} ${queue.installationUuid}`, queue);
      readAll();
    },
    inFlight: (): ReadonlySet<number> => inFlight,
    held: () => inFlight.size,
  };
}

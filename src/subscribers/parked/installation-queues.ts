/**
 * Empties the queues of installations that may flow, as the owner of the queues: many side by side, each message read and removed
 * by itself, so that a queue of one delivery costs four messages. Attempts start in stored order.
 */

import type { Dispatcher } from "../../delivery/dispatcher.ts";
import type { MessageRef, ParkedQueue } from "../../delivery/ports.ts";
import { isLeaseOver } from "../../delivery/source-lease.ts";
import type { Tracing } from "../../delivery/tracing-ports.ts";
import { messageOf } from "../../model/app-error.ts";
import type { Clock } from "../../model/clock.ts";
import type { Logger } from "../../model/logger.ts";
import type { AttemptParked } from "./attempt-parked.ts";
import type { Backlog, ParkedDelivery } from "./backlog.ts";

export interface InstallationQueues {
  /** These queues hold something; those that may flow are emptied. */
  drain(queues: Iterable<ParkedQueue>): void;
  /** Something that keeps them waiting may be over. */
  wake(): void;
  /** Sequences that are being attempted. */
  inFlight(): Iterable<number>;
  held(): number;
}

export interface InstallationQueuesDependencies {
  readonly backlog: Backlog;
  readonly attemptParked: AttemptParked;
  readonly dispatcher: Dispatcher;
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether this replica owns the queues. */
  readonly isOwner: () => boolean;
  readonly isFlowing: (queue: ParkedQueue) => boolean;
  /** Messages that the queue held when it was looked at. */
  readonly countOf: (queue: ParkedQueue) => number;
  /** Concurrent attempts of what waits for the app. */
  readonly limitOf: (app: string) => number;
}

/** Queues that are read at the same time. */
const MOST_QUEUES = 64;

interface AppQueues {
  inFlight: number;
  /** Wait for one of the app's places. */
  readonly waiters: Array<() => void>;
}

export function createInstallationQueues(dependencies: InstallationQueuesDependencies): InstallationQueues {
  const { backlog, attemptParked, dispatcher, tracing, clock, logger, isOwner, isFlowing, countOf, limitOf } = dependencies;
  const known = new Map<string, ParkedQueue>();
  const reading = new Set<string>();
  const apps = new Map<string, AppQueues>();
  const inFlight = new Set<number>();

  const enter = async (app: string): Promise<void> => {
    let queues = apps.get(app);
    if (queues === undefined) {
      queues = { inFlight: 0, waiters: [] };
      apps.set(app, queues);
    }
    while (queues.inFlight >= limitOf(app)) await new Promise<void>((resolve) => queues.waiters.push(resolve));
    queues.inFlight++;
  };

  const leave = (app: string): void => {
    const queues = apps.get(app);
    if (queues === undefined) return;
    queues.inFlight--;
    queues.waiters.shift()?.();
    if (queues.inFlight === 0 && queues.waiters.length === 0) apps.delete(app);
  };

  /** @returns whether the queue may go on. */
  const handle = async (queue: ParkedQueue, parked: ParkedDelivery): Promise<boolean> => {
    const source: MessageRef = { ...parked.source, isOurs: isOwner };
    const waiting = { ...parked, source };
    const share = `parked:${queue.app}:${queue.installationUuid}`;
    const traced = (work: Parameters<Tracing["process"]>[3]): Promise<unknown> =>
      tracing.process(parked.delivery.event, "parked", parked.message, (span) => tracing.deliver(span, parked.delivery, work));
    if (parked.dueAt !== null && parked.dueAt > clock.now()) {
      const delay = { dueAt: parked.dueAt, delayMs: parked.dueAt - clock.now(), notBefore: true };
      await traced((span) => dispatcher.apply({ kind: "retry", delivery: parked.delivery, record: null, delay }, source, span));
    } else {
      for (;;) {
        const end = await attemptParked(waiting, { queue, share, mayBeDone: true, isWanted: () => isOwner() && isFlowing(queue) });
        if (end === "done") break;
        if (end === "again" && isOwner() && isFlowing(queue)) continue;
        if (typeof end === "string") return false;
        await traced((span) =>
          end.kind === "park" ? dispatcher.park(parked.delivery, end.queue, end.why, source, span) : dispatcher.apply(end, source, span),
        );
        break;
      }
    }
    return true;
  };

  /** Has one of the app's places. @returns whether the queue may go on */
  const handleOne = async (queue: ParkedQueue, parked: ParkedDelivery): Promise<boolean> => {
    const { sequence } = parked.source;
    inFlight.add(sequence);
    let isDone = false;
    try {
      isDone = await handle(queue, parked);
    } catch (error) {
      if (!isLeaseOver(error)) logger.warn({ ...queue, sequence, error: messageOf(error) }, "a parked delivery is handled again");
    }
    leave(queue.app);
    if (isDone) await backlog.remove(parked).catch(() => {});
    inFlight.delete(sequence);
    return isDone;
  };

  /** To where it ended when it was looked at; what came since has a look of its own. */
  const read = async (queue: ParkedQueue): Promise<void> => {
    const underWay = new Set<Promise<unknown>>();
    const count = Math.max(1, countOf(queue));
    let mayGoOn = true;
    for (let at = 0, read = 0; read < count && mayGoOn && isOwner() && isFlowing(queue); read++) {
      const parked = await backlog.after(queue, at).catch(() => null);
      if (parked === null) break;
      at = parked.source.sequence;
      await enter(queue.app);
      const work = handleOne(queue, parked).then((isDone) => {
        mayGoOn &&= isDone;
        underWay.delete(work);
      });
      underWay.add(work);
    }
    await Promise.all(underWay);
  };

  const readAll = (): void => {
    for (const [key, queue] of known) {
      if (reading.size >= MOST_QUEUES || !isOwner()) return;
      if (reading.has(key)) continue;
      known.delete(key);
      if (!isFlowing(queue)) continue;
      reading.add(key);
      void read(queue).finally(() => {
        reading.delete(key);
        readAll();
      });
    }
  };

  return {
    drain(queues) {
      for (const queue of queues) if (isFlowing(queue)) known.set(`${queue.app} ${queue.installationUuid}`, queue);
      readAll();
    },
    wake: readAll,
    inFlight: () => inFlight,
    held: () => inFlight.size,
  };
}

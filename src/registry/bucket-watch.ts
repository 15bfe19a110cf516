/**
 * One watch over all records of the registry bucket, kept alive.
 *
 * BUCKET-1  Entries arrive in the order of their revisions and none is skipped: a restarted watch resumes at the last revision seen.
 * BUCKET-2  `isCurrent` is false from the start and from every reconnect until the watch has caught up.
 * BUCKET-3  The watch is restarted after a reconnect; left alone it lags by many seconds.
 */
import { messageOf } from "../model/app-error.ts";
import type { Clock } from "../model/clock.ts";
import type { Logger } from "../model/logger.ts";
import { sleep } from "../model/periodic.ts";
import type { Bucket } from "./bucket.ts";
import type { BucketEntry } from "./bucket-entry.ts";
import type { RevisionWaiters } from "./revision-waiters.ts";

export interface BucketWatch {
  /** Resolves when the watch has caught up for the first time. */
  start(): Promise<void>;
  stop(): void;
  restart(): void;
  isCurrent(): boolean;
  /** Marks the watch as not current until it catches up again. */
  setOutdated(): void;
  onCurrent(listener: () => void): void;
  /** Resolves when no entry has arrived under a new key for this long, or the watch was stopped. Replicas rewrite some keys for ever. */
  quiet(forMs: number): Promise<void>;
}

export interface BucketWatchDependencies {
  readonly bucket: Bucket;
  readonly revisions: RevisionWaiters;
  readonly onEntry: (entry: BucketEntry) => void;
  /** Whether nothing is known under the key. */
  readonly isNew: (key: string) => boolean;
  /** Resolves when the entries passed on so far have been processed. */
  readonly whenProcessed: () => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RESTART_AFTER_MS = 250;
const CHECK_QUIET_MS = 250;

export function createBucketWatch(dependencies: BucketWatchDependencies): BucketWatch {
  const { bucket, revisions, onEntry, isNew, whenProcessed, clock, logger } = dependencies;
  const listeners: Array<() => void> = [];
  let isCurrent = false;
  let stopped = false;
  let newAt = 0;
  let endWatch = (): void => {};

  const receive = (entry: BucketEntry): void => {
    // A restarted watch repeats the last revision seen.
    if (entry.revision <= revisions.seen()) return;
    if (isNew(entry.key)) newAt = clock.now();
    onEntry(entry);
    revisions.advance(entry.revision);
  };

  const becomeCurrent = async (): Promise<void> => {
    await whenProcessed();
    if (isCurrent || stopped) return;
    isCurrent = true;
    for (const listener of listeners) listener();
  };

  const watchOnce = async (): Promise<void> => {
    const watch = await bucket.watch({
      fromRevision: revisions.seen(),
      onEntry: receive,
      onCaughtUp: () => void becomeCurrent(),
    });
    endWatch = watch.stop;
    if (stopped) watch.stop();
    await watch.ended;
  };

  const watchUntilStopped = async (): Promise<void> => {
    for (let failures = 0; !stopped; ) {
      try {
        await watchOnce();
        failures = 0;
      } catch (error) {
        if (!stopped && failures++ === 0) logger.warn({ bucket: bucket.name, error: messageOf(error) }, "registry watch ended; restarting");
      }
      isCurrent = false;
      if (!stopped) await sleep(clock, RESTART_AFTER_MS);
    }
  };

  return {
    start() {
      const caughtUp = new Promise<void>((resolve) => listeners.push(resolve));
      void watchUntilStopped();
      return caughtUp;
    },
    stop() {
      stopped = true;
      isCurrent = false;
      endWatch();
    },
    restart: () => endWatch(),
    isCurrent: () => isCurrent,
    setOutdated() {
      isCurrent = false;
    },
    onCurrent: (listener) => void listeners.push(listener),
    async quiet(forMs) {
      const since = clock.now();
      for (let leftMs = forMs; leftMs > 0 && !stopped; leftMs = Math.max(since, newAt) + forMs - clock.now())
        await new Promise<void>((resolve) => clock.after(Math.min(leftMs, CHECK_QUIET_MS), resolve));
    },
  };
}

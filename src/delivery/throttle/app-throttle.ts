/**
 * The throttle of one app on one replica: the shared record, and what this replica was asked for and has not stored yet.
 *
 * THROTTLE-1  Nothing of an app is attempted before the latest time that a receiver has asked any replica for. This replica waits
 *             from the answer on, whether or not the record can be stored.
 * THROTTLE-2  A throttle ends by its time, which the record has: no process has to live for it to end.
 * THROTTLE-3  A record is never replaced by an older one: this replica may know its own write before the watch brings it.
 */
import { messageOf } from "../../model/app-error.ts";
import { type Clock, toRfc3339 } from "../../model/clock.ts";
import type { Logger } from "../../model/logger.ts";
import { type Throttle, throttleFor } from "../../model/throttle.ts";
import type { SharedThrottle, ThrottleChange, ThrottleStore } from "./ports.ts";
import { lifted, released, throttled } from "./transitions.ts";

export interface AppThrottle {
  /** Null: the app is not throttled. */
  current(): Throttle | null;
  /** A receiver has asked for a pause. */
  extend(throttle: Throttle): void;
  /** The app has another receiver. */
  lift(): void;
  /** The shared record; null: it was deleted. */
  apply(shared: SharedThrottle | null, revision: number): void;
  forgetRevision(): void;
  /** The app was deleted: nothing is released any more. */
  stop(): void;
}

export interface AppThrottleDependencies {
  readonly store: ThrottleStore;
  /** Whether the app exists (still). */
  readonly isKnown: (app: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The app's deliveries can be attempted again: its queues can continue. */
  readonly onReleased: (app: string) => void;
}

export interface AppThrottleOptions {
  readonly maxThrottleMs: number;
}

const STORE_AGAIN_MS = 1_000;

export function createAppThrottle(app: string, dependencies: AppThrottleDependencies, { maxThrottleMs }: AppThrottleOptions): AppThrottle {
  const { store, isKnown, clock, logger, onReleased } = dependencies;
  let shared: SharedThrottle | null = null;
  let revision = 0;
  /** Later than the shared one; null: nothing is left to store. */
  let unstored: Throttle | null = null;
  /** The app has another receiver, and the record is still the former one's. */
  let isLifting = false;
  let isSaving = false;
  let isRunning = false;
  /** When an answer to this replica began a throttle that is not logged yet. */
  let begunAt: number | null = null;
  let cancelEnd = (): void => {};

  const current = (): Throttle | null => {
    const throttle = unstored ?? (isLifting ? null : shared);
    return throttle !== null && throttle.until > clock.now() ? throttle : null;
  };

  const end = (): void => {
    const throttle = current();
    if (throttle !== null) return endAt(throttle.until);
    unstored = null;
    if (isRunning) onReleased(app);
    isRunning = false;
    if (shared?.isAnnounced) void save();
  };

  const endAt = (until: number): void => {
    cancelEnd();
    cancelEnd = clock.after(Math.max(0, until - clock.now()), end);
  };

  const run = (): void => {
    const throttle = current();
    if (throttle !== null) isRunning = true;
    if (throttle !== null || isRunning || shared?.isAnnounced) endAt(throttle?.until ?? 0);
  };

  const apply: AppThrottle["apply"] = (next, nextRevision) => {
    // THROTTLE-3
    if (nextRevision < revision) return;
    revision = nextRevision;
    // A time beyond the maximum comes from another configuration, or from a clock that was wrong.
    shared = next && { ...next, until: Math.min(next.until, clock.now() + throttleFor(maxThrottleMs, maxThrottleMs)) };
    if (shared === null || (unstored !== null && !isLifting && shared.until >= unstored.until)) unstored = null;
    run();
  };

  /** Stores what this replica was asked for, or that the throttle has ended or was lifted. */
  const save = async (): Promise<void> => {
    if (isSaving) return;
    isSaving = true;
    try {
      do {
        if (!isKnown(app)) break;
        const [saving, wasLifting] = [unstored, isLifting];
        const stored = await store.change(app, (found) => nextThrottle(found, isLifting, unstored, clock.now()));
        if (wasLifting) isLifting = false;
        else if (unstored === saving) unstored = null;
        apply(stored.throttle, stored.revision);
        // Several replicas may have been the first to be asked: the one whose answer began the shared throttle logs it.
        if (shared !== null && shared.since === begunAt) {
          begunAt = null;
          logBegin(app, shared, logger);
        }
      } while (unstored !== null || isLifting);
    } catch (error) {
      logger.warn({ app, error: messageOf(error) }, "throttle can't be stored");
      clock.after(STORE_AGAIN_MS, () => void save());
    } finally {
      isSaving = false;
    }
  };

  return {
    current,
    extend(asked) {
      const before = current();
      if (before !== null && before.until >= asked.until) return;
      if (before === null) begunAt = asked.since;
      unstored = { ...asked, since: before?.since ?? asked.since };
      run();
      void save();
    },
    lift() {
      if (current() === null) return;
      unstored = null;
      isLifting = true;
      run();
      void save();
    },
    apply,
    forgetRevision() {
      revision = 0;
    },
    stop: () => cancelEnd(),
  };
}

function nextThrottle(found: SharedThrottle | null, isLifting: boolean, asked: Throttle | null, nowMs: number): ThrottleChange | null {
  if (isLifting) return lifted(found, nowMs);
  return asked === null ? released(found, nowMs) : throttled(found, asked);
}

function logBegin(app: string, { until, responseCode }: Throttle, logger: Logger): void {
  logger.warn({ app, until: toRfc3339(until), response_code: responseCode }, "app throttled: its receiver asked for a pause");
}

/**
 * The throttles of all apps (docs/design.md 6.4): after an answer that asks for a pause, nothing of the app is attempted over all
 * replicas until then. The record is pushed to every replica, so that no attempt reads it.
 */
import { type Throttle, throttleFor } from "../../model/throttle.ts";
import type { AttemptRecord } from "../ports.ts";
import { type AppThrottle, type AppThrottleDependencies, type AppThrottleOptions, createAppThrottle } from "./app-throttle.ts";
import type { SharedThrottle } from "./ports.ts";

export interface Throttles {
  isThrottled(app: string): boolean;
  /** Null: the app is not throttled. */
  of(app: string): Throttle | null;
  onAttempt(attempt: Pick<AttemptRecord, "app" | "responseCode" | "pauseMs" | "endedAt">): void;
  /** The app has another receiver, which has asked for nothing. */
  lift(app: string): void;
  /** The shared record has changed. @param shared null: it was deleted */
  apply(app: string, shared: SharedThrottle | null, revision: number): void;
  /** The app was deleted. */
  forget(app: string): void;
  /** The records are in another bucket, whose revisions begin at 1 again. */
  forgetRevisions(): void;
  /** Number of throttled apps. */
  count(): number;
}

export function createThrottles(dependencies: AppThrottleDependencies, options: AppThrottleOptions): Throttles {
  const throttles = new Map<string, AppThrottle>();

  const throttleOf = (app: string): AppThrottle => {
    let throttle = throttles.get(app);
    if (throttle === undefined) {
      throttle = createAppThrottle(app, dependencies, options);
      throttles.set(app, throttle);
    }
    return throttle;
  };

  const of = (app: string): Throttle | null => throttles.get(app)?.current() ?? null;

  return {
    isThrottled: (app) => of(app) !== null,
    of,
    onAttempt({ app: { slug }, responseCode, pauseMs, endedAt }) {
      if (pauseMs === null || !dependencies.isKnown(slug)) return;
      throttleOf(slug).extend({ since: endedAt, until: endedAt + throttleFor(pauseMs, options.maxThrottleMs), responseCode });
    },
    lift: (app) => throttles.get(app)?.lift(),
    apply(app, shared, revision) {
      // The records of apps that are gone are read at every start.
      if (shared === null) throttles.get(app)?.apply(null, revision);
      else throttleOf(app).apply(shared, revision);
    },
    forget(app) {
      throttles.get(app)?.stop();
      throttles.delete(app);
    },
    forgetRevisions() {
      for (const throttle of throttles.values()) throttle.forgetRevision();
    },
    count: () => [...throttles.values()].filter((throttle) => throttle.current() !== null).length,
  };
}

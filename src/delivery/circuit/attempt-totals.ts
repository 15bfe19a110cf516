/**
 * Attempts and failures of each app within the circuit's window, over all replicas.
 *
 * CIRCUIT-1  Replicas broadcast their counts of every app with a failure on any replica, so that floor and rate are those of
 *            all replicas. No count is broadcast for an app without failures.
 */
import type { Clock } from "../../model/clock.ts";
import type { AttemptCounts } from "./ports.ts";
import { createFailureWindow, type FailureWindow, type WindowCounts } from "./sliding-window.ts";

export interface AttemptTotals {
  add(app: string, failed: boolean): void;
  /** Another replica's counts. @returns whether they are part of the total */
  receive(replica: string, counts: AttemptCounts): boolean;
  total(app: string): WindowCounts;
  forget(app: string): void;
}

export interface AttemptTotalsDependencies {
  readonly broadcast: (counts: readonly AttemptCounts[]) => void;
  /** Revision of the app's shared state. */
  readonly revisionOf: (app: string) => number;
  readonly clock: Clock;
}

type ReceivedCounts = WindowCounts & { readonly at: number };

/** A failure is broadcast within this time, in one message for all apps. */
const BROADCAST_AFTER_MS = 250;
/** The window moves on: while it holds a failure, changed counts are broadcast again this often. */
const BROADCASTS_PER_WINDOW = 12;

export function createAttemptTotals(
  { broadcast, revisionOf, clock }: AttemptTotalsDependencies,
  { windowMs }: { readonly windowMs: number },
): AttemptTotals {
  const windows = new Map<string, FailureWindow>();
  /** App → replica → what it broadcast last. */
  const others = new Map<string, Map<string, ReceivedCounts>>();
  const lastSent = new Map<string, AttemptCounts>();
  let unsent = new Set<string>();

  const ownCounts = (app: string): AttemptCounts => ({
    ...{ app, attempts: 0, failures: 0, revision: revisionOf(app) },
    ...windows.get(app)?.counts(clock.now()),
  });

  const total = (app: string): WindowCounts => {
    let { attempts, failures } = ownCounts(app);
    const received = others.get(app);
    for (const [replica, counts] of received ?? []) {
      if (clock.now() - counts.at >= windowMs) received?.delete(replica);
      else {
        attempts += counts.attempts;
        failures += counts.failures;
      }
    }
    return { attempts, failures };
  };

  const isFailing = (app: string): boolean => total(app).failures > 0;

  const broadcastSoon = (app: string): void => {
    if (unsent.size === 0) clock.after(BROADCAST_AFTER_MS, broadcastNow);
    unsent.add(app);
  };

  const broadcastNow = (): void => {
    const counts = [...unsent].map(ownCounts);
    unsent = new Set();
    if (counts.length === 0) return;
    if (lastSent.size === 0) clock.after(windowMs / BROADCASTS_PER_WINDOW, broadcastAgain);
    for (const one of counts) lastSent.set(one.app, one);
    broadcast(counts);
  };

  const broadcastAgain = (): void => {
    const changed: AttemptCounts[] = [];
    for (const before of [...lastSent.values()]) {
      const counts = ownCounts(before.app);
      if (counts.attempts !== before.attempts || counts.failures !== before.failures) changed.push(counts);
      if (isFailing(before.app)) lastSent.set(before.app, counts);
      else lastSent.delete(before.app);
    }
    if (lastSent.size > 0) clock.after(windowMs / BROADCASTS_PER_WINDOW, broadcastAgain);
    if (changed.length > 0) broadcast(changed);
  };

  return {
    add(app, failed) {
      let window = windows.get(app);
      if (window === undefined) {
        window = createFailureWindow(windowMs);
        windows.set(app, window);
      }
      window.add(clock.now(), failed);
      if (failed || (others.has(app) && isFailing(app))) broadcastSoon(app);
    },

    receive(replica, { app, attempts, failures }) {
      let received = others.get(app);
      if (received === undefined) {
        received = new Map();
        others.set(app, received);
        if (windows.has(app)) broadcastSoon(app);
      }
      if (attempts > 0) received.set(replica, { attempts, failures, at: clock.now() });
      else received.delete(replica);
      if (received.size > 0) return true;
      others.delete(app);
      return false;
    },

    total,

    forget(app) {
      windows.delete(app);
      others.delete(app);
      lastSent.delete(app);
      unsent.delete(app);
    },
  };
}
